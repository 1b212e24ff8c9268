"""Small valid files of every kind that a reader takes: where a fuzzer starts from."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from bundles import age, write_bundle, zip_bundle
from fusion_bundles import save_small
from trivalent.core.assets import DATA

RECIPES = DATA.parents[2] / "recipes"
SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Well</i> done!

2
00:00:02,000 --> 00:00:04,000
Mr. X: "No." He left
"""
VTT = """WEBVTT

NOTE x

1
00:01.000 --> 00:02.500 align:start
<v Ann>It&amp;s <00:00:01.500><c>fine</c>

00:02.000 --> 01:00:03.000
fine
"""
OPENFACE = (
    "frame, face_id, timestamp, confidence, success, AU12_r, AU04_r, AU12_c\n"
    "1, 0, 0.0, 0.98, 1, 1.5, 0.2, 1\n2, 0, 0.04, 0.1, 0, 9, nan, 1e3\n"
)


def transcripts() -> list[bytes]:
    """Return transcripts; the first byte chooses the suffix."""
    plain = "It was good… Then he left.\nand came back! «Why?» she said."
    found = [b"\0" + SRT.encode(), b"\1" + VTT.encode(), b"\2" + plain.encode(), b"\2" + SRT.encode()]
    return [
        *found,
        b"\2" + plain.encode("utf-16"),
        b"\2\xef\xbb\xbf" + SRT.replace("\n", "\r\n").encode("latin-1"),
    ]


def openface() -> list[bytes]:
    """Return CSV files of OpenFace."""
    return [OPENFACE.encode(), OPENFACE.replace("\n", "\n\n").encode(), b'"timestamp","success"\r\n0,1\r\n']


def recipes() -> list[bytes]:
    """Return the recipes of the repository, and one with what YAML can do besides."""
    fancy = (
        b"kind: &k text\nname: *k\nseeds: [0, 1]\ntask: {a: !!str 1, b: 2001-12-14t21:59:43-05:00, c: ~}\n"
    )
    merged = (
        b"kind: text\nname: x\ntask: &t {a: 0x1f, b: 1_000, c: .inf}\ntraining:\n  <<: *t\n  d: |\n    x\n"
    )
    return [path.read_bytes() for path in sorted(RECIPES.glob("*.yaml"))] + [fancy, merged]


def mmsa() -> dict[str, dict[str, object]]:
    """Return the content of an MMSA pickle of two samples for each split."""
    rng = np.random.default_rng(0)

    def part(key: str) -> dict[str, object]:
        return {
            "id": [f"{key}$_$0", f"{key}$_$1"],
            "raw_text": np.array(["a", "b c"], dtype=object),
            "text": rng.standard_normal((2, 2, 1)).astype(np.float32),
            "audio": rng.standard_normal((2, 2, 1)),
            "audio_lengths": [1, 2],
            "text_bert": np.ones((2, 3, 2)),
            "regression_labels": np.array([-1.0, 0.5]),
        }

    return {key: part(key) for key in ("train", "valid", "test")}


def pickles() -> list[bytes]:
    """Return MMSA pickles of several protocols."""
    plain = {
        key: {"id": ["a$_$0"], "raw_text": ["x"], "text": [[[1.0]]], "regression_labels": [np.float64(0)]}
        for key in ("train",)
    }
    whole = {key: {**plain["train"], "id": [f"{key}$_$0"]} for key in ("train", "valid", "test")}
    return [*(pickle.dumps(mmsa(), p) for p in (2, 4, 5)), pickle.dumps(whole, 0), pickle.dumps(whole, 4)]


def csds() -> list[bytes]:
    """Return computational sequences, with numbers, words and compressed chunks."""
    import h5py

    found = []
    for kind in ("f4", "words", "chunks"):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver="latest" if kind == "f4" else "earliest") as file:
            for key in ("a[0]", "b"):
                group = file.create_group(f"X/data/{key}")
                group["intervals"] = [[0.0, 1.0], [1.0, 2.0]]
                if kind == "chunks":
                    group.create_dataset(
                        "features", data=np.ones((2, 3)), chunks=(1, 3), compression="gzip"
                    )
                else:
                    group["features"] = (
                        np.ones((2, 3), "f4") if kind == "f4" else np.array([[b"x"], [b"sp"]])
                    )
            file["X/metadata/root name"] = "X"
        found.append(buffer.getvalue())
    return found


@cache
def bundle(folder: Path) -> Path:
    """Write a bundle of experts once."""
    return write_bundle(folder / "experts")


@cache
def fusion_bundle(folder: Path) -> Path:
    """Write a fusion bundle once."""
    return save_small(folder / "fusion")


def _manifest(where: Path) -> bytes:
    return json.dumps(json.loads((where / "bundle.json").read_bytes())).encode()


def manifests() -> list[bytes]:
    """Return bundle.json of a bundle of experts."""
    with tempfile.TemporaryDirectory() as folder:
        where = write_bundle(Path(folder))
        return [_manifest(where), _manifest(age(where))]


def fusion_manifests() -> list[bytes]:
    """Return bundle.json of a fusion bundle."""
    with tempfile.TemporaryDirectory() as folder:
        where = save_small(Path(folder))
        return [_manifest(where), _manifest(age(where))]


def zips() -> list[bytes]:
    """Return archives of a bundle: stored, and one of its face expert alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = write_bundle(folder / "b", modalities=("face",))
        return [zip_bundle(small, folder / "b.zip").read_bytes()]
