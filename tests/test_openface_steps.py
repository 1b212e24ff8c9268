"""Each step from landmarks to action units, against the values of OpenFace 2.2 and of a prototype."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openface_reference import CLIPS, clip, models, needs_reference
from trivalent.features.openface.aligned import SIDE, aligned_face, covered
from trivalent.features.openface.fhog import fhog
from trivalent.features.openface.landmarks import landmarks_68
from trivalent.features.openface.medians import RunningMedian
from trivalent.features.openface.models import DESCRIPTOR
from trivalent.features.openface.post_processing import RunningLevels, intensities, presences
from trivalent.features.openface.shape import FEATURES, PROJECTION, angles_of, fit_shape, rotation_of
from trivalent.features.openface.units import Rule, UnitTrack


@needs_reference
@pytest.mark.parametrize("name", CLIPS)
def test_the_fit_of_the_shape(name: str) -> None:
    reference, shape = clip(name), models().shape
    for i in np.nonzero(reference["our_ok"])[0][::15]:
        points = landmarks_68(reference["mp_points"][i].astype(float))
        np.testing.assert_allclose(points, reference["our_xy68_raw"][i], atol=1e-3)
        on_model = fit_shape(shape, points, prior=PROJECTION).points
        fit = fit_shape(shape, on_model, prior=FEATURES)
        found = [fit.scale, *fit.angles, *fit.translation, *fit.parameters]
        np.testing.assert_allclose(found, reference["our_params"][i], atol=1e-6)
        np.testing.assert_allclose(fit.points, reference["our_xy68_pdm"][i], atol=1e-3)


@needs_reference
@pytest.mark.parametrize("who", ["exe", "our"])
@pytest.mark.parametrize("name", CLIPS)
def test_gradients(name: str, who: str) -> None:
    reference = clip(name)
    for face, expected in zip(reference[f"{who}_face"], reference[f"{who}_fhog"], strict=True):
        np.testing.assert_allclose(fhog(face).ravel(), expected, atol=2e-7)


@needs_reference
@pytest.mark.parametrize("name", "ab")
def test_units_from_the_gradients_and_points_of_the_program(name: str) -> None:
    reference, read = clip(name), models()
    track = UnitTrack(read.units)
    for seen, gradients, points in zip(
        reference["exe_ok"], reference["exe_fhog_all"], reference["exe_xy68"].astype(float), strict=True
    ):
        fit = fit_shape(read.shape, points, prior=FEATURES)
        parts = [gradients.astype(float), fit.deviation.T.ravel(), fit.parameters]
        track.add(np.concatenate(parts) if seen else None)
    units = track.finish()
    strength, present = np.split(units[reference["exe_ok"]], [17], axis=1)
    np.testing.assert_allclose(strength, reference["exe_AU_r"][reference["exe_ok"]], atol=7e-4)
    np.testing.assert_array_equal(present, reference["exe_AU_c"][reference["exe_ok"]])


@needs_reference
@pytest.mark.parametrize("name", CLIPS)
def test_post_processing(name: str) -> None:
    reference, units = clip(name), models().units
    strength, sign = (reference[f"our_raw_AU_{kind}"].astype(float) for kind in "rc")
    for scores in (strength, sign):
        scores[~reference["our_ok"]] = np.nan
    np.testing.assert_allclose(intensities(strength, units.cutoffs), reference["our_AU_r"], atol=2e-7)
    np.testing.assert_array_equal(presences(sign, units.classes), reference["our_AU_c"])


@needs_reference
def test_the_mask_lets_through_what_the_program_lets_through() -> None:
    reference, shape = clip("c"), models().shape
    for i, face in zip(reference["shown_frames"], reference["exe_face"], strict=True):
        fit = fit_shape(shape, reference["exe_xy68"][i].astype(float), prior=FEATURES)
        white = aligned_face(np.full((*reference["frame_size"], 3), 255, np.uint8), fit).any(axis=-1)
        assert (white != face.any(axis=-1)).sum() <= 12  # of 12,544 pixels, on the edge


@needs_reference
def test_a_face_beyond_the_edge_of_the_picture_is_black_there() -> None:
    reference, shape = clip("c"), models().shape
    points = reference["exe_xy68"][0].astype(float)
    fit = fit_shape(shape, points - points.mean(axis=0), prior=FEATURES)  # its middle in the corner
    face = aligned_face(np.full((200, 200, 3), 255, np.uint8), fit)
    assert not face[: SIDE // 2 - 12, : SIDE // 2 - 12].any()
    assert (face[SIDE // 2 + 4 : SIDE // 2 + 8, SIDE // 2 + 4 : SIDE // 2 + 8] == 255).all()


@needs_reference
def test_rules_of_a_track() -> None:
    reference, read = clip("a"), models()
    faces = []
    for gradients, points in zip(reference["exe_fhog_all"], reference["exe_xy68"], strict=True):
        fit = fit_shape(read.shape, points.astype(float), prior=FEATURES)
        faces.append(np.concatenate([gradients.astype(float), fit.deviation.T.ravel(), fit.parameters]))
    online = UnitTrack(read.units, rule=Rule.ONLINE)
    first = UnitTrack(read.units, rule=Rule.ONLINE)
    for i, face in enumerate(faces):
        online.add(face)
        if i < 60:
            first.add(face)
    units = online.finish()
    np.testing.assert_array_equal(units[:60], first.finish())  # what follows changes nothing
    assert ((units[:, :17] >= 0) & (units[:, :17] <= 5)).all()
    assert set(np.unique(units[:, 17:])) <= {0, 1}
    late = np.corrcoef(units[40:, 8], reference["exe_AU_r"][40:, 8])[0, 1]
    assert late > 0.9  # AU12, which asks for neither median nor level


@needs_reference
def test_frames_without_the_face() -> None:
    track = UnitTrack(models().units)
    assert track.finish().shape == (0, 35)
    track.add(None)
    assert np.isnan(track.finish()).all()
    track.add(np.zeros(DESCRIPTOR))
    units = track.finish()
    assert np.isnan(units[0]).all()
    assert np.isfinite(units[1]).all()


def test_a_descriptor_of_black_and_of_half_a_picture() -> None:
    assert not fhog(np.zeros((SIDE, SIDE, 3), np.uint8)).any()
    face = np.zeros((SIDE, SIDE, 3), np.uint8)
    face[:, SIDE // 2 :] = 200
    cells = fhog(face)
    assert cells[:, :4].any() == cells[:, 8:].any() == False  # noqa: E712 - of arrays
    assert (cells[:, 5:7].argmax(axis=-1) == 0).all()  # to the right
    mirrored = fhog(np.ascontiguousarray(face[:, ::-1]))
    assert (mirrored[:, 5:7].argmax(axis=-1) == 9).all()  # and to the left


@given(st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3))
def test_angles_and_back(angles: list[float]) -> None:
    np.testing.assert_allclose(angles_of(rotation_of(np.array(angles))), angles, atol=1e-6)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90))
def test_the_running_median_is_the_median(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    samples = np.zeros((count, DESCRIPTOR))
    samples[:, :10] = rng.uniform(0, 1, (count, 10))
    samples[:, -10:] = rng.normal(0, 8, (count, 10))
    running = RunningMedian()
    for i, sample in enumerate(samples):
        running.add(sample)
        if i % 7 == 0:
            running.median()  # on the way, so that it goes on from there
    ordered = np.sort(samples, axis=0)
    expected = ordered[(count + 1) // 2 - 1]
    median = running.median()
    np.testing.assert_allclose(median[:10], expected[:10], atol=1e-3)
    np.testing.assert_allclose(median[-10:], expected[-10:], atol=7e-3)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_pixels_in_triangles(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-20, SIDE + 20, (12, 2))
    triangles = rng.integers(0, 12, (count, 3))
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.zeros((SIDE, SIDE), bool)
    near = np.zeros((SIDE, SIDE), bool)
    for corners in points[triangles]:
        sides = []
        for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            length = np.hypot(x2 - x1, y2 - y1) or 1.0
            sides.append(((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)) / length)
        low, high = np.min(sides, axis=0), np.max(sides, axis=0)
        inside |= (low > 1e-9) | (high < -1e-9)
        near |= np.abs(sides).min(axis=0) < 1e-6
    wrong = covered(points, triangles) != inside
    assert not (wrong & ~near).any()


def test_levels_of_the_frames_so_far() -> None:
    levels = RunningLevels(np.array([0.5, np.nan]))
    scores = np.linspace(0, 1, 50)[:, None].repeat(2, axis=1)
    found = np.array([levels.after(row) for row in scores])
    assert (found[:9] == 0).all()
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(
        found[20:, 0], [np.quantile(scores[: i + 1, 0], 0.1) for i in range(20, 50)], atol=0.06
    )
