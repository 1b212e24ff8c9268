// Records camera and microphone: preview, clock, stop, look at it, send it or discard it. Nothing
// leaves the browser before "send"; then it goes straight to the server that the page came from.

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".tv-recorder");
  const recorder = (root.recorder ??= new Recorder(root));
  recorder.say(data);
  recorder.done = (kind) => setTriggerValue("sent", kind);
  return () => {
    recorder.release();
    delete root.recorder;
  };
}

const TYPES = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];

class Recorder {
  constructor(root) {
    this.root = root;
    root.innerHTML =
      '<div class="tv-screen"><video playsinline></video><p class="tv-blank"></p>' +
      '<span class="tv-clock" role="timer" hidden></span></div>' +
      '<p class="tv-trouble" role="alert" hidden></p><div class="tv-buttons"></div>';
    this.video = root.querySelector("video");
    this.trouble = root.querySelector(".tv-trouble");
    this.clock = root.querySelector(".tv-clock");
    this.state = "idle";
  }

  say(data) {
    this.data = data;
    this.words = data.words;
    this.draw();
  }

  draw() {
    const blank = this.root.querySelector(".tv-blank");
    blank.textContent = this.words.ready;
    blank.hidden = this.state !== "idle";
    this.video.hidden = this.state === "idle";
    this.clock.hidden = this.state !== "recording";
    const buttons = {
      idle: [["start", () => this.start(), true]],
      recording: [["stop", () => this.stop(), true]],
      recorded: [
        ["send", () => this.send(), true],
        ["again", () => this.start()],
        ["discard", () => this.discard()],
      ],
      sending: [["sending", null, true]],
    }[this.state];
    this.root.querySelector(".tv-buttons").replaceChildren(
      ...buttons.map(([word, act, first]) => {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: this.words[word] });
        button.className = first ? "tv-button tv-first" : "tv-button";
        button.disabled = !act;
        button.onclick = act;
        return button;
      }),
    );
  }

  become(state) {
    this.state = state;
    this.draw();
  }

  complain(word) {
    this.trouble.textContent = this.words[word];
    this.trouble.hidden = false;
  }

  async start() {
    this.discard();
    if (!navigator.mediaDevices) return this.complain("insecure");
    if (!window.MediaRecorder) return this.complain("unsupported");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: true,
        video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
      });
    } catch (error) {
      const known = { NotAllowedError: "denied", NotFoundError: "absent", NotReadableError: "busy" };
      return this.complain(known[error.name] ?? "unsupported");
    }
    if (!this.root.isConnected) return this.release(); // the page went elsewhere while it asked
    this.record();
  }

  record() {
    const type = TYPES.find((t) => MediaRecorder.isTypeSupported(t));
    this.media = new MediaRecorder(this.stream, type ? { mimeType: type } : {});
    this.parts = [];
    this.size = 0;
    this.media.ondataavailable = ({ data }) => {
      this.parts.push(data);
      this.size += data.size;
      if (this.size > this.data.most) {
        this.complain("large");
        this.discard(true);
      }
    };
    this.media.onstop = () => this.look();
    Object.assign(this.video, { srcObject: this.stream, muted: true, controls: false });
    this.video.play();
    this.media.start(1000);
    this.began = performance.now();
    this.ticking = setInterval(() => this.tick(), 250);
    this.tick();
    this.become("recording");
  }

  tick() {
    const seconds = Math.floor((performance.now() - this.began) / 1000);
    this.clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds >= this.data.seconds) {
      this.complain("longest");
      this.stop();
    }
  }

  stop() {
    clearInterval(this.ticking);
    if (this.media?.state === "recording") this.media.stop();
  }

  look() {
    this.free();
    if (!this.parts) return;
    this.blob = new Blob(this.parts, { type: this.media.mimeType });
    this.address = URL.createObjectURL(this.blob);
    Object.assign(this.video, { srcObject: null, src: this.address, muted: false, controls: true });
    this.become("recorded");
  }

  async send() {
    this.trouble.hidden = true;
    this.become("sending");
    try {
      const answer = await fetch(this.data.url, { method: "POST", headers: { "X-Trivalent": "1" }, body: this.blob });
      if (!answer.ok) throw new Error(String(answer.status));
    } catch (error) {
      this.complain(error.message === "413" ? "large" : "lost");
      return this.become("recorded");
    }
    this.done(this.blob.type.includes("mp4") ? "mp4" : "webm");
    this.discard();
  }

  discard(keepTrouble = false) {
    this.trouble.hidden = !keepTrouble;
    this.parts = null;
    this.blob = null;
    this.stop();
    this.free();
    this.video.removeAttribute("src");
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = null;
    this.become("idle");
  }

  // The light of the camera goes out as soon as it is not needed.
  free() {
    clearInterval(this.ticking);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  release() {
    this.discard();
  }
}
