"""Where the head is before the camera: columns `X_0` to `Z_67` and `pose_*`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.features.openface.placed import PlacedFace
from trivalent.features.openface.shape import angles_of

# Of the camera that OpenFace assumes: focal length in pixels of a picture of 640 x 480.
_FOCAL, _WIDTH, _HEIGHT = 500.0, 640.0, 480.0
_STEPS = 20
_ENOUGH = 1e-9  # relative gain of a step: the least error is reached
_DAMPING, _EASIER, _HARDER = 1e-4, 0.1, 10.0  # of Levenberg and Marquardt
_SMALL = 1e-9  # rad


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes
    ----------
    focal : float
        Pixels.
    centre : array of float64, shape (2,)
        Of the picture, pixels.
    """

    focal: float
    centre: NDArray[np.float64]

    @classmethod
    def of(cls, width: int, height: int) -> Camera:
        """Assume what OpenFace assumes of a picture of this size.

        >>> Camera.of(640, 480).focal
        500.0
        """
        focal = _FOCAL * (width / _WIDTH + height / _HEIGHT) / 2
        return cls(focal, np.array([width / 2, height / 2]))

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels, shape (n, 2), of points in space, mm, shape (n, 3)."""
        return self.focal * points[:, :2] / points[:, 2:] + self.centre

    def lift(self, pixels: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points in space, shape (n, 3), seen at pixels of shape (n, 2) and so far away, shape (n,)."""
        depth = depth[:, None]
        return np.hstack([(pixels - self.centre) / self.focal * depth, depth])


@dataclass(frozen=True, eq=False)
class Pose:
    """Of the head: `rotation @ shape + position` is the face in space, mm."""

    rotation: NDArray[np.float64]
    position: NDArray[np.float64]

    @property
    def columns(self) -> NDArray[np.float64]:
        """`pose_Tx` to `pose_Rz`: mm and radians, shape (6,)."""
        return np.concatenate([self.position, angles_of(self.rotation)])


def landmarks_3d(face: PlacedFace, camera: Camera) -> NDArray[np.float64]:
    """Find the 68 points before the camera, mm, shape (68, 3).

    The depth is that of the weak perspective face, along the rays of the perspective camera.
    """
    return camera.lift(face.points, camera.focal / face.scale + face.shape @ face.rotation[2])


def head_pose(face: PlacedFace, camera: Camera) -> Pose:
    """Turn and move the face so that the perspective camera sees it where the picture has it.

    Least squares over the 68 points by Levenberg and Marquardt, from the weak perspective pose.
    """
    seen = (face.points - camera.centre) / camera.focal
    rotation = face.rotation
    distance = np.array([camera.focal / face.scale])
    position = camera.lift(face.translation[None], distance)[0]
    damping = _DAMPING
    turned = face.shape @ rotation.T
    residuals = _residuals(turned + position, seen)
    error = float(residuals @ residuals)
    for _ in range(_STEPS):
        jacobian = _jacobian(turned, turned + position)
        hessian, gradient = jacobian.T @ jacobian, jacobian.T @ residuals
        hessian[np.diag_indices(6)] *= 1 + damping
        step = np.asarray(np.linalg.solve(hessian, gradient), np.float64)
        trial = _turn(step[:3]) @ rotation, position + step[3:]
        moved = face.shape @ trial[0].T
        rest = _residuals(moved + trial[1], seen)
        left = float(rest @ rest)
        if not left < error or (moved[:, 2] + trial[1][2]).min() <= 0:
            damping *= _HARDER
            continue
        (rotation, position), turned, residuals = trial, moved, rest
        last, error, damping = error, left, damping * _EASIER
        if last - error < _ENOUGH * last:
            break
    return Pose(rotation, position)


def _residuals(points: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what is left of x, then y, in focal lengths, shape (136,)."""
    return (seen - points[:, :2] / points[:, 2:]).T.ravel()


def _jacobian(turned: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of x, then y with a turn about the camera's axes and a move, shape (136, 6)."""
    near = 1 / points[:, 2]
    a, b = (points[:, :2] * near[:, None]).T
    x, y, z = turned.T
    jacobian = np.zeros((2, len(points), 6))
    jacobian[0, :, 0], jacobian[1, :, 0] = -a * y * near, -(z + b * y) * near
    jacobian[0, :, 1], jacobian[1, :, 1] = (z + a * x) * near, b * x * near
    jacobian[0, :, 2], jacobian[1, :, 2] = -y * near, x * near
    jacobian[0, :, 3], jacobian[1, :, 4] = near, near
    jacobian[0, :, 5], jacobian[1, :, 5] = -a * near, -b * near
    return jacobian.reshape(-1, 6)


def _turn(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrix of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < _SMALL:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


__all__ = ["Camera", "Pose", "head_pose", "landmarks_3d"]
