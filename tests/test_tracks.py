"""Pitch and energy beside the verdicts: what is kept while the voice is read, and how it is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analyses as factory
from bundles import VOICE_COLUMNS
from media_samples import tone
from trivalent import Analyzer
from trivalent.core.analysis import Analysis, Track
from trivalent.core.assets import DATA
from trivalent.core.types import FeatureTable
from trivalent.experts.tracks import FLOOR_DB, MAX_POINTS, MIN_STEP_S, TrackRecorder
from trivalent.media.sound import SAMPLE_RATE, AudioTrack
from trivalent.report import writers as report
from trivalent.report.curves import HEIGHT, POINTS, WIDTH, Curve, curves
from trivalent.report.wording import Wording

SAMPLE = DATA / "samples" / "sample.mp4"


def sound(samples: np.ndarray) -> AudioTrack:
    return AudioTrack(np.round(32767 * samples).astype(np.int16))


def columns(pitch: list[float], voiced: list[float]) -> FeatureTable:
    """A row every 10 ms, as COVAREP gives."""
    times = 0.005 + 0.01 * np.arange(len(pitch))
    values = np.column_stack([pitch, voiced, np.zeros(len(pitch))])
    return FeatureTable("covarep", "2", VOICE_COLUMNS, times, values)


# -- energy -------------------------------------------------------------------------------


def test_energy_is_relative_to_full_scale() -> None:
    silence = np.zeros(SAMPLE_RATE)
    quiet, loud = tone(1.0, SAMPLE_RATE) / 5, 2 * tone(1.0, SAMPLE_RATE)
    (track,) = TrackRecorder(5.0).tracks(
        sound(np.concatenate([silence, quiet, loud, np.ones(SAMPLE_RATE)]))
    )
    assert (track.name, track.unit) == ("energy", "dB")
    second = [set(track.values[track.times_s // 1 == s]) for s in range(4)]
    # a sine has 3 dB less than its peak; a tenth of the amplitude is 20 dB
    assert second == [{FLOOR_DB}, {-23.0}, {-3.0}, {0.0}]
    assert np.isnan(track.values[track.times_s > 4]).all()  # the pictures go on without sound


def test_without_sound_there_is_nothing() -> None:
    assert TrackRecorder(5.0).tracks(None) == ()


@settings(deadline=None)
@given(st.floats(0.01, 20_000))
def test_times_cover_any_recording_evenly(duration_s: float) -> None:
    track, *rest = TrackRecorder(duration_s).tracks(AudioTrack(np.zeros(8, np.int16)))
    assert not rest
    assert 1 <= len(track.times_s) == len(track.values) <= MAX_POINTS
    step_s = max(MIN_STEP_S, duration_s / MAX_POINTS)
    np.testing.assert_allclose(np.diff(track.times_s), step_s, atol=1.1e-4)
    assert track.times_s[0] == pytest.approx(step_s / 2, abs=1e-4)
    assert track.times_s[-1] - step_s / 2 <= duration_s <= track.times_s[-1] + step_s / 2 + 1e-3


# -- pitch --------------------------------------------------------------------------------


def test_pitch_is_the_median_of_the_voiced_frames() -> None:
    recorder = TrackRecorder(3.0)
    recorder.consider(
        1.0, columns([100, 110, 400, 130, 90, 150, 160, 99, 99, np.nan], [1, 1, 0, 1, 1, 1, 1, 0, 0, 1])
    )
    recorder.consider(2.5, columns([200.04], [1]))
    (track,) = recorder.tracks(None)
    assert (track.name, track.unit) == ("F0", "Hz")
    known = np.flatnonzero(np.isfinite(track.values))
    assert track.times_s[known].tolist() == [1.025, 1.075, 2.525]
    assert track.values[known].tolist() == [105.0, 155.0, 200.0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 9.9), st.floats(50, 500)), min_size=1, max_size=60))
def test_pitch_against_a_plain_loop(frames: list[tuple[float, float]]) -> None:
    recorder = TrackRecorder(10.0)
    for start_s, pitch in frames:
        recorder.consider(start_s, columns([pitch], [1.0]))
    (track,) = recorder.tracks(None)
    for i, value in enumerate(track.values):
        inside = [p for start_s, p in frames if int((start_s + 0.005) / MIN_STEP_S) == i]
        assert value == pytest.approx(np.median(inside), abs=0.051) if inside else np.isnan(value)


def test_columns_without_pitch_give_no_track() -> None:
    recorder = TrackRecorder(1.0)
    recorder.consider(0.0, columns([100.0], [1.0]).select(["VUV", "MCEP_1"]))
    recorder.consider(0.0, FeatureTable.absent("covarep", "2", columns=VOICE_COLUMNS, reason="too short"))
    assert recorder.tracks(None) == ()
    recorder.consider(0.0, columns([100.0], [0.0]))
    assert recorder.tracks(None) == ()  # nothing was voiced


# -- the journey --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample() -> Analysis:
    return Analyzer(modalities=["audio"]).analyze(SAMPLE)


def test_the_sample_has_both(sample: Analysis) -> None:
    pitch, energy = sample.tracks
    assert (pitch.name, energy.name) == ("F0", "energy")
    assert (
        len(pitch.values)
        == len(energy.values)
        == pytest.approx(sample.source.duration_s / MIN_STEP_S, abs=1)
    )
    spoken = np.zeros(len(pitch.values), bool)
    for u in sample.utterances:
        spoken |= (pitch.times_s > u.start_s - MIN_STEP_S) & (pitch.times_s < u.end_s + MIN_STEP_S)
    voiced = np.isfinite(pitch.values)
    assert not (voiced & ~spoken).any()
    assert 80 < np.median(pitch.values[voiced]) < 300  # a man
    assert np.nanmean(energy.values[voiced]) > np.nanmean(energy.values[~voiced]) + 6


def test_no_tracks_without_the_voice() -> None:
    assert Analyzer(modalities=["text"]).analyze(SAMPLE).tracks == ()


# -- the report ---------------------------------------------------------------------------


LENGTH = 31.2  # s, of the invented recording


def drawn(*tracks: Track) -> list[Curve]:
    return curves(replace(factory.video(), tracks=tracks), LENGTH, Wording())


def runs(curve: Curve) -> list[list[tuple[float, float]]]:
    """Points of each unbroken line."""
    lines = (line.split("h0.1") for line in curve.path.split("M")[1:])
    found = ([first, *rest.split("L")[1:]] for first, rest in lines)
    return [[(float(x), float(y)) for x, y in (point.split() for point in run)] for run in found]


def test_curves_are_drawn_on_the_scale_of_the_recording() -> None:
    times = (np.arange(POINTS) + 0.5) * LENGTH / POINTS
    pitch = np.repeat([100.0, 200.0, np.nan, 400.0], POINTS // 4)
    pitch[POINTS // 8] = 900.0  # a few errors of the tracker are no range
    (curve,) = drawn(Track("F0", "Hz", times, pitch))
    assert (curve.name, curve.range) == ("Pitch", "100 to 400 Hz")
    low, high = runs(curve)  # a gap breaks the line
    heights = {y for _, y in low + high}
    # an octave is an octave, and what is beyond the range stays inside the drawing
    assert heights == {HEIGHT - 4, HEIGHT / 2, 4}
    assert low[0][0] == pytest.approx(WIDTH / POINTS / 2, abs=0.06)
    assert high[0][0] == pytest.approx(0.75 * WIDTH + WIDTH / POINTS / 2, abs=0.06)


def test_loudness_has_its_range_without_the_silence() -> None:
    times = np.arange(0, 10, 0.1)
    (curve,) = drawn(Track("energy", "dB", times, np.where(times < 5, -90.0, -12.3)))
    assert (curve.name, curve.range) == ("Loudness", "−12 to −12 dB")
    (silent,) = drawn(Track("energy", "dB", times, np.full(100, -90.0)))
    assert silent.range == "−90 to 0 dB"


@settings(deadline=None)
@given(st.lists(st.floats(50, 500) | st.just(np.nan), min_size=1, max_size=30))
def test_curves_stay_inside(values: list[float]) -> None:
    times = np.linspace(0, 40, len(values))  # beyond the end of the recording
    found = drawn(Track("F0", "Hz", times, np.array(values)))
    points = [point for curve in found for run in runs(curve) for point in run]
    assert bool(points) == np.isfinite(values).any()
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_the_page_holds_no_script_for_it(sample: Analysis) -> None:
    page = report.to_html([sample])
    assert page.count('class="tv-line"') == 2
    assert "<script" not in page
