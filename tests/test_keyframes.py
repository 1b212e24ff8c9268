"""Key frames: the strongest of each utterance, the strongest utterances, and no more pictures than that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.types import Utterance
from trivalent.experts.keyframes import MAX_KEYFRAMES, KeyFrames
from trivalent.features.face import BLENDSHAPES, FaceObservation

SMILE = BLENDSHAPES.index("mouthSmileLeft")
BLINK = BLENDSHAPES.index("eyeBlinkLeft")
IMAGE = np.zeros((20, 20, 3), np.uint8)


def face(smile: float, blink: float = 0.0) -> FaceObservation:
    values = np.zeros(len(BLENDSHAPES), np.float32)
    values[SMILE], values[BLINK] = smile, blink
    seen: Any = SimpleNamespace(blendshapes=values, box=np.array([0.5, 0.5, 0.4, 0.4]))
    return cast(FaceObservation, seen)


def seconds(count: int) -> list[Utterance]:
    return [Utterance(i, float(i), i + 1.0, "") for i in range(count)]


@given(st.lists(st.lists(st.integers(0, 20), max_size=3), max_size=3 * MAX_KEYFRAMES))
@settings(max_examples=60, deadline=None)
def test_the_strongest_are_chosen_and_few_are_held(smiles: list[list[int]]) -> None:
    keyframes, expected = KeyFrames(seconds(len(smiles))), []
    for i, own in enumerate(smiles):
        for k, smile in enumerate(own):
            keyframes.consider(i + k / 4, IMAGE, face(smile / 20))
            assert len(keyframes._best) <= MAX_KEYFRAMES + 1
        if own:
            expected.append((max(own), -i, i + own.index(max(own)) / 4))
    strongest = sorted(expected, reverse=True)[:MAX_KEYFRAMES]
    assert [k.time_s for k in keyframes.chosen()] == sorted(time_s for _, _, time_s in strongest)


def test_what_a_key_frame_tells() -> None:
    keyframes = KeyFrames([Utterance(0, 1.0, 2.0, "")])
    keyframes.consider(0.5, IMAGE, face(0.9))  # before the utterance
    keyframes.consider(1.2, IMAGE, face(0.5, blink=1.0))
    keyframes.consider(2.0, IMAGE, face(0.9))  # after it
    (found,) = keyframes.chosen()
    assert (found.time_s, found.utterance) == (1.2, 0)
    assert found.expressions == {"mouthSmileLeft": 0.5}
    assert found.jpeg.startswith(b"\xff\xd8")
