"""OpenFace 2: the schema, its CSV files, whole and broken, and a run of the program."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_samples import write_media
from trivalent.cli.main import main
from trivalent.core.errors import DataError, FeatureError, TrivalentError
from trivalent.core.types import Status
from trivalent.extract import extract
from trivalent.features.openface.columns import COLUMNS, MOSEI_COLUMNS, unit
from trivalent.features.openface.csv_file import read_openface
from trivalent.features.openface.models import ENVIRONMENT
from trivalent.features.openface.program import PROGRAM, find_openface, run_openface
from trivalent.features.tables import read_table

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


def test_numbers_that_windows_writes_for_none(tmp_path: Path) -> None:
    rows = [
        f"{i}, 0, 0.0{i}, 0.98, 1, {cell}, 0.2, 1" for i, cell in enumerate(("-nan(ind)", "1.#QNAN", "1.5"))
    ]
    column = read_openface(write(tmp_path / "a.csv", *rows)).column("AU12_r")
    np.testing.assert_array_equal(column, [np.nan, np.nan, 1.5])


def test_two_people_are_never_in_one_track(tmp_path: Path) -> None:
    rows = [
        f"{i}, {face}, 0.{i:02d}, 0.9, {int(face or i > 1)}, {face}, 0.2, 1"
        for i in range(5)
        for face in (0, 1)
    ]
    table = read_openface(write(tmp_path / "a.csv", *rows))
    assert table.column("AU12_r").tolist() == [1.0] * 5
    assert table.meta["warnings"] == [
        "the file has 2 faces at a time; face 1, seen longest and most surely, is read, the others are "
        "left out"
    ]
    one_after_the_other = [f"{i}, {i // 3}, 0.{i:02d}, 0.9, 1, {i}, 0.2, 1" for i in range(5)]
    assert len(read_openface(write(tmp_path / "b.csv", *one_after_the_other))) == 5


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


# --- the runner, with programs that we write ourselves

CELLS = ", ".join(["1, 0, 0.0, 0.98, 1", *["0.5"] * (len(COLUMNS) - 5)])
WRITES = f"""
assert arguments["-aus"] is None
with open(os.path.join(arguments["-out_dir"], "clip.csv"), "w") as stream:
    stream.write({", ".join(COLUMNS)!r} + "\\n" + {CELLS!r} + "\\n")
"""
# Starts a child, tells who both are, and waits for ever.
HANGS = """
import subprocess, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(os.environ["TOLD"], "w") as stream:
    stream.write(f"{os.getpid()} {child.pid} {os.getcwd()}")
time.sleep(600)
"""
FAILS = """
print("half way")
sys.stderr.write("loading\\nCould not load the landmark detector\\n\\n")
sys.exit(3)
"""


def program(folder: Path, body: str) -> Path:
    """Write an executable that reads arguments as OpenFace does."""
    path = folder / PROGRAM
    head = (
        f"#!{sys.executable}\nimport os, sys\narguments = {{}}\n"
        "for name, value in zip(sys.argv[1:], [*sys.argv[2:], '-']):\n"
        "    if name.startswith('-'):\n"
        "        arguments[name] = None if value.startswith('-') else value\n"
    )
    path.write_text(head + body)
    path.chmod(0o755)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_runner_reads_what_the_program_writes(tmp_path: Path, temporary: Path) -> None:
    video = tmp_path / "my clip; rm -rf $HOME.mp4"
    table = run_openface(video, program=program(tmp_path, WRITES))
    assert table.columns == COLUMNS[5:]
    assert (table.values == 0.5).all()
    assert table.meta == {"frames": 1, "frames_without_face": 0, "video": video.name}
    assert run_openface(video, program=tmp_path / PROGRAM, columns=["AU12_r"]).values.shape == (1, 1)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (FAILS, "exit status 3: Could not load the landmark detector; run it by hand"),
        ("print('ERROR: no frames'); sys.exit(1)", "exit status 1: ERROR: no frames"),
        ("os.abort()", "exit status -6: it said nothing"),
        ("print('done')", r"expected a CSV from FeatureExtraction for a\.mp4, got none \(done\)"),
        (
            "open(os.path.join(arguments['-out_dir'], 'a.csv'), 'w').write('x, y\\n')",
            "timestamp and success",
        ),
    ],
)
def test_programs_that_fail(tmp_path: Path, temporary: Path, body: str, message: str) -> None:
    with pytest.raises(TrivalentError, match=message):
        run_openface(tmp_path / "a.mp4", program=program(tmp_path, body))
    assert list(temporary.iterdir()) == []


def test_a_program_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    with pytest.raises(FeatureError, match=r"finish a\.mp4 within 5 s, got no end; allow more time"):
        run_openface(tmp_path / "a.mp4", program=program(tmp_path, HANGS), timeout_s=5)
    parent, child, folder = (tmp_path / "told").read_text().split()
    assert not Path(folder).exists()
    for _ in range(100):  # the child is reaped by whoever adopts it
        if not any(alive(int(pid)) for pid in (parent, child)):
            break
        time.sleep(0.05)
    assert not any(alive(int(pid)) for pid in (parent, child))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.is_file() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_where_the_program_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FeatureError, match=r"on the PATH, got none; build it .* forbids commercial use"):
        find_openface()
    path = program(tmp_path, WRITES)
    assert find_openface() == path
    for named in (tmp_path, path):
        monkeypatch.setenv(ENVIRONMENT, str(named))
        assert find_openface() == path
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "absent"))
    with pytest.raises(FeatureError, match=r"TRIVALENT_OPENFACE=.*absent, got none; build it"):
        find_openface()
    path.chmod(0o644)
    monkeypatch.setenv(ENVIRONMENT, str(path))
    with pytest.raises(FeatureError, match="an executable"):
        find_openface()


def test_a_program_for_another_machine(tmp_path: Path) -> None:
    path = program(tmp_path, "")
    path.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(FeatureError, match=r"expected a program that runs at .*, got: Exec format error"):
        run_openface(tmp_path / "a.mp4", program=path)


def test_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(program(tmp_path, WRITES)))
    video = write_media(tmp_path / "clip.mp4")
    out = tmp_path / "f.npz"
    assert main(["extract", "openface", str(video), "-o", str(out), "--engine", "program"]) == 0
    assert capsys.readouterr().out.endswith("f.npz: 1 rows, 709 columns, ok\n")
    assert read_table(out).extractor == "openface"
    stored = write(tmp_path / "before.csv", "1, 0, 0.0, 0.98, 1, 1.5, 0.2, 1")
    assert main(["extract", "openface", str(stored), "-o", str(out), "--columns", "AU12_r"]) == 0
    assert read_table(out).values.tolist() == [[1.5]]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("absent.mp4", {}, "absent.mp4"),
        ("sound.wav", {}, "expected a video for openface, got sound.wav without pictures"),
        ("t.srt", {}, "expected a recording for openface, got the text t.srt"),
        ("clip.mp4", {"columns": ["AU12r"]}, "did you mean AU12_r"),
        ("clip.mp4", {"timeout_s": 0.0}, "a time limit above 0 s, got 0"),
        ("clip.mp4", {"seed": 1}, "the option seed with covarep only"),
    ],
)
def test_misuse(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    write_media(tmp_path / "sound.wav", video=None, audio="pcm_s16le", rate=16000)
    with pytest.raises(TrivalentError, match=message):
        extract("openface", tmp_path / name, **options)
