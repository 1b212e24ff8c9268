"""Text corpora for the benchmarks: read, turned into features, joined, and cut into nested subsets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import IntArray, Modality
from trivalent.features.glove import GloVe
from trivalent.lab.datasets.dataset import SPLITS, Dataset, Features
from trivalent.lab.datasets.embedding import embed_texts
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.splits import split_of
from trivalent.lab.datasets.text import TextData, load_corpus
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.fusion.seed_training import System

log = logging.getLogger(__name__)
MOSEI = "mosei"
# Name, protocol. MOSEI is read as transcripts, since its entry has no text of the training folds.
CORPORA: Mapping[str, str] = {
    "meld": "utterance",
    "sst5": "three",
    "tweeteval": "three",
    "mosi": "transcribed",
    MOSEI: "transcripts split anew by video",
    "ch-sims-v2": "three-english",
}
GLOVE_FILE = Path("glove") / "glove6b_100d_top60k.npz"
EPOCHS = 20
_SMALLEST, _LARGEST, _STEPS = 16, 256, 20  # batch sizes, and steps of an epoch at least


def read_corpora(
    root: Path, names: Sequence[str] = tuple(CORPORA)
) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Read those corpora that are there.

    Parameters
    ----------
    root : Path
        Data root.
    names : sequence of str
        Of `CORPORA`.

    Returns
    -------
    found : dict of str to Dataset
        With texts and without features.
    absent : tuple of str
        Names of those that cannot be read; the log says why.

    Raises
    ------
    DataError
        None can be read.
    """
    corpora: dict[str, Dataset] = {}
    for name in names:
        try:
            corpora[name] = (
                _transcripts(root) if name == MOSEI else find_dataset(name).read(root, CORPORA[name])
            )
        except DataError as error:
            log.warning("%s is left out: %s", name, error)
    if not corpora:
        raise DataError("benchmark.no_data", names=" or ".join(names), root=root)
    return corpora, tuple(name for name in names if name not in corpora)


def _transcripts(root: Path) -> Dataset:
    """Read the transcribed segments of MOSEI; groups are the bare names of videos, as those of MOSI.

    All are of the official test fold. Split anew they tell encoders apart; no network that is given away
    learns from them.
    """
    data = load_corpus(MOSEI, "test", root=root)
    split = np.array([split_of(group.partition("/")[2]) for group in data.groups])
    parts = {name: data.take(split == name) for name in SPLITS}
    groups = [group.partition("/")[2] for data in parts.values() for group in data.groups]

    def joined(column: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(data, column) for data in parts.values()]).astype(np.float64)

    return Dataset(
        name=MOSEI,
        protocol=CORPORA[MOSEI],
        ids=np.array([f"{group}#{i}" for i, group in enumerate(groups)]),
        groups=np.array(groups),
        split=np.repeat(list(parts), [len(data) for data in parts.values()]),
        labels=joined("labels").astype(np.int64),
        scores=3 * joined("valence"),
        seconds=np.full(len(groups), np.nan),
        texts=_texts(parts),
    )


def _texts(parts: Mapping[str, TextData]) -> tuple[str, ...]:
    return tuple(text for data in parts.values() for text in data.texts)


def with_minilm(data: Dataset) -> Dataset:
    """Add frozen MiniLM-L6 sentence embeddings, 384 columns."""
    return _with_features(data, "minilm-l6", embed_texts(list(data.texts or ()), encoder="minilm"))


def with_glove(data: Dataset, glove: GloVe) -> Dataset:
    """Add the mean GloVe vector of each text, unknown words as zeros."""
    values = np.array([glove.mean(text)[0] for text in data.texts or ()], np.float32)
    return _with_features(data, glove.source, values)


def _with_features(data: Dataset, extractor: str, values: NDArray[np.float32]) -> Dataset:
    columns = tuple(f"{extractor}_{i}" for i in range(values.shape[1]))
    return replace(data, features={Modality.TEXT: Features(extractor, columns, values)})


def read_glove(root: Path) -> GloVe:
    """Read the 100-d vectors of the 60,000 most frequent words, else the 50-d ones of a package.

    Raises
    ------
    AssetError
        Neither is there.
    DataError
        The file is damaged.
    """
    path = root / GLOVE_FILE
    if not path.is_file():
        return GloVe.installed()
    try:
        with np.load(path, allow_pickle=False) as content:
            words, vectors = content["words"].tolist(), content["vectors"].astype(np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise DataError("benchmark.vectors", path=path, error=error) from error
    rows = {word: i for i, word in enumerate(words)}
    return GloVe(rows, vectors, source=f"glove-6b-{vectors.shape[1]}d")


def join(corpora: Mapping[str, Dataset], *, train: Sequence[str], name: str) -> Dataset:
    """Join the train and val parts of some corpora with the test parts of all, in order.

    Raises
    ------
    DataError
        A video that is trained on is one that is tested on, be it of another corpus.
    """
    parts = []
    for own, data in corpora.items():
        split = np.where((data.split == "test") | (own in train), data.split, "")
        kept = replace(data, ids=np.array([f"{own}/{i}" for i in data.ids.tolist()]), split=split)
        parts.append(kept.take(split != ""))
    blocks = [p.features[Modality.TEXT] for p in parts]
    features = replace(blocks[0], values=np.concatenate([block.values for block in blocks]))
    return Dataset(
        name=name,
        protocol="joined",
        ids=_column(parts, "ids"),
        groups=_column(parts, "groups"),
        split=_column(parts, "split"),
        labels=_column(parts, "labels"),
        scores=_column(parts, "scores"),
        seconds=_column(parts, "seconds"),
        features={Modality.TEXT: features},
        synthetic=any(p.synthetic for p in parts),
    )


def _column(parts: Sequence[Dataset], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(part, name) for part in parts])


def repeated_texts(data: Dataset) -> int:
    """Count the texts of test that occur word for word in train, such as "Yeah."."""
    texts = np.array([text.strip().lower() for text in data.texts or ()])
    return (
        int(np.isin(texts[data.split == "test"], texts[data.split == "train"]).sum()) if len(texts) else 0
    )


def classifier(samples: int, *, epochs: float = EPOCHS) -> System:
    """Return the one classifier of the text benchmarks: network `single`, square-root class weights.

    Nothing of it is tuned. Its batches grow with the training data, so that large sets are quick
    and small ones make enough steps.

    Examples
    --------
    >>> [classifier(n).training.batch_size for n in (100, 1000, 5000, 30000)]
    [16, 32, 128, 256]
    """
    size = 2 ** int(np.log2(max(1, samples / _STEPS)))
    training = TrainingConfig(
        epochs=epochs,
        batch_size=min(_LARGEST, max(_SMALLEST, size)),
        learning_rate=1e-3,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="cosine",
        clip=1.0,
    )
    return System(network="single", loss_options={"weights": "sqrt"}, training=training)


def nested_order(labels: IntArray, *, seed: int) -> IntArray:
    """Order samples at random so that the first n are a stratified subset, for every n.

    Subsets of one seed are nested; of each class there are as many as its share demands, to within one.

    Parameters
    ----------
    labels : int array, shape (n,)
    seed : int

    Returns
    -------
    int array, shape (n,)

    Examples
    --------
    >>> labels = np.repeat([0, 1], [20, 60])
    >>> np.bincount(labels[nested_order(labels, seed=0)[:8]]).tolist()
    [2, 6]
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for code in np.unique(labels):
        rows = np.flatnonzero(labels == code)
        place[rows] = (rng.permutation(len(rows)) + 0.5) / len(rows)
    return np.lexsort((rng.random(len(labels)), place))
