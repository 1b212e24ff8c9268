"""What the real MOSEI videos say about the worth of each modality."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import data_root

pytest.importorskip("sklearn", reason="needs the extra train")

from trivalent.bundle.fusion import softmax
from trivalent.core.errors import DataError
from trivalent.core.types import Modality
from trivalent.lab.fusion.pool_weights import (
    KAPPAS,
    MoseiVideos,
    Worth,
    load_mosei_videos,
    measure_worth,
    temper_to,
)

TEXT, AUDIO, FACE = Modality
UNIFORM = np.full(3, 1 / 3)


def claimed(p: np.ndarray, prior: np.ndarray, t: float) -> float:
    """Mean KL of the tempered posterior from the prior, in nats."""
    tempered = prior * (p / prior) ** t
    tempered /= tempered.sum(1, keepdims=True)
    return float((tempered * np.log(tempered / prior)).sum(1).mean())


@given(st.integers(0, 100), st.floats(0.005, 0.15), st.floats(1, 6))
@settings(max_examples=25, deadline=None)
def test_temper_reaches_its_information(seed: int, information: float, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    p, prior = softmax(sharpness * rng.normal(size=(60, 3))), rng.dirichlet(np.full(3, 5.0))
    t = temper_to(p, prior=prior, information=information)
    assert 0 < t <= 1
    if t < 1:
        assert claimed(np.clip(p, 1e-6, 1), prior, t) == pytest.approx(information, rel=1e-3)
    else:
        assert claimed(p, prior, 1.0) <= information * (1 + 1e-3)


def test_temper_leaves_the_modest_alone() -> None:
    p = np.array([[0.4, 0.3, 0.3], [0.3, 0.3, 0.4]])
    assert temper_to(p, prior=UNIFORM, information=0.5) == 1.0


def test_temper_falls_with_the_information() -> None:
    p = np.array([[0.9, 0.05, 0.05], [0.05, 0.05, 0.9]])
    found = [temper_to(p, prior=UNIFORM, information=i) for i in (0.4, 0.1, 0.02, 0.001)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.1


def test_absent_or_damaged_features(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the 922-video MOSEI features"):
        load_mosei_videos(tmp_path)
    (tmp_path / "cmu_mosei").mkdir()
    for raw in (b"", b"no array", b"PK\x03\x04"):
        (tmp_path / "cmu_mosei" / "video_level_922.npz").write_bytes(raw)
        with pytest.raises(DataError, match="expected the 922-video MOSEI features"):
            load_mosei_videos(tmp_path)


@pytest.fixture(scope="module")
def videos() -> MoseiVideos:
    if not (data_root() / "cmu_mosei" / "video_level_922.npz").is_file():
        pytest.skip("no real MOSEI features; set TRIVALENT_DATA")
    return load_mosei_videos(data_root())


@pytest.fixture(scope="module")
def worth(videos: MoseiVideos) -> Worth:
    return measure_worth(videos, rounds=3)


def test_the_videos(videos: MoseiVideos) -> None:
    assert dict(zip(*np.unique(videos.fold, return_counts=True), strict=True)) == {
        "train": 635,
        "val": 86,
        "test": 180,
        "none": 21,
    }
    assert len(videos.labels) == len(videos.scores) == 922
    assert set(videos.labels.tolist()) == {0, 1, 2}
    assert {m: x.shape[1] for m, x in videos.features.items()} == {TEXT: 768, AUDIO: 39, FACE: 31}
    for x in videos.features.values():
        assert np.isfinite(x).all()
        assert (x[videos.fold == "train"].std(0) > 0).all()
    # A mean of at most one step of the annotation is neutral.
    assert (videos.labels[np.abs(videos.scores) < 0.16] == 1).all()
    assert (videos.labels[videos.scores > 0.34] == 2).all()


def test_correlations_are_the_known_ones(worth: Worth) -> None:
    assert worth.correlation[TEXT] == pytest.approx(0.61, abs=0.06)
    assert worth.correlation[AUDIO] == pytest.approx(0.24, abs=0.06)
    assert worth.correlation[FACE] == pytest.approx(0.28, abs=0.06)
    for m, r in worth.correlation.items():
        assert worth.information[m] == pytest.approx(-0.5 * np.log(1 - r**2))


def test_the_rule_that_comes_out(worth: Worth) -> None:
    assert 0 < worth.share <= 1
    assert 0 < worth.share_interval[0] <= worth.share_interval[1] <= 1
    assert worth.kappa in KAPPAS
    losses = worth.nll_by_kappa
    assert losses[f"{worth.kappa:g}"] == min(losses.values())
    fused = worth.out_of_fold["fused"]
    assert fused["nll"] < min(row["nll"] for name, row in worth.out_of_fold.items() if name != "fused")
    assert worth.test["text"]["nll"] < worth.test["constant"]["nll"]
    assert worth.test["fused"]["n"] == 180


def test_the_test_fold_changes_no_fitted_number(videos: MoseiVideos) -> None:
    few = replace(videos, features={m: x[:, :25] for m, x in videos.features.items()})
    rng = np.random.default_rng(5)
    outside = np.isin(videos.fold, ("test", "none"))
    changed = MoseiVideos(
        {m: np.where(outside[:, None], rng.normal(size=x.shape), x) for m, x in few.features.items()},
        np.where(outside, rng.permutation(videos.labels), videos.labels),
        np.where(outside, rng.normal(size=922), videos.scores),
        videos.fold,
    )
    one, other = measure_worth(few, rounds=3), measure_worth(changed, rounds=3)
    fitted = (
        "information",
        "correlation",
        "share",
        "share_interval",
        "kappa",
        "nll_by_kappa",
        "out_of_fold",
    )
    for name in fitted:
        assert getattr(one, name) == getattr(other, name), name
    assert one.test != other.test


def test_worth_is_plain_json(worth: Worth) -> None:
    import json

    content = json.loads(json.dumps(worth.to_dict(), allow_nan=False))
    assert set(content["information"]) == {"text", "audio", "face"}
