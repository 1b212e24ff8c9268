// The recording, its timeline and its transcript as one: choosing a moment anywhere seeks the player,
// and playing marks where it is. All markup comes from the server, escaped; this adds behaviour only.

const views = new WeakMap();

export default function (component) {
  const { parentElement } = component;
  if (!views.has(parentElement)) views.set(parentElement, new View(parentElement));
  const view = views.get(parentElement);
  view.ask = component.setTriggerValue;
  view.update(component.data);
  return () => {
    view.close();
    views.delete(parentElement);
  };
}

class View {
  constructor(root) {
    this.root = root;
    this.shown = {}; // part -> the HTML that is in it
    this.asked = new Set(); // utterances whose words were asked for
    this.filter = "all";
    this.media = null;
    this.ask = () => {};
    this.listeners = new AbortController();
    const on = (type, act, capture = false) =>
      root.addEventListener(type, act, { signal: this.listeners.signal, capture });
    on("click", (event) => this.click(event));
    on("keydown", (event) => this.key(event));
    on("toggle", (event) => this.toggled(event), true); // does not bubble
  }

  close() {
    this.listeners.abort();
    this.media?.pause();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  update(data) {
    this.setMedia(data.media);
    for (const name of ["timeline", "frames", "transcript"]) this.setHtml(name, data[name] ?? "");
    this.setWords(data.words ?? {});
    if (data.reveal != null && data.reveal !== this.revealed) this.reveal(data.reveal);
    this.revealed = data.reveal;
    this.mark();
  }

  // The element stays as long as its source does: it keeps its place while results change around it.
  setMedia(media) {
    const part = this.part("player");
    part.hidden = !media;
    if ((media?.url ?? null) === this.url) return;
    this.url = media?.url ?? null;
    part.replaceChildren();
    this.media = null;
    if (!media) return;
    const element = document.createElement(media.kind === "video" ? "video" : "audio");
    Object.assign(element, { controls: true, preload: "metadata", playsInline: true, src: media.url });
    element.setAttribute("aria-label", media.label);
    element.addEventListener("error", () => {
      part.replaceChildren(Object.assign(document.createElement("p"), { textContent: media.unplayable }));
      this.media = null;
    });
    element.addEventListener("timeupdate", () => this.mark());
    element.addEventListener("play", () => this.follow());
    part.append(element);
    this.media = element;
  }

  setHtml(name, html) {
    if (this.shown[name] === html) return;
    this.shown[name] = html;
    const part = this.part(name);
    const open = new Set([...part.querySelectorAll(".tv-u > details[open]")].map((d) => d.closest("[data-u]").dataset.u));
    part.hidden = !html;
    part.innerHTML = html;
    if (name !== "transcript") return;
    this.asked.clear();
    const items = [...part.querySelectorAll(".tv-u")];
    if (items.length === 1) open.add(items[0].dataset.u);
    for (const item of items) if (open.has(item.dataset.u)) item.querySelector("details").open = true;
    this.show(part.querySelector(`[data-show="${this.filter}"]`) ? this.filter : "all");
  }

  setWords(words) {
    for (const [index, html] of Object.entries(words)) {
      const place = this.item(index)?.querySelector(".tv-words");
      if (place && place.innerHTML !== html) place.innerHTML = html;
      if (place) place.hidden = false;
    }
  }

  item(index) {
    return this.part("transcript").querySelector(`.tv-u[data-u="${index}"]`);
  }

  click(event) {
    const pick = event.target.closest("[data-show]");
    if (pick) return this.show(pick.dataset.show);
    const summary = event.target.closest("summary");
    if (summary) {
      const item = summary.closest(".tv-u > details > summary")?.closest(".tv-u");
      if (item && !summary.parentElement.open) this.seek(Number(item.dataset.start));
      return;
    }
    const chosen = event.target.closest(".tv-block, .tv-frame");
    if (chosen) return this.choose(chosen);
    const track = event.target.closest(".tv-track svg");
    if (track) {
      const box = track.getBoundingClientRect();
      this.seek(((event.clientX - box.left) / box.width) * this.length());
    }
  }

  key(event) {
    const block = event.target.closest?.(".tv-block");
    if (!block || !["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    this.choose(block);
  }

  choose(element) {
    const item = this.item(element.dataset.u);
    this.seek(Number(element.dataset.at ?? element.dataset.start));
    if (item) return this.reveal(element.dataset.u);
    this.revealed = null;
    this.ask("reveal", Number(element.dataset.u)); // on another page of the transcript
  }

  reveal(index) {
    const item = this.item(index);
    if (!item) return;
    if (item.hidden) this.show("all");
    item.querySelector("details").open = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    item.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  }

  toggled(event) {
    const item = event.target.closest(".tv-u");
    if (!item || !event.target.open || event.target.parentElement !== item) return;
    const index = item.dataset.u;
    const place = item.querySelector(".tv-words");
    if (!place || place.innerHTML || this.asked.has(index)) return;
    this.asked.add(index);
    this.ask("words", Number(index));
  }

  show(kind) {
    this.filter = kind;
    const part = this.part("transcript");
    for (const pick of part.querySelectorAll("[data-show]"))
      pick.setAttribute("aria-pressed", String(pick.dataset.show === kind));
    for (const item of part.querySelectorAll(".tv-u"))
      item.hidden = kind !== "all" && !item.dataset.kinds.split(" ").includes(kind);
  }

  length() {
    return Number(this.part("timeline").querySelector("[data-length]")?.dataset.length ?? 0);
  }

  seek(seconds) {
    if (!this.media || !Number.isFinite(seconds)) return;
    this.media.currentTime = seconds + 0.001; // the start of an utterance belongs to it
    this.mark();
  }

  follow() {
    const step = () => {
      if (!this.media || this.media.paused) return;
      this.mark();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  mark() {
    const head = this.part("timeline").querySelector(".tv-playhead");
    const length = this.length();
    const at = this.media?.currentTime ?? 0;
    if (head) {
      head.hidden = !this.media || !length;
      head.style.setProperty("--at", length ? Math.min(at / length, 1) : 0);
    }
    const items = [...this.part("transcript").querySelectorAll(".tv-u")];
    const now = this.media && at > 0 ? items.find((i) => at >= i.dataset.start && at < i.dataset.end) : null;
    if (now === this.now) return;
    this.now = now;
    for (const item of items) item.classList.toggle("tv-now", item === now);
    for (const block of this.part("timeline").querySelectorAll(".tv-block"))
      block.classList.toggle("tv-now", Boolean(now) && at >= block.dataset.start && at < block.dataset.end);
  }
}
