"""Head pose against the canonical face, and gaze from the irises.

Pose is the rotation of a weighted Procrustes fit (Kabsch 1976) of the landmarks to the
canonical face mesh of MediaPipe, with the mesh, landmark choice and weights that the
task archive carries (`geometry_pipeline_metadata_landmarks.binarypb`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import AssetError
from trivalent.core.protobuf import fields

METADATA = "geometry_pipeline_metadata_landmarks.binarypb"

# Field numbers of MediaPipe's geometry_pipeline_metadata.proto and mesh_3d.proto.
_CANONICAL_MESH, _PROCRUSTES_BASIS = 1, 2
_VERTEX_BUFFER = 3
_LANDMARK_ID, _WEIGHT = 1, 2
_VERTEX_FLOATS = 5  # x, y, z and two texture coordinates

# (iris centre, corner on the image's left, corner on the image's right, upper lid, lower lid)
_RIGHT_EYE = (468, 33, 133, 159, 145)
_LEFT_EYE = (473, 362, 263, 386, 374)
_TINY_PX = 1e-6  # keeps the gaze of a degenerate eye finite


@dataclass(frozen=True, eq=False)
class CanonicalFace:
    """A frontal face to measure pose against.

    Attributes
    ----------
    index : array of int, shape (k,)
        Landmarks that hardly move with expression.
    points : array, shape (k, 3)
        Their place on the canonical mesh in centimetres, x right, y up, z to the camera.
    weights : array, shape (k, 1)
        Summing to one.
    """

    index: NDArray[np.int64]
    points: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def from_bytes(cls, content: bytes) -> CanonicalFace:
        """Parse the metadata message of the task archive.

        Raises
        ------
        AssetError
            The message holds no mesh or no Procrustes basis.
        """
        vertices: NDArray[np.float64] | None = None
        basis: list[tuple[int, float]] = []
        try:
            for number, value in fields(memoryview(content)):
                if isinstance(value, int):
                    continue
                if number == _CANONICAL_MESH:
                    vertices = _vertices(value)
                elif number == _PROCRUSTES_BASIS:
                    reference = dict(fields(value))
                    landmark, weight = reference[_LANDMARK_ID], reference[_WEIGHT]
                    basis.append((int(landmark), float(np.frombuffer(weight, "<f4")[0])))  # type: ignore[arg-type]
        except (ValueError, IndexError, KeyError) as error:
            raise AssetError("face.geometry", metadata=METADATA, error=error) from error
        if vertices is None or not basis:
            raise AssetError("face.mesh", metadata=METADATA)
        index = np.array([i for i, _ in basis])
        weights = np.array([[w] for _, w in basis])
        return cls(index, vertices[index], weights / weights.sum())

    def rotation(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotation matrix, shape (3, 3), of the head: canonical face to camera axes.

        Parameters
        ----------
        points : array, shape (478, 3)
            Landmarks in pixels: x right, y down, z away from the camera.
        """
        seen = points[self.index] * np.array([1.0, -1.0, -1.0])  # to the axes of the mesh
        seen = seen - (seen * self.weights).sum(axis=0)
        model = self.points - (self.points * self.weights).sum(axis=0)
        u, _, vt = np.linalg.svd((seen * self.weights).T @ model)
        no_mirror = np.diag([1.0, 1.0, np.linalg.det(u @ vt)])
        return np.asarray(u @ no_mirror @ vt)


def pose_angles(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitch, yaw and roll in degrees, shape (3,), of a rotation about z, then y, then x.

    Positive pitch looks down, positive yaw turns to the image's right, positive roll
    tilts counter-clockwise in the image.

    >>> pose_angles(np.eye(3)).tolist()
    [0.0, 0.0, 0.0]
    """
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    yaw = np.arcsin(np.clip(-rotation[2, 0], -1.0, 1.0))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.degrees(np.array([pitch, yaw, roll])) + 0.0


def gaze(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Iris offset along and across each eye and how far the eye is open, shape (6,).

    In widths of that eye, for the subject's right eye and then the left one: x grows to
    the image's right along the line of the corners, y downwards from it.
    """
    return np.concatenate([_eye(points[:, :2], *_RIGHT_EYE), _eye(points[:, :2], *_LEFT_EYE)])


def _eye(
    flat: NDArray[np.float64], iris: int, first: int, second: int, upper: int, lower: int
) -> NDArray[np.float64]:
    axis = flat[second] - flat[first]
    width = float(np.linalg.norm(axis)) + _TINY_PX
    axis = axis / width
    offset = flat[iris] - (flat[first] + flat[second]) / 2
    across = np.array([-axis[1], axis[0]])
    opening = np.linalg.norm(flat[upper] - flat[lower])
    return np.array([offset @ axis, offset @ across, opening]) / width


def _vertices(mesh: memoryview) -> NDArray[np.float64]:
    """Positions of the mesh; protobuf writes floats packed or one field each."""
    chunks = [v for number, v in fields(mesh) if number == _VERTEX_BUFFER and not isinstance(v, int)]
    floats = np.frombuffer(b"".join(chunks), "<f4").astype(np.float64)
    return floats.reshape(-1, _VERTEX_FLOATS)[:, :3]
