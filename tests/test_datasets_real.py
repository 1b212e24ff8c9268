"""Every data set of the registry that is on this machine: its known counts, and facts of its files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.core.types import Modality
from trivalent.lab.datasets.dataset import SPLITS, Dataset
from trivalent.lab.datasets.mosei import read_segments
from trivalent.lab.datasets.mosei_922 import FILE as FILE_922
from trivalent.lab.datasets.protocols import class_counts
from trivalent.lab.datasets.ravdess import list_takes
from trivalent.lab.datasets.registry import DATASETS

# (negative, neutral, positive) of train, val, test: written here again, so that a slip in an entry shows.
KNOWN = {
    ("mosei-922", "sdk-subset"): ((75, 315, 245), (5, 53, 28), (22, 93, 65)),
    ("mosei-922", "video-mean"): ((198, 41, 396), (21, 7, 58), (49, 13, 118)),
    ("mosi", "segment"): ((552, 53, 679), (92, 13, 124), (379, 30, 277)),
    ("mosi", "transcribed"): ((326, 30, 338), (88, 12, 95), (324, 23, 211)),
    ("mosi-utterances", "cmf"): ((646, 53, 543), (92, 12, 101), (285, 31, 436)),
    ("meld", "utterance"): ((2945, 4710, 2334), (406, 470, 233), (833, 1256, 521)),
    ("sst5", "three"): ((3310, 1624, 3610), (428, 229, 444), (912, 389, 909)),
    ("tweeteval", "three"): ((2318, 3515, 1378), (268, 379, 142), (312, 869, 819)),
    ("ravdess", "actors"): ((384, 144, 96), (128, 48, 32), (128, 48, 32)),
}
SIZES = {  # as published
    ("mosei-922", "sdk-subset"): (635, 86, 180),
    ("mosi", "segment"): (1284, 229, 686),
    ("meld", "utterance"): (9989, 1109, 2610),
    ("sst5", "three"): (8544, 1101, 2210),
    ("ravdess", "actors"): (624, 208, 208),
}


def read(root: Path, name: str, protocol: str) -> Dataset:
    return DATASETS[name].read(root, protocol, features=False)


@pytest.mark.parametrize(("name", "protocol"), KNOWN)
def test_known_counts(real_data: Path, name: str, protocol: str) -> None:
    data = read(real_data, name, protocol)
    found = tuple(tuple(class_counts(data.part(s).labels).tolist()) for s in SPLITS)
    assert found == KNOWN[name, protocol]
    assert DATASETS[name].protocol(protocol).counts == dict(zip(SPLITS, found, strict=True))
    if (name, protocol) in SIZES:
        assert tuple(map(sum, found)) == SIZES[name, protocol]
    assert (data.name, data.protocol, data.synthetic) == (name, protocol, False)
    assert set(data.split.tolist()) == set(SPLITS)


@pytest.mark.parametrize(("name", "protocol"), KNOWN)
def test_features_are_finite_or_nan_and_scores_in_range(real_data: Path, name: str, protocol: str) -> None:
    data = read(real_data, name, protocol)
    for block in data.features.values():
        assert block.values.dtype == np.float32
        assert not np.isinf(block.values).any()
        assert len(set(block.columns)) == len(block.columns)
        assert block.present.all()
    known = np.isfinite(data.scores)
    assert (np.abs(data.scores[known]) <= 3).all()
    assert known.all() == (name.startswith("mos") or name == "sst5")
    assert known.any() == known.all()


@pytest.mark.parametrize(("name", "protocol"), KNOWN)
def test_info_command(
    real_data: Path, name: str, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [name, "--protocol", protocol, "--root", str(real_data)]
    assert main(["data", "info", *options, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["dataset"], content["protocol"]) == (name, protocol)
    for split, counts in zip(SPLITS, KNOWN[name, protocol], strict=True):
        part = content["splits"][split]
        assert part["classes"] == dict(zip(("negative", "neutral", "positive"), counts, strict=True))
        assert part["samples"] == sum(counts)
    assert main(["data", "info", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{name}, protocol {protocol}: ")
    assert max(map(len, lines)) <= 160


def test_mosei_922_says_what_it_leaves_out(real_data: Path) -> None:
    data = read(real_data, "mosei-922", "sdk-subset")
    assert data.dropped == {"videos in no fold": 21, "infinite cells of covarep40 taken for gaps": 647}
    assert {m: f.extractor for m, f in data.features.items()} == {
        Modality.TEXT: "bert",
        Modality.AUDIO: "covarep",
        Modality.FACE: "openface2",
    }
    voice = data.features[Modality.AUDIO]
    gaps = np.isnan(voice.values).sum(axis=0)
    assert {voice.columns[i]: int(gaps[i]) for i in np.flatnonzero(gaps)} == {"peakSlope": 647}
    face = data.features[Modality.FACE]
    assert face.columns[:4] == ("face_id", "timestamp", "confidence", "success")


def test_zero_means_of_mosei_922_are_neutral(real_data: Path) -> None:
    """Twelve means of scores that cancel miss zero by the rounding of float32."""
    with np.load(real_data / FILE_922) as stored:
        mean = stored["labels7"][:, 0].astype(float)
        video = stored["video_id"].tolist()
    assert (mean == 0).sum() == 51
    assert ((np.abs(mean) < 1e-7) & (mean != 0)).sum() == 12
    assert np.abs(mean[np.abs(mean) > 1e-7]).min() > 0.018
    data = read(real_data, "mosei-922", "video-mean")
    segments = read_segments(real_data)
    exact = {v: 0.0 for v in video}
    for name, score in zip(segments.video.tolist(), segments.score.tolist(), strict=True):
        if name in exact:
            exact[name] += round(6 * score)  # every score is a multiple of one sixth
    assert [int(np.sign(exact[v])) + 1 for v in data.groups.tolist()] == data.labels.tolist()


def test_mosi_labels_agree_between_its_files(real_data: Path) -> None:
    whole, some = (read(real_data, "mosi", p) for p in ("segment", "transcribed"))
    scores = dict(zip(whole.ids.tolist(), whole.scores.tolist(), strict=True))
    assert [scores[i] for i in some.ids.tolist()] == pytest.approx(some.scores.tolist(), abs=1e-6)
    assert some.texts is not None
    assert all(text == text.lower() and text for text in some.texts)
    assert whole.texts is not None
    assert sum(map(bool, whole.texts)) == len(some) == 1447
    assert some.dropped == {"utterances without transcript": 752}
    assert len(set(whole.groups.tolist())) == 93
    assert whole.features == {}, "the stored features saw labels of its test part"


def test_the_test_part_of_the_utterance_features_is_apart(real_data: Path) -> None:
    data = read(real_data, "mosi-utterances", "cmf")
    videos = {split: len(set(data.part(split).groups.tolist())) for split in SPLITS}
    assert videos == {"train": 53, "val": 9, "test": 31}
    assert data.texts is not None
    assert [bool(t) for t in data.texts] == (data.split != "test").tolist()
    widths = {m: len(f.columns) for m, f in data.features.items()}
    assert widths == {Modality.TEXT: 100, Modality.AUDIO: 73, Modality.FACE: 100}
    seen = {i for i, s in zip(data.ids.tolist(), data.split.tolist(), strict=True) if s != "test"}
    sdk = read(real_data, "mosi", "segment")
    ids = [f"{i.rpartition('[')[0]}_{int(i.rpartition('[')[2][:-1]) + 1}" for i in sdk.ids.tolist()]
    overlap = Counter(s for i, s in zip(ids, sdk.split.tolist(), strict=True) if i in seen)
    assert overlap == {"train": 694, "val": 195, "test": 558}


def test_meld_times_and_texts(real_data: Path) -> None:
    data = read(real_data, "meld", "utterance")
    assert data.dropped == {"durations of zero or less taken for unknown": 1}
    assert data.texts is not None
    assert data.texts[0].startswith("also I was the point person on my company’s transition")
    assert not set("".join(data.texts)) & {"\ufffd", "\x91", "\x92"}
    assert np.nanmedian(data.seconds) == pytest.approx(2.46, abs=0.02)
    assert data.ids[0] == "train/dia0_utt0"
    assert {s: len(set(data.part(s).groups.tolist())) for s in SPLITS} == {
        "train": 1038,
        "val": 114,
        "test": 280,
    }


def test_sst5_scores_and_shared_sentences(real_data: Path) -> None:
    data = read(real_data, "sst5", "three")
    assert sorted(set(data.scores.tolist())) == [-3, -1.5, 0, 1.5, 3]
    assert data.texts is not None
    parts = {s: set(data.part(s).texts or ()) for s in SPLITS}
    assert len(parts["train"] & (parts["val"] | parts["test"])) == 3


def test_ravdess_faces(real_data: Path) -> None:
    data = read(real_data, "ravdess", "actors")
    assert list(data.features) == [Modality.FACE]
    assert data.features[Modality.FACE].columns[:2] == ("AU01_r", "AU02_r")
    assert data.dropped == {"takes of surprise, which has no valence": 160}
    assert sorted(set(data.part("val").groups.tolist())) == [f"ravdess/{a}" for a in range(13, 17)]
    assert {take.stem for take, _ in list_takes(real_data)} == set(data.ids.tolist())
    with np.load(real_data / "ravdess" / "openface_au35.npz") as stored:
        assert tuple(stored["au_cols"].tolist()) == data.features[Modality.FACE].columns
        given = dict(zip(stored["name"].tolist(), stored["sentiment3"].tolist(), strict=True))
    assert [given[i] for i in data.ids.tolist()] == data.labels.tolist()


def test_list_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    for name, protocol in KNOWN:
        assert protocol in listed[name]["protocols"]
        assert listed[name]["licence"]
        assert listed[name]["homepage"].startswith("http")
    assert main(["data", "list"]) == 0
    assert all(name in capsys.readouterr().out for name in ("mosei-922",))
