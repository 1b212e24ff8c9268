"""Texts of a data set get the features that an analysis makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trivalent.core.errors import DataError
from trivalent.core.types import Modality, Utterance
from trivalent.experts.encoder import Encoder
from trivalent.experts.text import read_texts
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.text_features import with_text_features

TEXTS = ("I love how this turned out.", "It is late.", "...", "Never again, I am sorry to say.")


def dataset(texts: tuple[str, ...] | None = TEXTS) -> Dataset:
    count = 4
    names = np.array([f"v{i}" for i in range(count)])
    nothing = np.full(count, np.nan)
    split = np.array(["train", "train", "val", "test"])
    return Dataset(
        "made-up", "by hand", names, names, split, np.array([2, 1, 1, 0]), nothing, nothing, texts=texts
    )


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("text", ["minilm", "glove"])
def test_features_are_those_of_an_analysis_and_are_kept(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = OwnFeatures(text=text).words()
    block = with_text_features(dataset(), spec).features[Modality.TEXT]
    assert (block.extractor, block.columns) == (text, spec.pooling)
    assert block.present.tolist() == [True, True, False, True]  # three dots are no words
    for row, said in zip(block.values, TEXTS, strict=True):
        (reading,) = read_texts(Encoder(spec), [Utterance(0, 0.0, 0.0, said)])
        if reading.features is not None:
            np.testing.assert_array_equal(row, reading.features)
    monkeypatch.setattr("trivalent.lab.datasets.text_features._made", None)  # not made again
    again = with_text_features(dataset(), spec).features[Modality.TEXT]
    np.testing.assert_array_equal(again.values, block.values)


def test_what_has_features_or_no_texts_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = OwnFeatures().words()
    bare = dataset(None)
    assert with_text_features(bare, spec) is bare
    full = with_text_features(dataset(), spec)
    assert with_text_features(full, spec) is full


def test_other_languages_are_refused() -> None:
    chinese = replace(dataset(), texts=("我非常喜欢这部电影", "太晚了", "再也不会了", "It is late."))
    with pytest.raises(DataError, match=r"expected English texts in made-up.* got 3 of 4"):
        with_text_features(chinese, OwnFeatures().words())
