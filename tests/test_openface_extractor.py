"""OpenFace's columns from videos: as they are filmed, cut, turned and spoilt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media_samples import write_media
from openface_reference import FOLDER, clip, needs_reference
from trivalent.cli.main import main
from trivalent.core.errors import FeatureError, UsageError
from trivalent.core.types import FeatureTable, Status
from trivalent.extract import extract
from trivalent.features.extractor import Material
from trivalent.features.face.pixels import averaged
from trivalent.features.openface.columns import COLUMNS, FLAGGED, INTENSITIES, OUR_COLUMNS, PRESENCES
from trivalent.features.openface.csv_file import read_openface
from trivalent.features.openface.extractor import OPENFACE, OpenFaceOptions
from trivalent.features.openface.models import ENVIRONMENT
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS
from trivalent.media.recording import Frame, open_recording

UNITS = (*INTENSITIES, *PRESENCES)
pytestmark = needs_reference


@pytest.fixture(autouse=True)
def _no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)


@pytest.fixture(scope="module")
def frames(request: pytest.FixtureRequest) -> list[Frame]:
    """Twenty pictures of a smile, decoded."""
    from conftest import data_root

    path = data_root() / "crema_d" / "1001_DFA_HAP_XX.flv"
    if not path.is_file():
        pytest.skip(f"no real data at {data_root()}")
    return list(open_recording(path).frames(rate_hz=60))[:20]


def measured(
    frames: list[Frame], columns: tuple[str, ...] = (*UNITS, FLAGGED, "face_id"), **options: Any
) -> FeatureTable:
    def pictures(**_: Any) -> Iterator[Frame]:
        yield from frames

    chosen = OpenFaceOptions(openface_models=str(FOLDER), **options)
    return OPENFACE.extract(Material(pictures=pictures), chosen, columns=columns)


def changed(frames: list[Frame], change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> list[Frame]:
    return [Frame(frame.time_s, change(frame.image)) for frame in frames]


def test_a_clip_in_the_layout_of_the_program(real_data: Path, tmp_path: Path) -> None:
    video, out = real_data / "crema_d" / "1001_DFA_HAP_XX.flv", tmp_path / "F.csv"
    command = ["extract", "openface", str(video), "-o", str(out), "--face-rate", "10"]
    assert main([*command, "--openface-models", str(FOLDER.parent)]) == 0
    header = out.read_text(encoding="ascii").split("\n", 1)[0].split(",")
    assert header == [name for name in COLUMNS if name in header]
    assert [name for name in header if name.startswith("AU")] == list(UNITS)
    assert {"gaze_0_x", "pose_Rz", "x_67", "Z_0", "p_33", "eye_lmk_X_0"} < set(header)
    table = read_openface(out)
    assert table.column("AU12_r").mean() > 1  # she smiles
    assert table.column("AU04_r").mean() < 0.5
    assert main([*command[:-2], "--columns", "au.12_r,AU12_r", "--layout", "trivalent"]) == 0
    assert out.read_text(encoding="ascii").startswith("time_s,au.12_r,AU12_r\n")


def test_without_model_files(frames: list[Frame]) -> None:
    material = Material(pictures=lambda **_: (frame for frame in frames[:3]))
    table = OPENFACE.extract(material)
    assert table.columns == OUR_COLUMNS
    assert np.isnan(table.select(UNITS).values).all()
    assert np.isfinite(table.select(OWN_UNIT_COLUMNS).values).all()
    assert np.isfinite(table.select(["x_0", "Z_67", "pose_Rx", "gaze_angle_x"]).values).all()
    masked = [
        s for s in table.meta["states"] if s["status"] == "not measurable" and "AU12_r" in s["columns"]
    ]
    assert "model files" in masked[0]["reason"]
    nothing = OPENFACE.extract(material, columns=UNITS)
    assert nothing.status is Status.FAILED
    assert ENVIRONMENT in str(nothing.reason)


def test_the_states_are_those_of_the_columns_and_know_the_files(frames: list[Frame]) -> None:
    table = measured(frames[:3])
    states = {name: s["status"] for s in table.meta["states"] for name in s["columns"]}
    assert states["AU12_r"] == "derived"
    assert states["AU01_r"] == "unreliable"
    assert set(states) == {*UNITS, "face_id"}
    assert len(table.meta["models_sha256"]) == 64
    json.dumps(table.meta)


def test_our_engine_and_the_reference_agree_on_a_video(real_data: Path) -> None:
    path, reference = real_data / "talking" / "mer_sample_00001667.mp4", clip("e")
    table = extract("openface", path, columns=INTENSITIES, openface_models=str(FOLDER))
    assert len(table) == len(reference["time"])
    # The video was coded again since the reference was made.
    error = np.abs(table.values - reference["our_AU_r"])
    assert error.mean() < 0.07
    assert error.max() < 0.7


def test_a_cut_to_somebody_else_begins_a_new_track(frames: list[Frame]) -> None:
    elsewhere = changed(frames, lambda image: np.ascontiguousarray(image[::-1, ::-1][::-1]))  # in a mirror
    shifted = [Frame(f.time_s + 1, np.roll(255 - f.image, 60, axis=1)) for f in elsewhere]
    both = measured([*frames, *shifted])
    alone = measured(frames)
    seen = both.with_values()
    assert both.meta["people"] == len(
        np.unique(seen.column("face_id")[np.isfinite(seen.column("face_id"))])
    )
    np.testing.assert_array_equal(both.values[: len(frames)], alone.values)  # untouched by who follows


def test_a_few_frames_of_somebody_are_flagged(frames: list[Frame]) -> None:
    assert (measured(frames[:9]).column(FLAGGED) == 1).all()
    assert (measured(frames[:12]).column(FLAGGED) == 0).all()
    one = measured(frames[:1])
    assert len(one) == 1
    assert np.isfinite(one.values).all()
    assert one.meta["frames_flagged"] == 1


def test_small_faces_are_flagged(frames: list[Frame]) -> None:
    height, width = frames[0].image.shape[:2]
    small = changed(frames, lambda image: averaged(image, (width // 4, height // 4)))
    table = measured(small)
    assert table.meta["frames_flagged"] == len(table.with_values())
    assert any("smaller than 60 pixels" in text for text in table.meta["warnings"])


def test_frames_without_a_face(frames: list[Frame]) -> None:
    black = [Frame(f.time_s, np.zeros_like(f.image)) for f in frames]
    mixed = [black[i] if 8 <= i < 11 else frame for i, frame in enumerate(frames)]
    table = measured(mixed, columns=("frame", "success", "AU12_r"))
    assert np.isnan(table.column("AU12_r")[8:11]).all()
    assert np.isfinite(table.column("AU12_r")[[7, 11]]).all()
    assert table.column("success").tolist() == [float(not 8 <= i < 11) for i in range(20)]
    assert table.column("frame").tolist() == list(range(1, 21))
    nobody = measured(black)
    assert nobody.status is Status.MISSING
    assert nobody.reason == "no face in 20 sampled frames"


def test_a_picture_that_lies_on_its_side(frames: list[Frame]) -> None:
    """Not one whose file says so: that is turned before anybody looks at it."""
    table = measured(
        changed(frames, lambda image: np.ascontiguousarray(np.rot90(image))), (*UNITS, "pose_Rz")
    )
    if table.status is Status.OK:
        roll = np.abs(table.with_values().column("pose_Rz"))
        np.testing.assert_allclose(roll, np.pi / 2, atol=0.3)
        assert np.isfinite(table.with_values().values).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"openface_models": "absent"}, FeatureError, "model files"),
        ({"face_rate_hz": 61.0}, UsageError, "face rate"),
        ({"columns": ["AU99_r"]}, UsageError, "AU"),
        ({"columns": ["AU12_r", "AU12_r"]}, UsageError, "distinct|once"),
    ],
)
def test_misuse(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    video = write_media(tmp_path / "clip.mp4")
    with pytest.raises(error, match=message):
        extract("openface", video, **options)
