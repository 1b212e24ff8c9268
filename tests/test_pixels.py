"""Pictures are resized and turned as OpenCV does it, to the last level."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import REPOSITORY
from trivalent.features.face.landmarks import Region
from trivalent.features.face.pixels import averaged, grey, interpolated, warped
from trivalent.media.recording import open_recording

SAMPLE = REPOSITORY / "src" / "trivalent" / "data" / "samples" / "sample.mp4"


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return [frame.image for frame in open_recording(SAMPLE).frames()]


def squares(count: int) -> Iterator[Region]:
    """Turned squares, some of which reach or lie beyond the borders of the frames (480 x 360)."""
    rng = np.random.default_rng(5)
    for _ in range(count):
        yield Region(rng.uniform(-50, 500, 2), float(rng.uniform(10, 600)), float(rng.normal(0, 0.5)))


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def test_turned_squares(frames: list[NDArray[np.uint8]]) -> None:
    for image, region in zip([*frames * 20], squares(200), strict=False):
        for side in (64, 256):
            expected = cv2.warpAffine(
                image,
                region.from_crop(side),
                (side, side),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            np.testing.assert_array_equal(region.crop(image, side), expected)


def test_a_square_far_outside_repeats_the_border() -> None:
    image = noise(20, 30)
    for center, corner in (((-900.0, -900.0), (0, 0)), ((900.0, 900.0), (-1, -1))):
        crop = Region(np.array(center), 40.0, 0.0).crop(image, 16)
        assert (crop == image[corner]).all()


@pytest.mark.parametrize("size", [(32, 32), (128, 96), (256, 192), (96, 96), (240, 180)])
def test_means_of_frames(frames: list[NDArray[np.uint8]], size: tuple[int, int]) -> None:
    for image in frames:
        np.testing.assert_array_equal(
            averaged(image, size), cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        )


@pytest.mark.parametrize("shape", [(512, 512), (300, 300), (20, 31), (95, 40), (120, 90), (16, 300)])
@pytest.mark.parametrize("size", [(96, 96), (256, 256), (100, 150), (160, 157)])
def test_means_of_noise(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = noise(*shape)
    expected = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(int)
    different = np.abs(averaged(image, size) - expected)
    assert different.max() <= 1  # of means that lie halfway
    assert (different > 0).mean() < 0.01


@pytest.mark.parametrize("shape", [(20, 31), (95, 40), (120, 90), (16, 128), (128, 128)])
@pytest.mark.parametrize("size", [(128, 128), (256, 245)])
def test_enlarged(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = noise(*shape)
    np.testing.assert_array_equal(
        interpolated(image, size), cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    )


def test_grey(frames: list[NDArray[np.uint8]]) -> None:
    for image in [*frames, noise(40, 50)]:
        np.testing.assert_array_equal(grey(image), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def test_known_levels() -> None:
    """By hand: two pixels of three, and a turn by a quarter."""
    line = np.repeat(np.array([[[0], [90], [240]]], np.uint8), 3, axis=2)
    assert averaged(line, (2, 1))[0, :, 0].tolist() == [30, 190]  # (0 + 90 / 2) / 1.5, (90 / 2 + 240) / 1.5
    image = noise(4, 4)
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 3.0]])  # (x, y) lies at (y, 3 - x)
    np.testing.assert_array_equal(warped(image, quarter, 4), np.rot90(image, -1))
