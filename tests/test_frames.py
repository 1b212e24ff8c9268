"""Frames: channels against a naive computation, and what must not change them; experts over frames."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import PRIOR, VOICE_CHANNELS, VOICE_WEIGHTS, Manifest, frames_graph, frames_spec, write_bundle
from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import MIN_STEPS, Expert, ExpertSpec, Inputs, load_bundle
from trivalent.core.assets import DATA
from trivalent.core.errors import BundleError, FeatureError
from trivalent.core.types import FeatureTable, Modality, Status, Utterance
from trivalent.experts.audio import read_voice
from trivalent.features.covarep import covarep
from trivalent.features.frames import (
    CHANNELS,
    columns_of_channels,
    frames,
    level_of_frames,
    spoken,
)
from trivalent.features.levels import Level
from trivalent.media.recording import open_recording
from trivalent.media.sound import SAMPLE_RATE, AudioTrack

COLUMNS = columns_of_channels(CHANNELS)


def table_of(values: np.ndarray, columns: tuple[str, ...] = COLUMNS) -> FeatureTable:
    return FeatureTable("covarep", "2", columns, np.arange(len(values)) / 100, values)


def random_table(rows: int = 61, seed: int = 0) -> FeatureTable:
    """Return a voice that starts and stops, with rows that have no voicing decision."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, len(COLUMNS)))
    values[:, 0] = 170 * 2 ** rng.normal(0, 0.3, rows)
    values[:, 1] = np.arange(rows) % 20 > 7
    values[:2, :3] = np.nan
    values[-3:, 2] = np.nan
    return table_of(values)


def naive(table: FeatureTable) -> list[list[float]]:
    """Compute all channels with loops over rows, from the definitions."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.values.tolist()]
    n = len(rows)
    voiced = [row["VUV"] == 1 for row in rows]
    semitones = sorted(12 * math.log2(row["F0"]) for row, v in zip(rows, voiced, strict=True) if v)
    k = len(semitones)
    median = (semitones[(k - 1) // 2] + semitones[k // 2]) / 2 if k else 0.0

    def slope(x: list[float], i: int) -> float:
        if i == 0:
            return x[1] - x[0]
        return x[i] - x[i - 1] if i == n - 1 else (x[i + 1] - x[i - 1]) / 2

    shape = [
        (12 * math.log2(r["F0"]) - median) / 4 if v else 0.0 for r, v in zip(rows, voiced, strict=True)
    ]
    centred = []
    for c in range(13):
        own = [r[f"MCEP_{c}"] for r, v in zip(rows, voiced, strict=True) if v or not k]
        mean = sum(own) / len(own)
        centred.append([r[f"MCEP_{c}"] - mean for r in rows])
    full = []
    for i, row in enumerate(rows):
        out = [shape[i]]
        out.append((median - 12 * math.log2(170)) / 6 if voiced[i] else 0.0)
        out.append(0.5 if voiced[i] else -0.5)
        out.append(row["peakSlope"] if voiced[i] and row["peakSlope"] == row["peakSlope"] else 0.0)
        out += [c[i] for c in centred]
        out += [slope(c, i) for c in centred[:6]]
        out.append(3 * slope(shape, i) if voiced[i] else 0.0)
        full.append(out)
    return [[(a + b) / 2 for a, b in zip(full[i], full[i + 1], strict=True)] for i in range(0, n - 1, 2)]


@pytest.mark.parametrize("rows", [2, 3, 30, 61])
def test_channels_equal_their_definitions(rows: int) -> None:
    table = random_table(rows)
    found = frames(table)
    assert found.dtype == np.float32
    assert found.shape == (rows // 2, len(CHANNELS))
    np.testing.assert_allclose(found, naive(table), atol=1e-5)


def test_some_channels_are_those_columns_in_that_order() -> None:
    table, chosen = random_table(), ("MCEP_3", "VUV", "F0.delta")
    index = [CHANNELS.index(name) for name in chosen]
    np.testing.assert_array_equal(frames(table, chosen), frames(table)[:, index])
    assert columns_of_channels(chosen) == ("F0", "VUV", "MCEP_3")
    np.testing.assert_array_equal(
        frames(table.select(("F0", "VUV", "MCEP_3")), chosen), frames(table, chosen)
    )


@pytest.mark.parametrize("rows", [0, 1])
def test_without_two_rows_there_is_no_step(rows: int) -> None:
    assert frames(random_table(61).between(0.1, 0.1 + rows / 100 - 0.005)).shape == (0, len(CHANNELS))


def test_whispering_is_finite() -> None:
    table = random_table()
    values = table.values.copy()
    values[:, 1] = 0
    found = frames(table_of(values))
    assert np.isfinite(found).all()
    assert not found[:, [0, 1, 3, CHANNELS.index("F0.delta")]].any()
    np.testing.assert_allclose(frames(table_of(values[:60]))[:, 4].mean(), 0, atol=1e-6)


def test_digital_silence_is_left_out() -> None:
    """A noise gate between words changes nothing but the pause."""
    table = random_table()
    gated = np.insert(table.values, 10, np.full((14, len(COLUMNS)), np.nan), axis=0)
    gated[10:24, 1] = 0
    assert len(spoken(table_of(gated))) == len(table)
    np.testing.assert_array_equal(frames(table_of(gated)), frames(table))
    assert frames(table_of(gated[10:24])).shape == (0, len(CHANNELS))


def test_levels_tell_an_utterance_from_the_rest_of_its_recording() -> None:
    calm, tense = random_table(), random_table()
    values = tense.values.copy()
    values[:, 0] *= 2  # an octave
    values[:, 3:] += np.arange(13)
    tense = table_of(np.concatenate([values, values]))  # and twice as long
    channels = ("F0.height", "F0.level", "MCEP_0.level", "MCEP_12.level", "peakSlope.level")
    levels = [level_of_frames(table, channels) for table in (calm, tense)]
    recording = Level.mean(levels)
    low, high = (frames(table, channels, level=recording) for table in (calm, tense))
    assert low[:, 1:] == pytest.approx(np.tile([-2 * 2 / 3, 0, -8, 0], (30, 1)), abs=1e-4)
    assert high[:, 1:] == pytest.approx(np.tile([2 / 3, 0, 4, 0], (61, 1)), abs=1e-4)
    np.testing.assert_array_equal(low[:, 0], frames(calm)[:, 1])
    assert not frames(calm, channels)[:, 1:].any(), "nothing else is heard"
    assert not frames(calm, channels, level=levels[0])[:, 1:].any()
    assert columns_of_channels(["MCEP_3.level"]) == ("VUV", "MCEP_3")


def test_neither_a_higher_voice_nor_another_microphone_moves_the_shapes() -> None:
    table = random_table()
    values = table.values.copy()
    values[:, 0] *= 1.5
    values[:, 3:] += np.arange(13)  # a filter adds a constant to every coefficient
    before, after = frames(table), frames(table_of(values))
    moved = np.abs(after - before).max(0) > 1e-5
    assert [name for name, m in zip(CHANNELS, moved, strict=True) if m] == ["F0.height"]
    voiced = before[:, 2] == 0.5
    np.testing.assert_allclose((after - before)[voiced, 1], 12 * math.log2(1.5) / 6, atol=1e-5)


def speech() -> AudioTrack:
    audio = open_recording(DATA / "samples" / "sample.mp4").audio
    assert audio is not None
    return audio


def test_the_gain_changes_nothing() -> None:
    samples = speech().read(0.0, 2.5).astype(np.float64)
    loud, soft = (frames(covarep(x, SAMPLE_RATE, columns=COLUMNS)) for x in (samples, 0.25 * samples))
    assert loud.std(0).min() > 0.001, "real speech moves every channel"
    moved = np.abs(soft - loud) / loud.std(0)
    # The cepstra have a floor far below speech, which the rows of near silence feel.
    assert moved.max() < 0.05
    assert np.median(moved) < 1e-3


@pytest.mark.parametrize("name", ["MCEP_13", "F0", "F0.shapes", "MCEP_7.delta"])
def test_an_unknown_channel(name: str) -> None:
    with pytest.raises(FeatureError, match=f"expected a channel of frames, got '{name}'; "):
        frames(random_table(), [name])


def test_a_lacking_column_is_named() -> None:
    with pytest.raises(FeatureError, match="MCEP_2"):
        frames(random_table().select(("F0", "VUV")), ["MCEP_2"])


# Experts over frames.


def frames_expert(**changes: Any) -> Expert:
    return Expert(frames_spec(**changes), lambda: frames_graph(VOICE_WEIGHTS), threads=1)


def test_spec_survives_json() -> None:
    spec = frames_spec()
    back = ExpertSpec.from_dict(json.loads(json.dumps(spec.to_dict())), where="here")
    assert back.to_dict() == spec.to_dict()
    assert back.inputs is Inputs.FRAMES
    assert back.channels == VOICE_CHANNELS


def test_bundles_from_before_are_pooled(tmp_path: Path) -> None:
    def age(manifest: Manifest) -> None:
        for entry in manifest["experts"].values():
            del entry["inputs"], entry["channels"]

    bundle = load_bundle(write_bundle(tmp_path, change=age))
    assert {e.spec.inputs for e in bundle.experts.values()} == {Inputs.POOLED}


def framed(folder: Path, **changes: Any) -> Path:
    def change(manifest: Manifest) -> None:
        manifest["experts"]["audio"] = {**frames_spec().to_dict(), **changes}

    return write_bundle(folder, change=change)


def test_a_bundle_with_frames_loads(tmp_path: Path) -> None:
    assert load_bundle(framed(tmp_path)).experts[Modality.AUDIO].spec.channels == VOICE_CHANNELS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ["F0.shape", "VUV", "MCEP_1.slope"]}, "channels of frames for audio.*MCEP_1.slope"),
        ({"columns": ["F0", "VUV"]}, "pools or frames to be listed, got others: MCEP_1"),
        ({"columns": ["F0", "VUV", "MCEP_1", "loudness"]}, "1 others: loudness"),
        ({"channels": ["F0.shape", "VUV"]}, "channels, mean and scale of one length"),
        ({"channels": []}, "expected only channels .* got 0 pooled statistics and 0 channels"),
        ({"pooling": ["VUV.mean"]}, "expected only channels .* got 1 pooled statistics and 3 channels"),
        ({"inputs": "pooled"}, "expected only pooling .* got 0 pooled statistics and 3 channels"),
        ({"inputs": "pictures"}, "'pictures' is not a valid Inputs"),
        ({"scale": [1.0, 0.0, 1.0]}, "finite means and positive scales"),
        ({"mean": [1.0, float("nan"), 1.0]}, "the number NaN"),
        ({"extractor_version": "0"}, "got audio features of version 0"),
    ],
)
def test_wrong_frames_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(framed(tmp_path, **changes))


def test_frames_of_another_extractor_are_refused(tmp_path: Path) -> None:
    def change(manifest: Manifest) -> None:
        entry = manifest["experts"]["face"]
        entry.update(frames_spec().to_dict(), extractor="face", columns=entry["columns"])
        entry["extractor_version"] = "1"

    with pytest.raises(BundleError, match=r"frames of covarep for face, got frames of 'face'|face version"):
        load_bundle(write_bundle(tmp_path, change=change))


def test_the_expert_equals_the_formula() -> None:
    expert = frames_expert(
        mean=np.array([0.1, 0.0, 0.0]), scale=np.array([0.2, 1.0, 0.5]), clip=1.5, temperature=2.0
    )
    table = random_table().select(expert.spec.columns)
    probabilities, missing = expert.from_table(table)
    scaled = np.clip((frames(table, VOICE_CHANNELS) - [0.1, 0, 0]) / [0.2, 1, 0.5], -1.5, 1.5)
    np.testing.assert_allclose(probabilities, softmax(scaled.mean(0) @ VOICE_WEIGHTS / 2), atol=1e-6)
    assert missing == 0


def test_too_few_steps_that_are_not_silent_give_no_answer() -> None:
    expert, table = frames_expert(), random_table().select(("F0", "VUV", "MCEP_1"))
    assert expert.from_table(table.between(0, 0.02 * MIN_STEPS - 0.005))[0] is not None
    assert expert.from_table(table.between(0, 0.02 * MIN_STEPS - 0.015)) == (None, 0)
    values = table.values.copy()
    values[:44, 2] = np.nan  # 17 of 61 rows are left, 8 steps
    found, missing = expert.from_table(table_of(values, table.columns))
    np.testing.assert_array_equal(found, expert.from_table(table_of(values[44:], table.columns))[0])
    assert missing == 0
    values[:46, 2] = np.nan
    assert expert.from_table(table_of(values, table.columns)) == (None, 46)


def utterances(*spans: tuple[float, float]) -> list[Utterance]:
    return [Utterance(i, a, b) for i, (a, b) in enumerate(spans)]


def test_utterances_of_any_length_get_an_answer_or_a_reason() -> None:
    audio = speech()
    spans = utterances((0.0, 2.5), (0.0, 5.0), (0.6, 1.2), (0.5, 0.6), (0.5, 0.51), (0.5, 0.5))
    long, longer, word, *short = read_voice(frames_expert(), spans, audio=audio, progress=None)
    for reading in (long, longer, word):
        assert reading.status is Status.OK
        assert reading.opinion is not None
        assert reading.opinion.probabilities.sum() == pytest.approx(1)
    for reading in short:
        assert reading.status is Status.MISSING
        assert reading.reason
        assert reading.opinion is None


def test_silence_and_noise_have_no_voice() -> None:
    rng = np.random.default_rng(0)
    for samples in (np.zeros(32_000), 1e-3 * rng.standard_normal(32_000)):
        audio = AudioTrack((32768 * samples).astype(np.int16))
        (reading,) = read_voice(frames_expert(), utterances((0.0, 2.0)), audio=audio, progress=None)
        assert reading.status is Status.MISSING
        assert "voice" in (reading.reason or "") or "silen" in (reading.reason or "")


def test_an_opinion_is_that_of_equal_classes_and_as_strong_as_its_reliability() -> None:
    expert = frames_expert()
    (reading,) = read_voice(expert, utterances((0.0, 2.5)), audio=speech(), progress=None)
    assert reading.opinion is not None
    p = np.array([0.2, 0.3, 0.5])
    said = expert.opinion(p, 0.5).probabilities
    np.testing.assert_allclose(said, np.sqrt(p / PRIOR) / np.sqrt(p / PRIOR).sum())


def test_a_noise_gate_does_not_silence_a_voice() -> None:
    audio = speech()
    once = np.round(32768 * audio.read(0.0, 2.5)).astype(np.int16)
    gated = np.insert(once, 16_000, np.zeros(24_000, np.int16))  # 1.5 of 4 s
    (reading,) = read_voice(frames_expert(), utterances((0.0, 4.0)), audio=AudioTrack(gated), progress=None)
    assert reading.status is Status.OK


def test_the_voice_is_read_at_the_level_of_the_recording() -> None:
    """Two utterances that differ in loudness alone are told apart, and only beside each other."""
    once = np.round(32768 * speech().read(0.0, 2.5)).astype(np.int16)
    twice = AudioTrack(np.concatenate([once, once // 4]))
    chosen = {"channels": ("F0.shape", "VUV", "MCEP_0.level"), "columns": ("F0", "VUV", "MCEP_0")}
    expert, spans = frames_expert(**chosen), utterances((0.0, 2.5), (2.5, 5.0))
    loud, soft = read_voice(expert, spans, audio=twice, progress=None)
    alone = [read_voice(expert, [span], audio=twice, progress=None)[0] for span in spans]
    said = [reading.opinion.probabilities for reading in (loud, soft, *alone) if reading.opinion]
    np.testing.assert_allclose(said[2], said[3], atol=0.01)
    assert np.abs(said[0] - said[1]).max() > 0.03
    middle = np.log(said[0]) + np.log(said[1]) - 2 * np.log(said[2])
    assert middle - middle.mean() == pytest.approx(0, abs=0.1), "as far above as below"
