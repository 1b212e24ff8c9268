"""OpenFace 2: the schema, and its CSV files, whole and broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trivalent.errors import DataError
from trivalent.lab.datasets.openface import COLUMNS, MOSEI_COLUMNS, read_openface, unit
from trivalent.types import Status

HEADER = "frame, face_id, timestamp, confidence, success, AU12_r, AU04_r, AU12_c"


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_schema() -> None:
    assert (len(COLUMNS), len(MOSEI_COLUMNS), len(set(COLUMNS))) == (714, 713, 714)
    # Of the 922 videos' first columns: face_id is constant, then come these three.
    assert MOSEI_COLUMNS[:4] == ("face_id", "timestamp", "confidence", "success")
    assert COLUMNS[5:7] == ("gaze_0_x", "gaze_0_y")
    assert COLUMNS[-1] == "AU45_c"
    assert sum(name.endswith("_r") for name in COLUMNS) == 17
    assert sum(name.startswith("AU") and name.endswith("_c") for name in COLUMNS) == 18


def test_units() -> None:
    assert all(map(unit, COLUMNS))
    units = [unit(n) for n in ("gaze_0_x", "gaze_angle_x", "pose_Tz", "eye_lmk_x_3", "eye_lmk_Z_3", "Y_67")]
    assert units == ["unit vector", "rad", "mm", "px", "mm", "mm"]
    with pytest.raises(DataError, match="did you mean AU12_r"):
        unit("AU12r")


def test_the_second_column_of_real_features_is_a_time(real_data: Path) -> None:
    with np.load(real_data / "cmu_mosei" / "video_level_922.npz", allow_pickle=False) as data:
        openface = data["openface35"]
    confidence, success = (openface[:, MOSEI_COLUMNS.index(n)] for n in ("confidence", "success"))
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert ((success >= 0) & (success <= 1)).all()
    assert np.ptp(openface[:, MOSEI_COLUMNS.index("face_id")]) == 0


def test_frames_without_a_face_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1, 0, 0.0, 0.98, 1, 1.5, 0.2, 1", "2, 0, 0.04, 0.1, 0, 9, 9, 1", "")
    table = read_openface(path)
    assert table.columns == ("AU12_r", "AU04_r", "AU12_c")
    assert table.times.tolist() == [0.0, 0.04]
    np.testing.assert_array_equal(table.values, [[1.5, 0.2, 1], [np.nan] * 3])
    assert table.meta == {"frames": 2, "frames_without_face": 1}
    assert read_openface(path, ["AU04_r"]).values[0].tolist() == [0.2]
    without = read_openface(write(tmp_path / "b.csv", "1, 0, 0.0, 0.1, 0, 0, 0, 0"))
    assert (without.status, without.reason) == (Status.MISSING, "OpenFace found no face in 1 frames")
    assert read_openface(write(tmp_path / "c.csv")).status is Status.MISSING


@pytest.mark.parametrize(
    ("rows", "header", "columns", "message"),
    [
        (["1, 0, 0.0, 0.9, 1, 1, 1, 1"], HEADER, ["AU12r"], r"the column AU12r in a\.csv.* mean AU12_r"),
        (["1, 0, 0.0, 0.9, 1, 1, x, 1"], HEADER, None, "8 numbers in data row 1"),
        (["1, 0, 0.0, 0.9, 1, 1, 1, 1", "2, 0, 0.0"], HEADER, None, "data row 2 of a.csv, got 3 cells"),
        (["1, 2"], "a, b", None, "timestamp and success .* got a, b"),
        ([], "", None, "timestamp and success"),
    ],
)
def test_broken_files(
    tmp_path: Path, rows: list[str], header: str, columns: list[str] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_openface(write(tmp_path / "a.csv", *rows, header=header), columns)


def test_absent_and_binary(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_openface(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="a CSV of OpenFace"):
        read_openface(tmp_path / "binary.csv")
