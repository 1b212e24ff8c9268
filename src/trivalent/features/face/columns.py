"""Names of everything that the face extractor measures; array sizes derive from these tuples."""

from __future__ import annotations

NAME = "face"
VERSION = "1"

# Order of the outputs of the blendshape graph (MediaPipe's `face_blendshapes.tflite`).
BLENDSHAPES: tuple[str, ...] = (
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
)
POSE: tuple[str, ...] = ("pose_pitch", "pose_yaw", "pose_roll")  # degrees
GAZE: tuple[str, ...] = tuple(
    f"gaze_{eye}_{what}" for eye in ("right", "left") for what in ("x", "y", "open")
)  # fractions of the width of that eye
# Order of the outputs of the FER2013 graph.
EMOTIONS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
BOX: tuple[str, ...] = ("box_x", "box_y", "box_width", "box_height")  # centre and size, of the image

COLUMNS: tuple[str, ...] = (
    *BLENDSHAPES,
    *POSE,
    *GAZE,
    *(f"fer_{emotion}" for emotion in EMOTIONS),
    *BOX,
    "score",
    "faces",
)

LANDMARK_COUNT = 478  # 468 of the mesh and five for each iris
LANDMARK_COLUMNS: tuple[str, ...] = tuple(
    f"landmark_{i:03d}_{axis}" for i in range(LANDMARK_COUNT) for axis in "xyz"
)  # pixels of the frame
