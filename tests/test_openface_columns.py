"""OpenFace's columns besides action units: pose, gaze, eyes, states, and the CSV that it writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import REPOSITORY, data_root
from trivalent.core.errors import UsageError
from trivalent.core.messages import Language
from trivalent.core.types import FeatureTable
from trivalent.features.face.geometry import METADATA, CanonicalFace
from trivalent.features.face.graphs import TaskArchive
from trivalent.features.openface import status
from trivalent.features.openface.columns import COLUMNS, INTENSITIES, NAME, PRESENCES, VERSION
from trivalent.features.openface.csv_file import read_openface, write_openface
from trivalent.features.openface.eyes import CENTRES, MEASURED, eye_landmarks
from trivalent.features.openface.gaze import gaze
from trivalent.features.openface.landmarks import POINTS_68
from trivalent.features.openface.models import ShapeModel, read_models
from trivalent.features.openface.placed import PlacedFace
from trivalent.features.openface.pose import Camera, head_pose, landmarks_3d
from trivalent.features.openface.row import FACE_COLUMNS, face_columns
from trivalent.features.openface.shape import Fit, angles_of, rotation_of
from trivalent.features.openface.status import ColumnStatus, Engine, column_states, flagged

sys.path.insert(0, str(REPOSITORY / "tools"))
from openface_docs import GROUPS, PAGES, page

Array = NDArray[np.float64]
REFERENCE = data_root().parent / "reference" / "openface"
CAMERA = Camera.of(1280, 720)
ANGLES = st.tuples(*[st.floats(-0.6, 0.6)] * 3).map(np.array)
PLACES = st.tuples(st.floats(-150, 150), st.floats(-100, 100), st.floats(400, 1500)).map(np.array)


@pytest.fixture(scope="module")
def canonical() -> CanonicalFace:
    return CanonicalFace.from_bytes(TaskArchive().read(METADATA))


@pytest.fixture(scope="module")
def mesh() -> Array:
    """478 points that look like a face from the front: x right, y down, z away, mm."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(478, 3)) * [40, 50, 20]
    canonical = CanonicalFace.from_bytes(TaskArchive().read(METADATA))
    points[canonical.index] = 10 * canonical.points * [1, -1, -1]
    return points


@pytest.fixture(scope="module")
def reference() -> Path:
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference of OpenFace at {REFERENCE}; set TRIVALENT_DATA")
    return REFERENCE


def placed(shape: Array, angles: Array, position: Array, camera: Camera = CAMERA) -> PlacedFace:
    """A face as a weak perspective fit would have it, and its true picture."""
    rotation = rotation_of(angles)
    picture = camera.project(shape @ rotation.T + position)
    scale = camera.focal / position[2]
    return PlacedFace(
        picture, shape, scale, rotation, camera.project(position[None])[0], np.full(40, np.nan)
    )


def test_a_camera_projects_what_it_lifts() -> None:
    pixels = np.random.default_rng(1).uniform(0, 700, (9, 2))
    depth = np.linspace(300, 900, 9)
    np.testing.assert_allclose(CAMERA.project(CAMERA.lift(pixels, depth)), pixels)
    assert Camera.of(320, 240).focal == 250


@settings(deadline=None, max_examples=60)
@given(ANGLES, PLACES, st.tuples(*[st.floats(-0.2, 0.2)] * 3).map(np.array), st.floats(0.8, 1.2))
def test_a_face_turned_by_a_known_angle_gives_that_pose(
    angles: Array, position: Array, away: Array, larger: float
) -> None:
    """Whatever the weak perspective says to begin with."""
    shape = np.random.default_rng(2).normal(size=(68, 3)) * [40, 50, 20]
    face = placed(shape, angles, position)
    start = PlacedFace(
        face.points,
        shape,
        face.scale * larger,
        face.rotation @ rotation_of(away),
        face.translation,
        face.parameters,
    )
    pose = head_pose(start, CAMERA)
    np.testing.assert_allclose(pose.columns[:3], position, atol=0.01)
    np.testing.assert_allclose(pose.columns[3:], angles_of(face.rotation), atol=1e-4)


def test_a_pose_of_noise_is_finite() -> None:
    rng = np.random.default_rng(3)
    face = placed(rng.normal(size=(68, 3)) * 40, np.zeros(3), np.array([0.0, 0, 600]))
    wild = PlacedFace(
        rng.uniform(0, 900, (68, 2)), face.shape, 9.0, face.rotation, face.translation, face.parameters
    )
    assert np.isfinite(head_pose(wild, CAMERA).columns).all()


@settings(deadline=None, max_examples=40)
@given(ANGLES, st.floats(0.5, 6), st.floats(100, 1000))
def test_the_mesh_without_model_files_gives_the_turn_and_the_size(
    mesh: Array, canonical: CanonicalFace, angles: Array, scale: float, x: float
) -> None:
    rotation = rotation_of(angles)
    points = scale * mesh @ rotation.T + [x, 300, 0]
    face = PlacedFace.from_mesh(points, canonical)
    assert face.scale == pytest.approx(scale)
    np.testing.assert_allclose(face.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(face.points, points[POINTS_68, :2])
    again = face.scale * face.shape @ face.rotation.T
    np.testing.assert_allclose(again[:, :2] + face.translation, face.points, atol=1e-6)
    space = landmarks_3d(face, CAMERA)
    np.testing.assert_allclose(space[:, 2] - CAMERA.focal / scale, again[:, 2] / scale, atol=1e-6)
    np.testing.assert_allclose(CAMERA.project(space), face.points)


# Who mirrors a picture takes the subject's right eye for the left one.
OTHER_SIDE_68 = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    ]
)


@settings(deadline=None, max_examples=40)
@given(ANGLES, PLACES, st.tuples(*[st.floats(-0.4, 0.4)] * 4).map(np.array))
def test_a_mirrored_picture_mirrors_gaze(angles: Array, position: Array, looks: Array) -> None:
    shape = np.random.default_rng(4).normal(size=(68, 3)) * [40, 50, 20]
    space = shape @ rotation_of(angles).T + position
    mirror = np.array([-1.0, 1.0, 1.0])
    irises = np.array([space[[36, 39]].mean(axis=0), space[[42, 45]].mean(axis=0)])
    irises[:, :2] += 10 * looks.reshape(2, 2)
    seen = gaze(irises, space, rotation_of(angles))
    turned = np.diag(mirror) @ rotation_of(angles) @ np.diag(mirror)
    other = gaze(irises[::-1] * mirror, space[OTHER_SIDE_68] * mirror, turned)
    np.testing.assert_allclose(other[:3], seen[3:6] * mirror, atol=1e-9)
    np.testing.assert_allclose(other[3:6], seen[:3] * mirror, atol=1e-9)
    np.testing.assert_allclose(other[6:], seen[6:] * [-1, 1], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(seen[:6].reshape(2, 3), axis=1), 1)


def test_gaze_turns_with_the_iris_and_survives_a_miss() -> None:
    space = np.zeros((68, 3))
    space[[36, 39], 0], space[[42, 45], 0] = [-45, -15], [15, 45]
    space[:, 2] = 600.0
    ahead = np.array([[-30.0, -3.5, 600], [30.0, -3.5, 600]])
    np.testing.assert_allclose(gaze(ahead, space, np.eye(3))[6:], [0, 0], atol=0.02)
    right_down = gaze(ahead + np.array([4, 4, 0]), space, np.eye(3))
    assert (right_down[6:] > 0.3).all()
    beside = gaze(ahead + np.array([100, 0, 0]), space, np.eye(3))
    assert np.isfinite(beside).all()


def test_the_eyes_are_a_ring_and_lids() -> None:
    points = np.zeros((478, 3))
    steps = np.array([[3, 0], [0, -2], [-3, 0], [0, 2]])  # right, top, left, bottom
    points[468, :2] = [50, 60]
    points[469:473, :2] = points[468, :2] + steps
    eyes = eye_landmarks(points)
    diagonal = np.sqrt(0.5) * np.array([3, 2])
    np.testing.assert_allclose(eyes[0, :2], [47, 60])
    np.testing.assert_allclose(eyes[1, :2], [50, 60] - diagonal)
    np.testing.assert_allclose(eyes[[2, 4, 6], :2], [[50, 58], [53, 60], [50, 62]])
    np.testing.assert_allclose(eyes[:8, :2].mean(axis=0), points[468, :2])
    points[[33, 133, 362, 263], 0] = [1, 2, 3, 4]
    assert eye_landmarks(points)[[8, 14, 36, 42], 0].tolist() == [1, 2, 3, 4]
    assert np.isnan(eyes[~MEASURED]).all()
    assert np.isfinite(eyes[MEASURED]).all()
    assert MEASURED.sum() == 40


def test_a_row_without_model_files(mesh: Array, canonical: CanonicalFace) -> None:
    points = 2 * mesh @ rotation_of(np.array([0.1, 0.3, -0.1])).T + [640, 360, 0]
    row = face_columns(points, PlacedFace.from_mesh(points, canonical), CAMERA)
    assert row.shape == (len(FACE_COLUMNS),) == (674,)
    assert (*COLUMNS[:5], *FACE_COLUMNS, *INTENSITIES, *PRESENCES) == COLUMNS
    states = column_states(Engine.LANDMARKS)
    masked = [states[name].status is ColumnStatus.NOT_MEASURABLE for name in FACE_COLUMNS]
    assert np.isnan(row).tolist() == masked
    told = dict(zip(FACE_COLUMNS, row, strict=True))
    assert told["x_30"] == points[POINTS_68[30], 0]
    assert told["pose_Ry"] == pytest.approx(0.3, abs=0.05)
    assert told["pose_Tz"] == pytest.approx(CAMERA.focal / 2, rel=0.05)
    assert points[CENTRES].shape == (2, 3)


# --- against the program


def model(folder: Path) -> ShapeModel:
    return read_models(folder / "AU_predictors").shape


@pytest.mark.parametrize("name", ["clip_a", "clip_c", "clip_f"])
def test_what_follows_from_the_programs_own_values(reference: Path, name: str) -> None:
    shape = model(reference)
    with np.load(reference / f"{name}.npz", allow_pickle=False) as clip:
        camera = Camera.of(*clip["frame_size"][::-1].tolist())
        for i in np.flatnonzero(clip["exe_ok"])[::9]:
            p = clip["exe_params"][i].astype(np.float64)
            face = PlacedFace.from_fit(Fit(shape, p[0], rotation_of(p[1:4]), p[4:6], p[6:]))
            np.testing.assert_allclose(face.points, clip["exe_xy68"][i], atol=1e-3)
            np.testing.assert_allclose(face.parameters, p, atol=1e-6)
            space = landmarks_3d(face, camera)
            np.testing.assert_allclose(space.T.ravel(), clip["exe_lm3d"][i], atol=1e-2)
            pose = head_pose(face, camera)
            np.testing.assert_allclose(pose.columns[:3], clip["exe_pose"][i][:3], atol=1e-2)
            np.testing.assert_allclose(pose.columns[3:], clip["exe_pose"][i][3:], atol=1e-4)
            eyes = clip["exe_eye3d"][i].astype(np.float64).reshape(3, 2, 28)
            irises = eyes[:, :, :8].mean(axis=2).T
            looks = gaze(irises, space, pose.rotation)
            np.testing.assert_allclose(looks, clip["exe_gaze"][i], atol=5e-4)


def result(name: str) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of a result file by row."""
    content = json.loads((REPOSITORY / "benchmarks" / "results" / f"{name}.json").read_text())
    return {row["name"]: row["metrics"] for row in content["rows"]}


def test_agreement_is_what_the_states_say() -> None:
    rows = result("openface-columns")
    states = column_states(Engine.LANDMARKS)
    for name in ("pose_Rx", "pose_Ry", "pose_Rz"):
        assert states[name].agreement == round(rows[name]["r_bare"]["mean"], 2)
    for name in ("X", "Y", "Z", "eye_lmk_Z (iris)"):
        assert rows[name]["r_min_bare"]["mean"] > status.LEAST_R
    errors = [row.get("largest_error_millionths") for row in result("openface-formulas").values()]
    assert all(error["mean"] < 1000 for error in errors if error)


# --- states


def test_every_column_has_a_state() -> None:
    states = {engine: column_states(engine) for engine in Engine}
    for engine, told in states.items():
        assert tuple(told) == COLUMNS, engine
        for name, state in told.items():
            assert (state.reason is None) == (state.status is ColumnStatus.EXACT), name
            if state.reason is not None:
                assert state.reason.code.startswith("openface.state_")
                assert state.reason.said(Language.CHINESE) != state.reason
    assert {s.status for s in states[Engine.PROGRAM].values()} == {ColumnStatus.EXACT}
    with_models = {n: s.status for n, s in states[Engine.MODELS].items()}
    weak = [n for n, s in with_models.items() if s is ColumnStatus.UNRELIABLE]
    assert {"gaze_angle_y", "gaze_0_z", "p_3", "p_33", "AU01_r", "AU15_r", "AU28_c"} <= set(weak)
    assert not {"gaze_angle_x", "pose_Rx", "p_1", "AU12_r", "AU12_c", "X_0", "x_67"} & set(weak)
    without = [n for n, s in states[Engine.LANDMARKS].items() if s.status is ColumnStatus.NOT_MEASURABLE]
    assert {"AU12_r", "AU45_c", "p_scale", "p_33", "eye_lmk_Z_55"} <= set(without)
    assert len(without) == 17 + 18 + 40 + 5 * 16


@pytest.mark.parametrize("language", PAGES)
def test_the_pages_say_what_the_code_says(language: Language) -> None:
    text = PAGES[language].read_text(encoding="utf-8")
    assert text == page(text, language), "run: python tools/openface_docs.py"
    names = [name for group in GROUPS for name in group.columns()]
    assert sorted(names) == sorted(COLUMNS)


def test_small_and_turned_faces_are_flagged() -> None:
    widths, yaws = [59.9, 60, 200, 200, np.nan], [0, 0, np.radians(31), np.radians(-29), np.nan]
    assert flagged(widths, yaws).tolist() == [True, False, True, False, False]


# --- the program's CSV


def table(columns: tuple[str, ...], values: Array, fps: float = 25.0) -> FeatureTable:
    return FeatureTable(NAME, VERSION, columns, np.arange(len(values)) / fps, values)


def test_a_written_file_is_the_programs(tmp_path: Path) -> None:
    columns = ("AU12_c", "AU12_r", "pose_Rx", "gaze_0_x", "x_0", "p_0", "gaze_angle_x", "confidence")
    values = np.array([[1, 1.234, 0.12345, 0.1234567, 9.06, 3.14159, 0.5, 0.987], [np.nan] * 8])
    values[1, 1] = 0.41  # the mean with its neighbour
    path = write_openface(table(columns, values), tmp_path / "a.csv")
    assert path.read_text().splitlines() == [
        "frame,face_id,timestamp,confidence,success,gaze_0_x,gaze_angle_x,pose_Rx,x_0,p_0,AU12_r,AU12_c",
        "1,0,0.000,0.99,1,0.123457,0.500,0.123,9.1,3.142,1.23,1.00",
        "2,0,0.040,0.00,0,0.000000,0.000,0.000,0.0,0.000,0.41,0.00",
    ]


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    lost = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    lost[data.draw(st.integers(0, count - 1))] = False
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    columns = tuple(rng.permutation(COLUMNS[5:])[: data.draw(st.integers(1, 709))].tolist())
    written = table(columns, np.round(rng.normal(size=(count, len(columns))) * 50, 1))
    written.values[lost] = np.nan
    path = tmp_path_factory.mktemp("openface") / "t.csv"
    again = read_openface(write_openface(written, path))
    assert again.columns == tuple(name for name in COLUMNS if name in columns)
    np.testing.assert_array_equal(again.times, written.times)
    assert again.meta == {"frames": count, "frames_without_face": int(lost.sum())}
    np.testing.assert_array_equal(again.select(columns).values, written.values)


def test_what_is_not_measured_is_left_out(tmp_path: Path) -> None:
    values = np.array([[0.5, np.nan, np.nan], [0.25, np.nan, 2.0]])
    written = table(("p_0", "eye_lmk_x_20", "pose_Tx"), values)
    lines = write_openface(written, tmp_path / "a.csv").read_text().splitlines()
    assert lines[0].endswith("success,pose_Tx,p_0")  # confidence is not known either
    assert lines[1].endswith(",1,nan,0.500")  # a gap stays a gap
    nobody = table(("p_0", "pose_Tx", "success"), np.array([[np.nan, np.nan, 0.0]]))
    assert write_openface(nobody, tmp_path / "b.csv").read_text().endswith("1,0,0.000,0,0.0,0.000\n")


def test_foreign_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got au\.smile; leave these out, or write \.npz"):
        write_openface(table(("AU12_r", "au.smile"), np.ones((1, 2))), tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())
