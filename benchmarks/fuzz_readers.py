"""Readers of files that others wrote, under atheris (libFuzzer): one reader, one process.

Usage: python benchmarks/fuzz_readers.py READER FOLDER [libFuzzer options]; `fuzz.py` does it for all.

FOLDER/corpus is filled with valid files; FOLDER/findings.jsonl gets every kind of exception that is
no error of ours, once, with the input in hexadecimal digits; the run goes on after each.
"""

from __future__ import annotations

import json
import pickle
import pickletools
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import atheris

from results_file import REPOSITORY

with atheris.instrument_imports(include=["trivalent", "yaml", "zipfile"]):
    import yaml

    from trivalent.bundle.loading import load_bundle, load_network
    from trivalent.core.errors import TrivalentError
    from trivalent.features.openface.csv_file import read_openface
    from trivalent.lab.datasets.csd import ComputationalSequence
    from trivalent.lab.datasets.mmsa_dataset import mmsa_dataset
    from trivalent.lab.fusion.recipe import parse_fusion
    from trivalent.lab.recipes import load_recipe, read_recipe
    from trivalent.speech.transcripts import parse_transcript

sys.path.insert(0, str(REPOSITORY / "tests"))

import reader_samples

SLOW_S = 2.0  # for a few kilobytes: somewhere work grows faster than the file
MEMORY_BYTES = 4 * 2**30  # of address space beside what the imports map
KEYS = 20  # of a .csd file, that are read


@dataclass(frozen=True)
class Reader:
    """What is fuzzed: `read` takes the fuzzed bytes and a folder to write them into."""

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]
    runs: int
    max_bytes: int = 4096
    mutate: Callable[[bytes, Random], bytes] | None = None
    words: tuple[str, ...] = ()  # of the format, as libFuzzer's dictionaries have them


# --- targets


def _transcript(data: bytes, folder: Path) -> None:
    suffix = (".srt", ".vtt", ".txt")[data[0] % 3] if data else ".txt"
    parse_transcript(data[1:], suffix=suffix)


def _openface(data: bytes, folder: Path) -> None:
    read_openface(_written(folder / "x.csv", data))


def _csd(data: bytes, folder: Path) -> None:
    with ComputationalSequence(_written(folder / "x.csd", data)) as sequence:
        _ = sequence.metadata, sequence.videos
        for key in sequence.keys[:KEYS]:
            try:
                sequence.read(key)
            except TrivalentError:
                continue


def _pickle(data: bytes, folder: Path) -> None:
    mmsa_dataset(_written(folder / "x.pkl", data), name="x")


def _recipe(data: bytes, folder: Path) -> None:
    path = _written(folder / "x.yaml", data)
    content = read_recipe(path)
    if content.get("kind") == "fusion":
        parse_fusion(content, where="x.yaml")
    else:
        load_recipe(path)


def _bundle(data: bytes, folder: Path) -> None:
    """Fuzz the manifest only: the files beside it are whole."""
    where = reader_samples.bundle(folder)
    _written(where / "bundle.json", data)
    load_bundle(where)


def _fusion_bundle(data: bytes, folder: Path) -> None:
    where = reader_samples.fusion_bundle(folder)
    _written(where / "bundle.json", data)
    load_network(where)


def _bundle_zip(data: bytes, folder: Path) -> None:
    load_bundle(_written(folder / "x.zip", data))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- changes that keep the structure, half of the time


def _change_json(data: bytes, random: Random) -> bytes:
    """Put an odd value in the place of another, or drop or double a key."""
    content = json.loads(data)
    holders = _holders(content)
    if not holders:
        return data
    holder, key = random.choice(holders)
    what = random.randrange(8)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[f"{key}x"] = random.choice(ODD)
    elif what == 2:
        other, place = random.choice(holders)
        holder[key] = json.loads(json.dumps(other[place]))
    else:
        holder[key] = random.choice(ODD)
    return json.dumps(content).encode()


ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**400, 0.5, 1e308, -0.0),
    *(float("nan"), float("inf"), -float("inf"), "", "x", "text", "nan", "1e999", "../x", "a\nb", "\ud800"),
    *("x" * 300, [], {}, [[]], [0], [None], [1, 2, 3], ["x"], {"x": 1}, [0.3, 0.4, 0.3], [[1, 2], [3]]),
    *([float("nan")] * 3, [1e999] * 3, {"text": 1}, {"text": {}}, ["text", "audio"]),
]


def _holders(content: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    todo = [content]
    while todo and len(found) < 3000:
        item = todo.pop()
        pairs = (
            item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        )
        for key, value in pairs:
            found.append((item, key))
            todo.append(value)
    return found


def _change_yaml(data: bytes, random: Random) -> bytes:
    content = json.loads(_change_json(json.dumps(yaml.safe_load(data)).encode(), random))
    return yaml.safe_dump(content).encode()


def _change_pickle(data: bytes, random: Random) -> bytes:
    """Drop, double, swap or replace whole opcodes."""
    edges = [place for _, _, place in pickletools.genops(data) if place is not None] + [len(data)]
    parts = [data[a:b] for a, b in pairwise(edges)]
    for _ in range(random.choice([1, 1, 2, 5])):
        at, other = random.randrange(len(parts)), random.randrange(len(parts))
        what = random.randrange(5)
        if what == 0:
            del parts[at]
        elif what == 1:
            parts.insert(at, parts[other])
        elif what == 2:
            parts[at], parts[other] = parts[other], parts[at]
        else:
            parts[at] = random.choice(OPCODES)
        if not parts:
            break
    return b"".join(parts)


OPCODES = [pickle.dumps(value, 2)[2:-1] for value in ODD if not isinstance(value, float) or value == value]
OPCODES += [
    b"0",
    b"2",
    b"(",
    b"t",
    b"l",
    b"d",
    b"e",
    b"u",
    b"a",
    b"s",
    b"R",
    b"b",
    b"\x81",
    b"\x92",
    b"o",
    b"Q",
]
OPCODES += [b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n"]
OPCODES += [
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy._core.multiarray\nscalar\n",
    b"r\xff\xff\xff\x7f",
]
OPCODES += [
    b"cnumpy._core.numeric\n_frombuffer\n",
    b"cos\nsystem\n",
    b"X\x02\0\0\0O8",
    b"X\x02\0\0\0V8",
    b"h\0",
    b"h\1",
]

TIMES = (
    "WEBVTT",
    "-->",
    "00:00:01,000 --> 00:00:02,000",
    "NOTE",
    "STYLE",
    "\\x0A\\x0A",
    "<c>",
    "{\\\\an8}",
)
TAGS = (
    "!!timestamp ",
    "!!int ",
    "!!float ",
    "!!binary ",
    "!!omap ",
    "!!set ",
    "&a ",
    "*a",
    "<<: ",
    "? ",
    "2001-13-01",
)
CELLS = ("timestamp", "success", "nan", "1e999", "0x1", "\\x22", "\\xEF\\xBB\\xBF", ", ", "1_0")

READERS: Mapping[str, Reader] = {
    "transcript": Reader(_transcript, reader_samples.transcripts, 500_000, words=TIMES),
    "openface": Reader(_openface, reader_samples.openface, 200_000, words=CELLS),
    "recipe": Reader(_recipe, reader_samples.recipes, 20_000, 2048, _change_yaml, TAGS),
    "pickle": Reader(_pickle, reader_samples.pickles, 200_000, 16384, _change_pickle),
    "csd": Reader(_csd, reader_samples.csds, 100_000, 16384),
    "bundle": Reader(_bundle, reader_samples.manifests, 100_000, 8192, _change_json),
    "fusion-bundle": Reader(_fusion_bundle, reader_samples.fusion_manifests, 100_000, 8192, _change_json),
    "bundle-zip": Reader(_bundle_zip, reader_samples.zips, 100_000, 16384),
}


class Watch:
    """Runs a reader and writes down what should not happen, each kind once."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader, self.folder = reader, folder
        self.seen: set[str] = set()

    def __call__(self, data: bytes) -> None:
        """Read once."""
        started = time.process_time()
        try:
            self.reader.read(data, self.folder)
        except TrivalentError as error:
            if not str(error).isprintable() or len(str(error)) > 2000:
                self.note(data, "message", f"of {len(str(error))} characters: {str(error)[:100]!r}", "")
        except Exception as error:
            at = [f for f in traceback.extract_tb(error.__traceback__) if "trivalent" in f.filename][-1]
            where = f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"
            self.note(data, where, str(error)[:300], "".join(traceback.format_exception(error)[-12:]))
        spent = time.process_time() - started
        if spent > SLOW_S:
            self.note(data, "slow", f"{spent:.1f} s", "")

    def note(self, data: bytes, kind: str, what: str, trace: str) -> None:
        """Write a finding down."""
        if kind not in self.seen:
            self.seen.add(kind)
            with (self.folder / "findings.jsonl").open("a", encoding="utf-8") as stream:
                finding = {"kind": kind, "what": what, "trace": trace, "input": data.hex()}
                stream.write(json.dumps(finding) + "\n")


def _limit_memory() -> None:
    """Turn an absurd allocation into a MemoryError, which is a finding."""
    import resource

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_BYTES, hard))


def main() -> None:
    """Fuzz one reader; libFuzzer ends the process."""
    reader, folder = READERS[sys.argv[1]], Path(sys.argv[2])
    corpus, words = folder / "corpus", folder / "words"
    corpus.mkdir(exist_ok=True)
    for i, seed in enumerate(reader.seeds()):
        (corpus / f"seed-{i}").write_bytes(seed)
    words.write_text("".join(f'"{word}"\n' for word in reader.words), encoding="ascii")
    options = [f"-dict={words}"] if reader.words else []
    options += [f"-max_len={reader.max_bytes}", f"-artifact_prefix={folder}/"]

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if reader.mutate is not None and random.random() < 0.5:
            try:
                return reader.mutate(data, random)[:most]
            except Exception:
                pass
        return atheris.Mutate(data, most)

    watch = Watch(reader, folder)
    arguments = [sys.argv[0], str(corpus), *options, *sys.argv[3:]]
    if reader.mutate is None:
        atheris.Setup(arguments, watch)
    else:
        atheris.Setup(arguments, watch, custom_mutator=mutated)
    _limit_memory()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
