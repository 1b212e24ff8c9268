"""Experts on action units: what they are trained on, and what they say where there are no units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")

from test_faces_data import real_root, tiny_root  # noqa: F401 - fixtures
from trivalent.bundle.loading import Expert
from trivalent.core.errors import RecipeError
from trivalent.core.types import Status, Utterance
from trivalent.experts.face import read_face
from trivalent.features.extractor import Material
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS
from trivalent.features.registry import extractor
from trivalent.lab.datasets import face_points
from trivalent.lab.datasets.face_points import read_pictures
from trivalent.lab.datasets.ravdess_entry import AU_COLUMNS, FILE
from trivalent.lab.experts.pooled import train_tabular
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.recipes import Recipe

POOLING = ("AU12_r.mean", "AU04_r.mean", "AU12_c.mean")


@pytest.fixture
def takes_root(tmp_path):
    """The takes of twenty actors, as there are; AU12 tells the happy ones."""
    emotions = [(emotion, i) for emotion in range(1, 9) for i in (1, 2) if (emotion, i) != (1, 2)]
    names = [
        f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
        for actor in range(1, 21)
        for emotion, intensity in emotions
        for statement, repetition in itertools.product((1, 2), repeat=2)
    ]
    units = np.random.default_rng(3).uniform(0, 0.5, (len(names), len(AU_COLUMNS))).astype(np.float32)
    happy = np.array([name.split("-")[2] == "03" for name in names])
    units[happy, AU_COLUMNS.index("AU12_r")] += 3
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    np.savez(path, name=np.array(names), openface_au35=units)
    return tmp_path


@pytest.fixture
def recipe():
    task = {"dataset": "ravdess_units", "pooling": POOLING, "emotions": True}
    training = {"epochs": 8, "batch_size": 32, "learning_rate": 0.05, "validations_per_epoch": 0}
    return Recipe(kind="face", name="units", task=task, training=training, seeds=(0,))


def test_units_of_takes_are_split_by_actor(takes_root):
    data, folds, test = load_tabular("ravdess_units", pooling=POOLING, root=takes_root)
    assert data.columns == POOLING
    assert len(data) == 20 * 52  # surprise has no sentiment
    actors = np.array([int(group[-2:]) for group in data.groups])
    assert set(actors[test]) == {17, 18, 19, 20}
    assert np.array_equal(folds == -1, test)
    assert all(len(set(folds[actors == actor])) == 1 for actor in range(1, 21))
    assert data.values[data.labels == 2, 0].min() > data.values[data.labels != 2, 0].max()


@pytest.mark.parametrize("name", ["AU12_r.std", "pose_Rx.mean"])
def test_only_means_of_units_are_known(name, takes_root):
    with pytest.raises(RecipeError, match=name):
        load_tabular("ravdess_units", pooling=[name], root=takes_root)


def test_an_expert_on_units_says_why_it_is_silent(takes_root, recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("TRIVALENT_OPENFACE", raising=False)
    trained = train_tabular(recipe, modality="face", root=takes_root, out=tmp_path / "out")
    assert trained.spec.extractor == "openface"
    assert trained.spec.columns == ("AU12_r", "AU04_r", "AU12_c")
    assert trained.metrics["out_of_fold"]["ravdess"]["accuracy"] > 0.6
    expert = Expert(trained.spec, trained.graph.read_bytes, threads=1)
    table = extractor("openface").extract(Material(), columns=trained.spec.columns)
    reading = read_face(expert, [Utterance("", 0.0, 1.0)], table=table)[0]
    assert (reading.status, reading.opinion) == (Status.FAILED, None)
    assert "TRIVALENT_OPENFACE" in str(reading.reason)


def test_our_own_units_of_pictures(tiny_root, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    pictures = read_pictures(tiny_root)
    units = pictures.units()
    assert (len(units), units.dropped, units.columns) == (3, 1, OWN_UNIT_COLUMNS)
    happy = pictures.emotions.tolist().index("happy")
    assert units.values[happy, units.columns.index("au.12_r")] == units.values[:, 8].max() > 1
    monkeypatch.setattr(face_points, "FaceExtractor", None)  # calling it would fail: the cache must serve
    assert np.array_equal(read_pictures(tiny_root).units().values, units.values)
