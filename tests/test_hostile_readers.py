"""Files of others that are made to hurt: each is refused in one clear line, and soon.

Found by `benchmarks/fuzz.py`, and by looking where it cannot: into sizes beyond a few kilobytes.
"""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

h5py = pytest.importorskip("h5py", reason="needs the extra train")
pytest.importorskip("yaml", reason="needs the extra train")

import reader_samples  # noqa: E402
from mutator import BYTES  # noqa: E402
from trivalent.core.errors import DataError, RecipeError, TranscriptError, TrivalentError  # noqa: E402
from trivalent.features.openface.csv_file import read_openface  # noqa: E402
from trivalent.lab.datasets.csd import ComputationalSequence  # noqa: E402
from trivalent.lab.datasets.mmsa import load_mmsa, load_restricted  # noqa: E402
from trivalent.lab.datasets.mmsa_dataset import mmsa_dataset  # noqa: E402
from trivalent.lab.recipes import load_recipe, read_recipe  # noqa: E402
from trivalent.speech.transcripts import parse_transcript  # noqa: E402

MILLION = 10**6


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def check_line(error: Exception) -> None:
    """One clear line, of a length that can be read."""
    assert str(error).isprintable()
    assert len(str(error)) < 1000


# --- any bytes


def read_csd(path: Path) -> None:
    with ComputationalSequence(path) as sequence:
        assert isinstance(sequence.metadata, dict)
        for _ in sequence.survey():
            pass


READERS: dict[str, tuple[Callable[[], list[bytes]], Callable[[Path], object]]] = {
    "a.pkl": (reader_samples.pickles, lambda path: mmsa_dataset(path, name="a")),
    "a.csd": (reader_samples.csds, read_csd),
    "a.csv": (reader_samples.openface, read_openface),
    "a.yaml": (reader_samples.recipes, load_recipe),
    "a.vtt": (reader_samples.transcripts, lambda path: parse_transcript(path.read_bytes(), suffix=".vtt")),
    "a.txt": (reader_samples.transcripts, lambda path: parse_transcript(path.read_bytes())),
}


@pytest.mark.parametrize("name", READERS)
def test_spoiled_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    make, read = READERS[name]
    seeds, chance = make(), random.Random(name)
    for i in range(150):
        data = BYTES[chance.choice(list(BYTES))](chance.choice(seeds), chance)
        try:
            read(written(tmp_path / f"{i}-{name}", data))
        except TrivalentError as error:
            check_line(error)


# --- pickles


def code(value: object) -> bytes:
    """Opcodes that push a value."""
    return pickle.dumps(value, 2)[2:-1]


def dtype(name: str, *state: object) -> bytes:
    """Opcodes of a NumPy dtype, with a state of one's own."""
    return b"cnumpy\ndtype\n" + code((name, False, True)) + b"R" + code(state) + b"b"


def array(kind: bytes, shape: tuple[int, ...], cells: bytes) -> bytes:
    """Opcodes of an array with these cells; both are opcodes."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + code((0,)) + code("b") + b"tR"
    return made + b"(" + code(1) + code(shape) + kind + b"\x89" + cells + b"tb"


FLOAT = dtype("f8", 3, "<", None, None, None, -1, -1, 0)
FORGED = dtype("O8", 3, "|", None, None, None, -1, -1, 0)  # its flags deny that it holds objects

PICKLES = {
    # NumPy took the eight bytes for the address of an object
    "bytes as addresses": array(FORGED, (1,), code("A" * 8)),
    "a scalar of bytes as an address": (
        b"cnumpy.core.multiarray\nscalar\n(" + FORGED + code("A" * 8) + b"tR"
    ),
    "a dtype with parts": dtype("V8", 3, "|", None, ("a",), {}, 8, 1, 0),
    "a dtype with fields": dtype("f8", 3, "<", None, ("a",), {"a": 1}, 8, 1, 0),
    "a dtype out of order": dtype("f8", 3, ">>", None, None, None, -1, -1, 0),
    "fewer cells than told": array(FLOAT, (10**12,), code("A" * 8)),
    "cells of a negative number": array(FLOAT, (-1, -8), code("A" * 64)),
    "fewer objects than told": array(
        dtype("O8", 3, "|", None, None, None, -1, -1, 63), (10**12,), code([])
    ),
    "no bytes but a number": array(FLOAT, (10**9,), code(8 * 10**9)),
    "a letter that does not exist": array(
        dtype("U1", 3, "<", None, None, None, 4, 4, 8), (1,), code("\xff" * 4)
    ),
    "an array that is called": b"cnumpy\nndarray\n" + code((10**10,)) + b"R",
    "an array that is made anew": b"cnumpy\nndarray\n" + code((10**10,)) + b"\x81",
    "an array longer than the file": b"\x96" + struct.pack("<Q", 2**33) + b"abc",
    "another codec": b"c_codecs\nencode\n" + code(("x" * 50, "idna")) + b"R",
    "a method of what is allowed": b"\x8c\x05numpy\x8c\x0fndarray.tobytes\x93",
    "a key that is hashed for ever": b"}" + code(()) + b"q\x01" + b"h\x01h\x01\x86q\x01" * 60 + b"h\x01Ns",
    "a set of such": b"\x8f(" + code(()) + b"q\x01" + b"h\x01h\x01\x86q\x01" * 60 + b"h\x01\x90",
}


@pytest.mark.parametrize("case", PICKLES)
def test_pickles_that_reach_for_memory(tmp_path: Path, case: str) -> None:
    path = written(tmp_path / "a.pkl", b"\x80\x04" + PICKLES[case] + b".")
    with pytest.raises(DataError, match=r"a\.pkl"):
        load_restricted(path)


def test_a_forged_memo_number_reserves_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pkl", b"\x80\x02K\x07r\xff\xff\xff\xff.")
    assert load_restricted(path) == 7


def test_a_dtype_of_the_other_byte_order(tmp_path: Path) -> None:
    value = [np.arange(3, dtype=">i4"), np.array(["é", "xy"]), np.array([[1, "a"]], object), np.float32(2)]
    for protocol in range(2, 6):
        found = load_restricted(written(tmp_path / "a.pkl", pickle.dumps(value, protocol)))
        for one, two in zip(found, value, strict=True):
            assert one.dtype.newbyteorder("=") == two.dtype.newbyteorder("=")
            assert np.array_equal(one, two)


def doubled(times: int) -> list[object]:
    """Return a list of a few bytes that stands for 10 ** times numbers."""
    inner: list[object] = [0.0] * 10
    for _ in range(times - 1):
        inner = [inner] * 10
    return inner


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("text", doubled(12), "at most 1,000,000 numbers in lists as text"),
        ("regression_labels", ["x" * MILLION] + ["y"] * 1000, "expected numbers as regression_labels"),
        ("id", ["x" * MILLION, "y"], "ids of at most 200 characters"),
        ("id", [doubled(12), "y"], "one text per sample as id"),
        ("id", np.array("x"), r"one text per sample as id .*got shape \(\)"),
        ("raw_text", 5, "one text per sample as raw_text"),
        ("text", np.zeros((2, 10**12, 0)), r"3 axes as text .*\(2, 1000000000000, 0\)"),
        ("text", np.zeros((2, 0, 10**12)), r"3 axes as text"),
        ("audio_lengths", [10**400, 1], "numbers with 1 axes as audio_lengths|unequal"),
    ],
)
def test_pickles_whose_fields_would_fill_the_memory(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    content = reader_samples.mmsa()
    content["valid"][field] = value
    path = written(tmp_path / "a.pkl", pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        load_mmsa(path)


# --- computational sequences


def test_sequences_that_lead_out_of_their_file(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones((2, 2))
    path = tmp_path / "a.csd"
    with h5py.File(path, "w") as file:
        data = file.create_group("X/data")
        for key in ("link", "soft", "external", "virtual", "announced", "words"):
            data.create_group(key)["intervals"] = [[0.0, 1.0], [1.0, 2.0]]
        data["link/features"] = h5py.ExternalLink(other, "secret")
        data["soft/features"] = h5py.SoftLink("/X/data/link/intervals")
        data["external"].create_dataset("features", (2, 2), "f8", external=[(str(other), 0, 32)])
        layout = h5py.VirtualLayout((2, 2), "f8")
        layout[:] = h5py.VirtualSource(other, "secret", (2, 2))
        data["virtual"].create_virtual_dataset("features", layout)
        data["announced"].create_dataset("features", (10**6, 10**6), "f8", chunks=(1000, 1000))
        data["words"].create_dataset("features", data=[["a"], ["b"]], dtype=h5py.string_dtype())
    with ComputationalSequence(path) as sequence:
        told = {key: str(found) for key, found in sequence.survey()}
    assert "link out of its group" in told["link"]
    assert "link out of its group" in told["soft"]
    assert "cells lie in other files" in told["external"]
    assert "cells lie in other files" in told["virtual"]
    assert "an array of 8000.0 GB" in told["announced"]
    assert "no fixed length" in told["words"]
    with h5py.File(tmp_path / "b.csd", "w") as file:
        file["X"] = h5py.ExternalLink(path, "X")
    with pytest.raises(DataError, match="link out of its group"):
        ComputationalSequence(tmp_path / "b.csd")


def test_a_heap_over_which_hdf5_loops_for_ever(tmp_path: Path) -> None:
    whole = reader_samples.csds()[1]
    heap = whole.index(b"GCOL")
    with ComputationalSequence(written(tmp_path / "a.csd", whole)) as sequence:
        assert sequence.metadata == {"root name": "X"}
    spots = ((heap, b"GONE"), (heap + 16, b"\x09\0"), (heap + 24, b"\xff" * 8), (heap + 8, bytes(8)))
    for at, new in spots:
        spoiled = whole[:at] + new + whole[at + len(new) :]
        with ComputationalSequence(written(tmp_path / "a.csd", spoiled)) as sequence:
            try:
                assert len(sequence.metadata["root name"]) < 5000
            except DataError as error:
                assert "key 'metadata', which is damaged" in str(error)  # noqa: PT017


# --- tables, recipes, transcripts


def test_a_row_of_one_cell_is_not_taken_for_all(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", (reader_samples.OPENFACE + "1\n").encode())
    with pytest.raises(DataError, match=r"8 numbers in data row 3 of a\.csv, got 1 cells"):
        read_openface(path)


def test_a_wide_header_over_many_short_rows(tmp_path: Path) -> None:
    header = "timestamp,success," + ",".join("x" * 5 for _ in range(100_000))
    path = written(tmp_path / "a.csv", (header + "\n" + "1\n" * 100_000).encode())
    with pytest.raises(DataError, match="100002 numbers in data row 1"):
        read_openface(path)  # 80 GB, had they been laid out first


RECIPES = {
    "a month 13": "name: 2001-13-01",
    "a number without end": "name: " + "9" * 5000,
    "a time that is none": "name: !!timestamp 'x'",
    "no digit": "name: !!int ''",
    "no number": "name: !!float 'x'",
    "too deep": "name: " + "[" * 5000,
    "too deep a mapping": "name: " + "{a: " * 3000,
    "a part of itself": "name: &a [*a]",
    "billions of values": "a: &a0 [1]\n" + "".join(f"b{i}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(60)),
    "too long": "name: x\n" + "# long\n" * 50_000,
    "a program": "name: !!python/object/apply:os.system [touch ran]",
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipes_that_are_none(tmp_path: Path, case: str) -> None:
    path = written(tmp_path / "a.yaml", RECIPES[case].encode())
    with pytest.raises(RecipeError, match=r"a\.yaml") as caught:
        read_recipe(path)
    assert len(str(caught.value)) < 600


def test_values_on_the_command_line_that_are_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.yaml", b"kind: text\nname: x\n")
    with pytest.raises(RecipeError, match=r"readable YAML recipe, got --set name=2001-13-01: month"):
        read_recipe(path, overrides=["name=2001-13-01"])


CUE = "1\n00:00:00,000 --> 00:00:09,000\nx\n\n"


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("a" + "." * MILLION, 1),
        ("a" + '."' * MILLION, 1),
        ("a\n" * MILLION, 1),
        ("b. " * (MILLION // 4), MILLION // 4),
        (CUE * 20_000, 1),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nx" + "<a" * MILLION, 1),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nx" + "{\\" * MILLION, 1),
    ],
    ids=["dots", "quotes", "lines", "sentences", "at-once", "tags", "braces"],
)
def test_long_transcripts_take_time_in_proportion(text: str, cues: int) -> None:
    assert len(parse_transcript(text.encode()).cues) == cues  # each took hours, or days


def test_the_number_of_a_character_of_five_thousand_digits() -> None:
    text = f"WEBVTT\n\n00:00.000 --> 00:01.000\nfine &#{'9' * 5000}; &amp;\n"
    assert parse_transcript(text.encode()).cues[0].text.startswith("fine &#999")


@given(st.text(alphabet=".!?…\"')] ab\n", max_size=40))
@settings(max_examples=200, deadline=None)
def test_every_word_of_a_text_is_kept(text: str) -> None:
    try:
        found = parse_transcript(text.encode())
    except TranscriptError:
        assert not any(c.isalnum() for c in text)
        return
    letters = [c for c in text if c.isalnum()]
    assert [c for c in found.text if c.isalnum()] == letters
