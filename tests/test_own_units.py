"""Our own action units: range, neutral faces, monotony, mirror images, turned heads, other data."""

from __future__ import annotations

import re

import numpy as np
import pytest

from trivalent.features.face.columns import BLENDSHAPES
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS, SCALES, USABLE, own_units, signals

UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 25, 26, 45)
MAIN = {
    1: "browInnerUp",
    2: "browOuterUp",
    4: "browDown",
    5: "eyeWide",
    6: "mouthSmile",
    7: "eyeSquint",
    10: "mouthUpperUp",
    12: "mouthSmile",
    14: "mouthDimple",
    15: "mouthFrown",
    17: "mouthShrugLower",
    20: "mouthStretch",
    25: "mouthLowerDown",
    26: "jawOpen",
    45: "eyeBlink",
}  # unit 9 is a distance


def column(unit, kind="r"):
    return OWN_UNIT_COLUMNS.index(f"au.{unit:02d}_{kind}")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def face():
    """A face at rest, frontal, in pixels: the landmarks that the formulas read, symmetric about x = 0."""
    points = np.zeros((478, 3))
    for right, left, place in (
        (33, 263, (-45, 0, 10)),
        (133, 362, (-15, 0, 5)),
        (107, 336, (-14, -12, 0)),
        (105, 334, (-32, -19, 3)),
    ):
        points[right], points[left] = place, (-place[0], *place[1:])
    points[168], points[2] = (0, 8, -8), (0, 48, -15)
    points[13], points[14] = (0, 70, -8), (0, 71, -8)
    return points


def shapes(**activations):
    """Activations of both sides, everything else at zero."""
    out = np.zeros(52)
    for name, value in activations.items():
        sides = [i for i, full in enumerate(BLENDSHAPES) if re.fullmatch(f"{name}(Left|Right)?", full)]
        assert sides
        out[sides] = value
    return out


def units_of(blendshapes, points):
    return own_units(np.atleast_2d(blendshapes), points[None] if points.ndim == 2 else points)


def mirrored_shapes(blendshapes):
    swap = {"Left": "Right", "Right": "Left"}
    other = [re.sub("Left$|Right$", lambda m: swap[m[0]], name) for name in BLENDSHAPES]
    return blendshapes[..., [BLENDSHAPES.index(name) for name in other]]


def mirrored_points(points):
    out = points * np.array([-1.0, 1.0, 1.0])
    pairs = np.array([(33, 263), (133, 362), (107, 336), (105, 334)])
    out[:, pairs.ravel()] = out[:, pairs[:, ::-1].ravel()]
    return out


def turned(points, degrees):
    """Turn a face about its x, y and z axes."""
    x, y, z = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return points @ (about_x @ about_y @ about_z).T


def test_columns_are_the_sixteen_units_with_intensity_and_presence():
    assert tuple(f"au.{u:02d}_{kind}" for kind in "rc" for u in UNITS) == OWN_UNIT_COLUMNS
    assert set(USABLE) <= set(OWN_UNIT_COLUMNS)
    assert all(begin < full for begin, full in SCALES.values())


def test_every_value_is_in_range(rng):
    found = own_units(rng.uniform(0, 1, (500, 52)), rng.normal(0, 100, (500, 478, 3)))
    intensities, presences = np.split(found, 2, axis=1)
    assert found.shape == (500, 32)
    assert ((intensities >= 0) & (intensities <= 5)).all()
    assert np.array_equal(presences, intensities >= 1)


def test_a_face_at_rest_has_no_unit(face):
    assert units_of(shapes(), face) == pytest.approx(np.zeros((1, 32)), abs=0.3)
    assert not units_of(shapes(), face)[:, 16:].any()


@pytest.mark.parametrize("unit", MAIN)
def test_a_unit_rises_with_its_blendshape(unit, face):
    steps = np.array([shapes(**{MAIN[unit]: a}) for a in np.linspace(0, 1, 21)])
    rising = own_units(steps, np.repeat(face[None], 21, axis=0))[:, column(unit)]
    assert (np.diff(rising) >= 0).all()
    assert rising[-1] >= rising[0] + 2.5 - 1e-9


def test_units_rise_with_their_distances(face):
    wrinkled, parted, arched = face.copy(), face.copy(), face.copy()
    wrinkled[[107, 336], 1] += 9
    parted[14, 1] += 25
    arched[[107, 336], 1] -= 5
    rest = units_of(shapes(), face)[0]
    assert units_of(shapes(), wrinkled)[0, column(9)] > rest[column(9)] + 1
    assert units_of(shapes(), parted)[0, column(25)] > rest[column(25)] + 1
    assert units_of(shapes(), arched)[0, column(1)] > rest[column(1)] + 1


def test_a_mirror_image_has_the_same_units(rng):
    blendshapes, points = rng.uniform(0, 1, (40, 52)), rng.normal(0, 100, (40, 478, 3))
    plain = own_units(blendshapes, points)
    assert own_units(mirrored_shapes(blendshapes), mirrored_points(points)) == pytest.approx(plain)


def test_one_side_counts_half(face):
    one = shapes()
    one[BLENDSHAPES.index("mouthDimpleLeft")] = 0.1
    both = shapes(mouthDimple=0.05)
    assert units_of(one, face) == pytest.approx(units_of(both, face))


@pytest.mark.parametrize("degrees", [(20, 0, 0), (0, 35, 0), (0, 0, 90), (-15, -30, 40)])
def test_turning_moving_or_enlarging_a_face_changes_nothing(degrees, face):
    face[14, 1] += 20
    elsewhere = turned(face, degrees) * 3.0 + np.array([200.0, 100.0, 5.0])
    assert units_of(shapes(jawOpen=0.2), elsewhere) == pytest.approx(units_of(shapes(jawOpen=0.2), face))


def test_each_face_is_read_by_itself(rng):
    blendshapes, points = rng.uniform(0, 1, (9, 52)), rng.normal(0, 100, (9, 478, 3))
    single = [own_units(b[None], p[None])[0] for b, p in zip(blendshapes, points, strict=True)]
    assert np.array_equal(own_units(blendshapes, points), single)


def test_no_face_and_no_value_are_no_zero(face):
    assert own_units(np.zeros((0, 52)), np.zeros((0, 478, 3))).shape == (0, 32)
    flat = units_of(shapes(mouthSmile=1.0), np.zeros((478, 3)))[0]
    assert np.isnan(flat[[column(u, kind) for u in (1, 9, 25) for kind in "rc"]]).all()
    assert flat[column(12)] == 5
    unknown = units_of(np.full(52, np.nan), face)[0]
    assert np.isnan(unknown[[column(12), column(12, "c")]]).all()


def test_signals_are_those_that_are_scaled(face):
    assert list(signals(shapes()[None], face[None])) == list(SCALES)
