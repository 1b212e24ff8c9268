"""The face extractor against the prototype, and its behaviour on awkward pictures."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from trivalent.core.assets import asset_path
from trivalent.core.errors import AssetError, FeatureError
from trivalent.core.types import Status
from trivalent.features.face import (
    BLENDSHAPES,
    COLUMNS,
    EMOTIONS,
    LANDMARK_COLUMNS,
    NAME,
    VERSION,
    Detector,
    FaceExtractor,
)
from trivalent.features.face.detector import Detection, make_anchors, merge, tile_corners
from trivalent.features.face.geometry import CanonicalFace, gaze, pose_angles
from trivalent.features.face.landmarks import Region, region_of_detection, region_of_points
from trivalent.features.face.observation import FaceReader, LocatedFace
from trivalent.features.face.tracker import FaceTracker

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRIVALENT_DATA", ROOT.parent / "shared" / "data"))
PROTOTYPE = ROOT.parent / "shared" / "reference" / "face" / "facelite.py"
CLIPS = ("ANG", "HAP", "NEU", "SAD")
STEP_S = 0.1


@dataclass(frozen=True)
class Shot:
    """A frame, as the extractor expects it."""

    time_s: float
    image: np.ndarray


def shots(images, *, step_s=STEP_S):
    return [Shot(i * step_s, image) for i, image in enumerate(images)]


@pytest.fixture(scope="module")
def extractor():
    return FaceExtractor()


@pytest.fixture(scope="module")
def clips():
    """Frames of the four CREMA-D clips, 360 x 480 each."""
    av = pytest.importorskip("av")
    folder = DATA / "crema_d"
    if not folder.is_dir():
        pytest.skip("the CREMA-D clips are absent; set TRIVALENT_DATA")
    found = {}
    for name in CLIPS:
        with av.open(str(folder / f"1001_DFA_{name}_XX.flv")) as video:
            found[name] = [Shot(float(f.time), f.to_ndarray(format="rgb24")) for f in video.decode(video=0)]
    return found


@pytest.fixture(scope="module")
def portrait(clips):
    """One frame with one face about 200 px high, and its left-right extent padded with grey."""
    return clips["NEU"][0].image


def background(height=480, width=640):
    return np.full((height, width, 3), 120, dtype=np.uint8)


def pasted(canvas, image, *, height_px, left, top):
    """Shrink an image to a height and put it on a copy of a canvas."""
    scale = height_px / image.shape[0]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = canvas.copy()
    room = canvas[top : top + small.shape[0], left : left + small.shape[1]]
    room[:] = small[: room.shape[0], : room.shape[1]]
    return canvas


# --- against the prototype


@pytest.fixture(scope="module")
def prototype():
    if not PROTOTYPE.is_file():
        pytest.skip("the prototype is absent")
    spec = importlib.util.spec_from_file_location("facelite", PROTOTYPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def expected(clips, prototype):
    """What the prototype sees in every frame, by clip."""
    task = str(asset_path("face_landmarker.task"))
    return {name: [*map(prototype.FaceLite(task), (f.image for f in clips[name]))] for name in CLIPS}


def differences(rows, expected):
    """Largest absolute difference of blendshapes, pose and gaze, each of shape (frames,)."""
    columns = (slice(0, 52), slice(52, 55), slice(55, 61))
    return [
        np.abs(rows[:, at] - np.array([e[key] for e in expected])).max(axis=1)
        for at, key in zip(columns, ("blend", "pose", "gaze"), strict=True)
    ]


@pytest.mark.parametrize("name", CLIPS)
def test_tracks_exactly_as_the_prototype_from_the_same_start(name, clips, expected):
    reference = expected[name]
    tracker = FaceTracker(FaceReader(), face=LocatedFace(reference[0]["pts"], reference[0]["score"]))
    seen = [tracker.step(f.time_s, f.image) for f in clips[name][1:]]
    blend, pose, look = differences(np.array([face.row() for face in seen]), reference[1:])
    assert blend.max() < 1e-4
    assert pose.max() < 1e-3
    assert look.max() < 1e-4


@pytest.mark.parametrize("name", CLIPS)
def test_agrees_with_the_prototype_from_its_own_start(name, clips, expected, extractor):
    """Another first region (a better shrunk picture, refined once) is forgotten by tracking."""
    table = extractor.extract(clips[name])
    assert len(table) == len(clips[name])
    blend, pose, look = differences(table.values, expected[name])
    assert blend.max() < 0.15
    assert pose.max() < 1.0
    assert look.max() < 0.03
    settled = 10
    assert blend[settled:].max() < 0.02
    assert pose[settled:].max() < 0.1
    assert look[settled:].max() < 0.005


# --- real clips


def test_table_of_a_real_clip(clips, extractor):
    table = extractor.extract(clips["HAP"])
    assert (table.extractor, table.version, table.columns) == (NAME, VERSION, COLUMNS)
    assert table.status is Status.OK
    assert table.valid.all()
    assert table.times.tolist() == [f.time_s for f in clips["HAP"]]
    blend = table.select(BLENDSHAPES).values
    assert blend.min() >= 0
    assert blend.max() <= 1
    emotions = table.select([f"fer_{e}" for e in EMOTIONS]).values
    np.testing.assert_allclose(emotions.sum(axis=1), 1, atol=1e-4)
    assert table.meta["frames_sampled"] == table.meta["frames_with_face"] == len(clips["HAP"])
    assert table.meta["faces_max"] == 1
    assert table.meta["detectors"] == {"track": len(clips["HAP"]) - 1, "short": 1}
    assert table.meta["warnings"] == []
    assert np.abs(table.select(["pose_pitch", "pose_yaw", "pose_roll"]).values).max() < 25  # looks at us


def test_happy_smiles_more_than_neutral(clips, extractor):
    happy, neutral = (extractor.extract(clips[n][::5]) for n in ("HAP", "NEU"))
    for column in ("mouthSmileLeft", "mouthSmileRight", "fer_happy"):
        assert happy.column(column).mean() > neutral.column(column).mean() + 0.2


def test_landmark_columns_and_callback(clips):
    extractor = FaceExtractor(landmarks=True)
    seen = []
    table = extractor.extract(
        clips["SAD"][:3], on_face=lambda t, image, face: seen.append((t, image, face))
    )
    assert table.columns == COLUMNS + LANDMARK_COLUMNS
    assert [t for t, _, _ in seen] == table.times.tolist()
    points = table.select(LANDMARK_COLUMNS).values.reshape(3, 478, 3)
    np.testing.assert_allclose(points[1], seen[1][2].points)
    assert (points[:, :, 0] > 0).all()
    assert (points[:, :, 0] < 480).all()


def test_extract_keeps_no_state_between_recordings(clips, extractor):
    first = extractor.extract(clips["ANG"][:4])
    extractor.extract(shots([background()]))
    np.testing.assert_array_equal(extractor.extract(clips["ANG"][:4]).values, first.values)


def test_mirroring_swaps_sides(portrait, extractor):
    plain = extractor.observe(portrait)
    mirrored = extractor.observe(np.ascontiguousarray(portrait[:, ::-1]))
    assert mirrored.pose[1] == pytest.approx(-plain.pose[1], abs=2)
    assert mirrored.pose[2] == pytest.approx(-plain.pose[2], abs=2)
    assert mirrored.box[0] == pytest.approx(1 - plain.box[0], abs=0.02)


@pytest.mark.parametrize("degrees", [-30, 30])
def test_roll_is_measured(degrees, portrait, extractor):
    height, width = portrait.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)  # counter-clockwise
    turned = cv2.warpAffine(portrait, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    change = extractor.observe(turned).pose[2] - extractor.observe(portrait).pose[2]
    assert change == pytest.approx(degrees, abs=3)


# --- no face, several faces, small faces


def test_no_face_is_missing_with_a_reason(extractor):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(3)]
    table = extractor.extract(shots(noise))
    assert table.status is Status.MISSING
    assert table.reason == "no face in 3 sampled frames"
    assert table.columns == COLUMNS
    assert table.meta["frames_sampled"] == 3
    assert table.meta["frames_with_face"] == 0
    assert extractor.observe(noise[0]) is None


def test_no_frames_at_all(extractor):
    assert extractor.extract([]).reason == "no face in 0 sampled frames"


def test_several_faces_warn_and_the_largest_is_analysed(portrait, extractor):
    both = pasted(background(480, 900), portrait, height_px=240, left=20, top=100)
    both = pasted(both, portrait, height_px=400, left=360, top=40)
    table = extractor.extract(shots([both, both]))
    assert table.meta["faces_max"] == 2
    assert table.meta["warnings"] == ["up to 2 faces in a frame; the largest is analysed"]
    assert table.column("faces").tolist() == [2, 2]
    assert (table.column("box_x") > 0.5).all()


def test_a_face_that_becomes_the_largest_takes_over(portrait, extractor):
    one = pasted(background(480, 900), portrait, height_px=240, left=20, top=100)
    # The second face comes in without a change of scene that would start the search anew.
    two = pasted(one, portrait, height_px=330, left=400, top=60)
    sequence = [*[one] * 4, *[two] * 12]
    table = extractor.extract(shots(sequence))
    left = table.column("box_x") < 0.4
    assert left[:4].all()
    assert not left[-3:].any()
    assert table.column("faces")[-1] == 2


def test_change_of_scene_resets_tracking(portrait, extractor):
    first = pasted(background() // 4, portrait, height_px=300, left=20, top=20)
    second = pasted(background() * 2, portrait, height_px=300, left=220, top=150)
    table = extractor.extract(shots([first, first, second]))
    assert table.meta["detectors"] == {"track": 1, "short": 2}


def test_face_that_leaves_and_returns(portrait, extractor):
    table = extractor.extract(shots([portrait, np.zeros_like(portrait), portrait]))
    assert table.times.tolist() == [0, 2 * STEP_S]
    assert table.meta["frames_sampled"] == 3


@pytest.mark.parametrize("face_px", [100, 60, 32])
def test_small_faces_in_a_webcam_frame(face_px, portrait, extractor):
    full = extractor.observe(portrait)
    share = full.box[3]  # of the picture's height
    small = pasted(background(), portrait, height_px=face_px / share, left=200, top=100)
    seen = extractor.observe(small)
    assert seen is not None
    assert seen.box[3] * 480 == pytest.approx(face_px, rel=0.15)
    if face_px < 50:
        assert seen.detector is Detector.BACK
    assert np.abs(seen.pose - full.pose).max() < 8


def test_small_face_in_a_large_frame_is_found_in_tiles(portrait, extractor):
    share = extractor.observe(portrait).box[3]
    large = pasted(background(1080, 1920), portrait, height_px=36 / share, left=1500, top=700)
    seen = extractor.observe(large)
    assert seen is not None
    assert seen.detector is Detector.TILES
    assert seen.box[:2] == pytest.approx([1500 / 1920, 700 / 1080], abs=0.06)


# --- validation


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 64), np.uint8), r"expected an RGB image .* got \(64, 64\); convert grey"),
        (np.zeros((64, 64, 4), np.uint8), r"got \(64, 64, 4\); convert grey or RGBA"),
        (np.zeros((64, 64, 3), np.float32), "expected an image of uint8, got float32"),
        (np.zeros((4, 64, 3), np.uint8), "at least 16 x 16 pixels, got 64 x 4"),
        ([[0]], "expected an image of uint8, got list"),
    ],
)
def test_bad_images_are_refused(image, message, extractor):
    with pytest.raises(FeatureError, match=message):
        extractor.observe(image)
    with pytest.raises(FeatureError, match=message):
        extractor.extract([Shot(0.0, image)])


def test_threads_are_checked():
    with pytest.raises(FeatureError, match="at least one thread, got 0"):
        FaceExtractor(threads=0)


def test_views_and_odd_shapes_are_fine(portrait, extractor):
    assert extractor.observe(portrait[:, ::-1]) is not None  # negative stride
    assert extractor.observe(np.zeros((17, 301, 3), np.uint8)) is None


def test_nothing_is_printed_and_torch_stays_out():
    code = (
        "import sys\nfrom trivalent.features.face import FaceExtractor\nFaceExtractor()\n"
        "assert not {'torch', 'sklearn', 'mediapipe'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


# --- the parts


def test_column_names_are_unique_and_counted():
    assert len(BLENDSHAPES) == 52
    assert len(set(COLUMNS + LANDMARK_COLUMNS)) == len(COLUMNS) + 1434
    assert COLUMNS[:52] == BLENDSHAPES


def test_anchors_are_those_of_blazeface():
    anchors = make_anchors()
    assert anchors.shape == (896, 2)
    assert anchors[0].tolist() == anchors[1].tolist() == [1 / 32, 1 / 32]
    assert anchors[2].tolist() == [3 / 32, 1 / 32]  # x runs first
    assert anchors[512].tolist() == anchors[517].tolist() == [1 / 16, 1 / 16]


def test_merge_averages_by_score_and_separates():
    boxes = np.array([[0.0, 0, 10, 10, 1], [2.0, 0, 10, 10, 4], [100.0, 0, 10, 10, 7]])
    merged = list(merge(boxes, np.array([0.8, 0.4, 0.9])))
    assert [score for _, score in merged] == [0.9, 0.8]
    np.testing.assert_allclose(merged[1][0], [2 / 3, 0, 10, 10, 2])
    assert list(merge(np.zeros((0, 5)), np.zeros(0))) == []


@pytest.mark.parametrize("shape", [(480, 640), (1080, 1920), (2160, 3840), (1920, 1080), (700, 700)])
def test_tiles_cover_the_image(shape):
    covered = np.zeros(shape, dtype=bool)
    for top, left, side in tile_corners(*shape):
        covered[top : top + side, left : left + side] = True
    assert covered.all()


def test_regions_turn_with_the_eyes():
    detection = Detection(
        np.array([50.0, 60.0]), np.array([20.0, 24.0]), np.array([[45.0, 50.0], [55.0, 60.0]]), 0.9
    )
    region = region_of_detection(detection)
    assert region.side == pytest.approx(36)
    assert np.degrees(region.angle) == pytest.approx(45)
    np.testing.assert_allclose(region.from_crop(256) @ [128, 128, 1], [50, 60])


def test_region_of_points_follows_a_rotation():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(478, 3)) * [10, 15, 5]
    points[33], points[263] = [-20, 0, 0], [20, 0, 0]
    upright = region_of_points(points)
    angle = 0.6
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    turned = region_of_points(points @ turn.T)
    assert turned.angle == pytest.approx(angle)
    assert turned.side == pytest.approx(upright.side)
    np.testing.assert_allclose(turned.center, turn[:2, :2] @ upright.center, atol=1e-9)


def test_crop_of_an_upright_region_is_a_slice():
    image = np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3)
    crop = Region(np.array([20.0, 20.0]), 16.0, 0.0).crop(image, 16)
    np.testing.assert_array_equal(crop, image[12:28, 12:28])


@pytest.mark.parametrize(("pitch", "yaw", "roll"), [(0, 0, 0), (10, -20, 30), (-15, 40, -5)])
def test_pose_recovers_a_known_rotation(pitch, yaw, roll):
    rng = np.random.default_rng(1)
    index = np.arange(12)
    face = CanonicalFace(index, rng.normal(size=(12, 3)), np.full((12, 1), 1 / 12))
    p, y, r = np.radians([pitch, yaw, roll])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    seen = 7 * face.points @ (rz @ ry @ rx).T * [1, -1, -1] + [300, 200, 5]  # scaled, in pixel axes
    np.testing.assert_allclose(pose_angles(face.rotation(seen)), [pitch, yaw, roll], atol=1e-6)


def test_gaze_of_a_hand_made_eye():
    points = np.zeros((478, 3))
    points[33], points[133] = [0, 0, 0], [10, 0, 0]
    points[468] = [7, 1, 0]  # iris two right of the middle, one below the line
    points[159], points[145] = [5, -2, 0], [5, 2, 0]
    np.testing.assert_allclose(gaze(points)[:3], [0.2, 0.1, 0.4], atol=1e-6)
    assert np.isfinite(gaze(points)).all()


def test_damaged_geometry_is_an_asset_error():
    with pytest.raises(AssetError, match="mesh and a basis"):
        CanonicalFace.from_bytes(b"")
    with pytest.raises(AssetError, match="wire type"):
        CanonicalFace.from_bytes(b"\x0b")
