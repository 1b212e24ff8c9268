"""A network that leads nowhere and a disk that forgets: what a program tries to send and writes is seen.

    python tests/closed_network.py NAME [FOLDER]

runs the function NAME of `egress_entrances` in namespaces of its own and prints what was seen, as JSON.

- Network: only `lo`, and every IPv4 and IPv6 address is local, so that a connection to any address is
  made and seen. A name server notes each name asked for and gives an address that is listened on;
  what arrives at ports 80 and 443 is noted with the name in its TLS greeting. A packet listener notes
  the rest: anything to an address other than loopback.
- Disk: the whole tree below an overlay, so that every file written, changed or deleted by the program
  is in one place, however busy the machine is.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OWN_ADDRESS = "10.99.0.2"  # of the machine in its imaginary network
ANSWER = "127.66.0.1"  # the address of every name
LOOPBACK = {"127.0.0.1", "127.0.1.1", "::1"}
HOME, TEMP, WORK = Path("/home/visitor"), Path("/home/visitor-temp"), Path("/home/visitor-work")
# what is no disk: these stay what they are
PSEUDO = {
    "proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "mqueue", "securityfs", "debugfs", "bpf",
    "tracefs", "pstore", "binfmt_misc", "hugetlbfs", "configfs", "fusectl", "autofs", "nsfs", "rpc_pipefs",
}  # fmt: skip
SYSTEM = (Path("/proc"), Path("/sys"), Path("/dev"), Path("/run"))
NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS, PACKET_OUTGOING = 33, 263, 6, 4
ETH_P_ALL, ETH_IPV4, ETH_IPV6 = 3, 0x0800, 0x86DD
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58


@dataclass
class Seen:
    """What a program tried to send, what it wrote and what it left."""

    names: list[str] = field(default_factory=list)
    """Names that it asked for."""
    connections: list[str] = field(default_factory=list)
    """What arrived at ports 80 and 443."""
    packets: list[str] = field(default_factory=list)
    """What was sent to an address that is not loopback."""
    lost_packets: int = 0
    """Packets that came too fast to be looked at: then nothing is proved."""
    files: list[str] = field(default_factory=list)
    """Paths written, changed, or deleted (`- path`)."""
    shared_memory: list[str] = field(default_factory=list)
    """What is left in /dev/shm."""
    processes: list[str] = field(default_factory=list)
    """What still runs."""
    output: str = ""

    @property
    def sent(self) -> list[str]:
        """Everything that would have left the machine."""
        return [*self.names, *self.connections, *self.packets]

    def files_outside(self, *allowed: str) -> list[str]:
        """Files that match none of the expressions."""
        return [f for f in self.files if not any(re.fullmatch(a, f) for a in allowed)]


def watch(entrance: str, folder: Path, timeout_s: float = 1200) -> Seen:
    """Run an entrance in a closed network.

    Raises
    ------
    ImpossibleError
        This machine gives no namespaces or no overlay; the message says which step failed.
    """
    command = [sys.executable, __file__, entrance, str(folder)]
    if (unshare := shutil.which("unshare")) is None or shutil.which("ip") is None:
        raise ImpossibleError("unshare and ip are not installed")
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        [unshare, *root, *NAMESPACES, *command],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode == ImpossibleError.status or (done.returncode and "unshare" in done.stderr):
        raise ImpossibleError(done.stderr.strip().rpartition("\n")[2])
    assert done.returncode == 0, done.stderr
    return Seen(**json.loads(done.stdout))


class ImpossibleError(Exception):
    """No closed network on this machine."""

    status = 77


class Sandbox:
    """The inside, from one program of it: starts the programs that are watched."""

    def __init__(self, folder: Path) -> None:
        self.seen = Seen()
        self._disk = Disk(folder)
        _no_way_out()
        self._threads = [NameServer(self.seen), Doors(self.seen), Packets(self.seen)]
        for thread in self._threads:
            thread.start()

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Variables of a fresh account; nothing of the account that runs the tests but where Python is."""
        kept = {k: os.environ[k] for k in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if k in os.environ}
        ours = {"HOME": str(HOME), "TMPDIR": str(TEMP), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        # compiled modules are the installation's, not the program's
        return {**kept, **ours, "PYTHONDONTWRITEBYTECODE": "1", **extra}

    def start(self, command: Sequence[str], **extra: str) -> subprocess.Popen[str]:
        """Start a program in the tree of the overlay; `extra` goes into its environment."""
        enter = ["chroot", str(self._disk.root), "env", "-C", str(WORK)]
        return subprocess.Popen(
            [*enter, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(extra),
        )

    def run(self, *arguments: str, timeout_s: float = 480, **extra: str) -> None:
        """Run `trivalent` with arguments to its end; it must succeed."""
        self.finish(self.start([*TRIVALENT, *arguments], **extra), timeout_s=timeout_s)

    def python(self, code: str, *arguments: str, timeout_s: float = 480, **extra: str) -> None:
        """Run a few lines of Python to their end; they must succeed."""
        self.finish(self.start([sys.executable, "-c", code, *arguments], **extra), timeout_s=timeout_s)

    def finish(
        self, program: subprocess.Popen[str], *, timeout_s: float, statuses: Sequence[int] = (0,)
    ) -> None:
        """Wait for the end of a program; it must have ended well."""
        try:
            self.seen.output += program.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            program.kill()
            self.seen.output += program.communicate()[0]
            raise
        if program.returncode not in statuses:
            raise SystemExit(f"exit status {program.returncode}:\n{self.seen.output}")

    @contextmanager
    def server(self, *arguments: str, url: str) -> Iterator[None]:
        """Keep `trivalent` running while the block is at work, from its first answer to SIGTERM."""
        program = self.start([*TRIVALENT, *arguments])
        try:
            _wait_for(url, program)
            yield
        finally:
            program.send_signal(signal.SIGTERM)
            self.finish(program, timeout_s=60, statuses=(0, -signal.SIGTERM))

    def inside(self, path: Path) -> Path:
        """Where a path of the program lies for us."""
        return self._disk.root / path.relative_to("/")

    def close(self) -> Seen:
        """Stop listening and list what is there now."""
        time.sleep(0.5)  # packets on their way
        for thread in self._threads:
            thread.stop()
        self.seen.files = self._disk.changes()
        self.seen.shared_memory = sorted(p.name for p in self.inside(Path("/dev/shm")).iterdir())
        self.seen.processes = _others()
        return self.seen


TRIVALENT = (sys.executable, "-m", "trivalent.cli.main")


class Disk:
    """The whole tree below an overlay whose upper layer is memory."""

    def __init__(self, folder: Path) -> None:
        _mount("tmpfs", folder, kind="tmpfs")
        self.root = folder / "root"
        self._layers: list[tuple[Path, Path]] = []  # where it belongs, what is new there
        for i, place in enumerate(_disks()):
            upper, work = folder / f"upper{i}", folder / f"work{i}"
            upper.mkdir(), work.mkdir()
            target = self.root / place.relative_to("/")
            target.mkdir(exist_ok=True)
            _mount(
                "overlay",
                target,
                kind="overlay",
                options=f"lowerdir={place},upperdir={upper},workdir={work}",
            )
            self._layers.append((place, upper))
        for system in SYSTEM[:3]:
            subprocess.run(["mount", "--rbind", system, self.root / system.relative_to("/")], check=True)
        _mount("tmpfs", self.root / "run", kind="tmpfs")  # sockets that other programs answer names at
        _mount("tmpfs", self.root / "dev/shm", kind="tmpfs", options="mode=1777")
        self._furnish()
        self._before = set(self._entries())

    def _furnish(self) -> None:
        for folder in (HOME, TEMP, WORK):
            (self.root / folder.relative_to("/")).mkdir(parents=True)
        hosts = f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {socket.gethostname()}\n"
        switch = "passwd: files\ngroup: files\nhosts: files dns\n"
        for name, text in {
            "resolv.conf": "nameserver 127.0.0.1\n", "hosts": hosts, "nsswitch.conf": switch,
        }.items():  # fmt: skip
            file = self.root / "etc" / name
            file.unlink(missing_ok=True)  # it may be a link that leads elsewhere
            file.write_text(text)

    def _entries(self) -> Iterator[tuple[str, int, int]]:
        for place, upper in self._layers:
            for path in upper.rglob("*"):
                real, found = place / path.relative_to(upper), path.lstat()
                if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:  # how an overlay notes a deletion
                    yield f"- {real}", 0, 0
                elif not stat.S_ISDIR(found.st_mode) or not real.is_dir():
                    yield str(real), found.st_mtime_ns * (not stat.S_ISDIR(found.st_mode)), found.st_ino

    def changes(self) -> list[str]:
        """Everything written, changed or deleted since the beginning."""
        return sorted({name for name, *_ in set(self._entries()) - self._before})


class NameServer(threading.Thread):
    """Notes every name that is asked for; IPv4 addresses lead to our doors, there are no others."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(daemon=True)
        self._seen, self._socket = seen, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))

    def run(self) -> None:
        """Answer until stopped."""
        with suppress(OSError):
            while True:
                query, sender = self._socket.recvfrom(4096)
                if not query:
                    return
                name, end = _name(query, 12)
                kind = struct.unpack(">H", query[end : end + 2])[0]
                _note(self._seen.names, name)
                question = query[12 : end + 4]
                known = kind == 1
                record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(ANSWER)
                head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, known, 0, 0)
                self._socket.sendto(head + question + record * known, sender)

    def stop(self) -> None:
        """Stop, with an empty message to itself."""
        self._socket.sendto(b"", ("127.0.0.1", 53))
        self.join()


class Doors(threading.Thread):
    """Ports 80 and 443 of every address: takes one message and notes whom it was meant for."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(daemon=True)
        self._seen, self._open = seen, True
        self._doors = []
        for family, port in ((f, p) for f in (socket.AF_INET, socket.AF_INET6) for p in (53, 80, 443)):
            door = socket.socket(family)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            door.bind(("", port))
            door.listen(64)
            self._doors.append(door)

    def run(self) -> None:
        """Take connections until stopped."""
        while self._open:
            for door in select.select(self._doors, [], [], 0.2)[0]:
                visitor, _ = door.accept()
                with visitor, suppress(OSError):
                    visitor.settimeout(2)
                    address, port = visitor.getsockname()[:2]
                    note = f"{address} port {port}: {_greeting(visitor.recv(4096))}"
                    _note(self._seen.connections, note)

    def stop(self) -> None:
        """Stop at the next look."""
        self._open = False
        self.join()


class Packets(threading.Thread):
    """Everything on `lo` that is meant for an address other than loopback."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(daemon=True)
        self._seen, self._open = seen, True
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        self._socket.bind(("lo", ETH_P_ALL))

    def run(self) -> None:
        """Look until stopped."""
        while self._open:
            if select.select([self._socket], [], [], 0.2)[0]:
                packet, (_, protocol, way, *_) = self._socket.recvfrom(128)
                if way == PACKET_OUTGOING and (note := _destination(packet, protocol)) is not None:
                    _note(self._seen.packets, note)

    def stop(self) -> None:
        """Stop at the next look; note whether any packet was missed."""
        self._open = False
        self.join()
        counts = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self._seen.lost_packets = struct.unpack("II", counts)[1]


def _destination(packet: bytes, protocol: int) -> str | None:
    """Whom a packet was meant for; None for loopback and for answers."""
    if protocol == ETH_IPV4:
        start, kind = 4 * (packet[0] & 15), packet[9]
        address = socket.inet_ntoa(packet[16:20])
    elif protocol == ETH_IPV6:
        start, kind = 40, packet[6]
        address = socket.inet_ntop(socket.AF_INET6, packet[24:40])
    else:
        return f"protocol {protocol:#06x}"
    if address in LOOPBACK or (kind in (ICMP, ICMPV6) and packet[start] in (1, 3)):  # "unreachable"
        return None
    if kind == TCP and packet[start + 13] & 0x12 != 0x02:  # only the first of a connection
        return None
    port = f" port {struct.unpack('>H', packet[start + 2 : start + 4])[0]}" if kind in (TCP, UDP) else ""
    return f"{address}{port} ({ {TCP: 'TCP', UDP: 'UDP'}.get(kind, f'IP protocol {kind}') })"


def _greeting(data: bytes) -> str:
    """First line of a request, or the server name of a TLS greeting, which stands there in the clear."""
    if data[:1] != b"\x16":
        return data.split(b"\r\n")[0][:80].decode("latin-1")
    names = re.findall(rb"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}", data)
    return f"TLS greeting to {names[0].decode() if names else 'no name'}"


def _name(message: bytes, at: int) -> tuple[str, int]:
    """Name of a question and where it ends."""
    labels = []
    while size := message[at]:
        labels.append(message[at + 1 : at + 1 + size].decode("latin-1"))
        at += 1 + size
    return ".".join(labels), at + 1


def _note(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


def _disks() -> list[Path]:
    """Mount points of real file systems, the root first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        place = Path(fields.split()[4].encode().decode("unicode_escape"))
        inside = any(place.is_relative_to(s) for s in SYSTEM)
        if rest.split()[0] not in PSEUDO and not inside and place.is_dir():
            found.append(place)
    return sorted(set(found))


def _mount(source: str, target: Path, *, kind: str, options: str = "") -> None:
    target.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), str(target).encode(), kind.encode(), 0, options.encode()):
        reason = os.strerror(ctypes.get_errno())
        raise ImpossibleError(f"a mount of kind {kind} at {target}: {reason}")


def _no_way_out() -> None:
    """Make every address local: there is no route to anywhere."""
    socket.sethostname("visited")
    for command in (
        "link set lo up",
        f"address add {OWN_ADDRESS}/32 dev lo",
        f"route add local 0.0.0.0/0 dev lo src {OWN_ADDRESS}",
        "-6 route add local ::/0 dev lo",
    ):
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
        if done.returncode and "-6" not in command:  # a machine may have no IPv6
            raise ImpossibleError(f"ip {command}: {done.stderr.strip()}")


def _wait_for(url: str, program: subprocess.Popen[str]) -> None:
    import httpx

    until = time.monotonic() + 180
    while program.poll() is None and time.monotonic() < until:
        with suppress(httpx.TransportError):
            httpx.get(url, trust_env=False)
            return
        time.sleep(0.1)
    raise SystemExit(f"no answer at {url}")


def _others() -> list[str]:
    """Command lines of all processes but this one; one that has ended and is not yet buried has none."""
    lines = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):
                lines.append(
                    (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return sorted(filter(None, lines))


def main() -> None:
    """Run one entrance inside; the first process of the namespaces."""
    import egress_entrances

    try:
        sandbox = Sandbox(Path(sys.argv[2]))
    except ImpossibleError as error:
        print(error, file=sys.stderr)
        raise SystemExit(ImpossibleError.status) from error
    entrance: Callable[[Any], None] = getattr(egress_entrances, sys.argv[1])
    entrance(sandbox)
    print(json.dumps(asdict(sandbox.close())))


if __name__ == "__main__":
    main()
