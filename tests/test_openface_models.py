"""OpenFace's model files: those of the reference, damaged ones, those of another version."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from openface_reference import FOLDER, models, needs_reference
from trivalent.core.errors import FeatureError
from trivalent.features.openface.columns import INTENSITIES, PRESENCES
from trivalent.features.openface.models import ENVIRONMENT, MAIN, find_models, read_models

pytestmark = needs_reference
LIST, SHAPE, TRIANGLES = "AU_all_best.txt", "In-the-wild_aligned_PDM_68.txt", "tris_68_full.txt"
UNIT = "svr_combined/AU_4_static_intensity_comb.dat"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the folder, to damage it."""
    folder = tmp_path / "AU_predictors"
    shutil.copytree(FOLDER, folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


def test_what_the_files_hold() -> None:
    read = models()
    dynamic = {
        name for name, one in zip((*INTENSITIES, *PRESENCES), read.units.dynamic, strict=True) if one
    }
    numbers = {"r": "01 02 05 09 15 17 20 23 25 26 45", "c": "01 02 09 15 17 20 25 26 28 45"}
    assert dynamic == {f"AU{n}_{kind}" for kind, listed in numbers.items() for n in listed.split()}
    cutoffs = dict(zip(INTENSITIES, read.units.cutoffs, strict=True))
    assert [cutoffs[f"AU{n}_r"] for n in ("01", "17", "45")] == pytest.approx([0.55, 0.2, 0.6])
    assert np.isnan(cutoffs["AU12_r"])
    present_above = {name for name, one in zip(PRESENCES, read.units.classes, strict=True) if one[1] == 1}
    assert present_above == {"AU10_c", "AU12_c", "AU25_c"}  # all others score above 0 for absent
    assert read.shape.mean.shape == (68, 3)
    assert read.shape.mean[0, 0] == -73.393523
    assert np.linalg.norm(read.shape.mean[36] - read.shape.mean[45]) == pytest.approx(90, abs=5)  # mm
    assert read.shape.triangles.shape == (111, 3)


def test_a_copy_is_found_in_each_of_its_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "OpenFace" / "build" / "bin" / "AU_predictors"
    shutil.copytree(FOLDER, inner, copy_function=shutil.copyfile)
    for named in (inner, inner.parent, inner.parent.parent.parent):
        found = find_models(named)
        assert found is not None
        assert found.samefile(inner)
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert find_models() is None
    program = inner.parent / "FeatureExtraction"
    program.touch()
    monkeypatch.setenv(ENVIRONMENT, str(program))
    found = find_models()
    assert found is not None
    assert found.samefile(inner)
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    assert find_models() is None
    with pytest.raises(FeatureError, match="model files"):
        find_models(tmp_path)


def test_line_ends_of_windows_change_nothing(copy: Path) -> None:
    for path in copy.glob("*.txt"):
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    read = read_models(copy)
    np.testing.assert_array_equal(read.units.weights, models().units.weights)
    np.testing.assert_array_equal(read.shape.components, models().shape.components)
    assert read.sha256 != models().sha256  # of the bytes


@pytest.mark.parametrize("cut", [0, 3, 5, 40, 1000, -1])
def test_a_file_that_ends_early(copy: Path, cut: int) -> None:
    path = copy / UNIT
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FeatureError, match=r"AU_4_static_intensity_comb\.dat"):
        read_models(copy)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (MAIN, b"PDM ", b"CLM ", "AUPredictor, PDM and Triangulation"),
        (LIST, b"svr_combined/AU_4_static_intensity_comb.dat AU04", b"", "35 models"),
        (LIST, b"AU_4_static_intensity_comb.dat AU04", b"AU_4_static_intensity_comb.dat AU99", "35 models"),
        (LIST, b"svm_combined/AU_1_dynamic.dat", b"../../etc/passwd", "inside the folder"),
        (LIST, b"svm_combined/AU_1_dynamic.dat", b"/etc/passwd", "inside the folder"),
        (LIST, b"svm_combined/AU_1_dynamic.dat", b"svm_combined/none.dat", "readable model file"),
        (SHAPE, b"\n204\n", b"\n198\n", "204 x 1"),
        (SHAPE, b"-73.393523", b"nan", "finite numbers"),
        (SHAPE, b"-73.393523", b"x", "finite numbers"),
        (TRIANGLES, b"58 67 59", b"58 68 59", "68 points"),
        (TRIANGLES, b"58 67 59", b"58 67", "111 x 3"),
        (TRIANGLES, b"58 67 59", b"58 67 \xff", "ASCII"),
    ],
)
def test_other_files(copy: Path, name: str, old: bytes, new: bytes, message: str) -> None:
    path = copy / name
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(FeatureError, match=message):
        read_models(copy)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, struct.pack("<i", 7), "type 0, 1, 4 or 5"),
        (4, struct.pack("<i", -1), "whole model"),
        (4, struct.pack("<ii", 2**30, 2**30), "whole model"),
        (4, struct.pack("<i", 4701), "whole model|4702 weights"),
        (24, struct.pack("<d", np.nan), "finite"),
        (-8, struct.pack("<d", np.inf), "finite"),
    ],
)
def test_other_numbers(copy: Path, at: int, value: bytes, message: str) -> None:
    path = copy / UNIT
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at : at + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(FeatureError, match=message):
        read_models(copy)


@pytest.mark.parametrize(
    ("name", "at", "value", "message"),
    [
        ("svr_combined/AU_1_dynamic_intensity_comb.dat", 4, 1.0, "cutoff"),
        ("svr_combined/AU_1_dynamic_intensity_comb.dat", 4, np.nan, "cutoff"),
        ("svm_combined/AU_1_dynamic.dat", -8, 2.0, "0 or 1"),
    ],
)
def test_values_that_cannot_be(copy: Path, name: str, at: int, value: float, message: str) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at : at + 8] = struct.pack("<d", value)
    path.write_bytes(content)
    with pytest.raises(FeatureError, match=message):
        read_models(copy)
