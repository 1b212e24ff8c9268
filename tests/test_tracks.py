"""Pitch and energy beside the verdicts: what is kept while the voice is read, and how it is drawn."""

from __future__ import annotations

import re
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
from trivalent.report.timeline import CURVE_HEIGHT, CURVE_WIDTH, timeline

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


def drawn(*tracks: Track) -> str:
    return timeline(replace(factory.video(), tracks=tracks), prefix="u")


def paths(svg: str) -> list[list[list[tuple[float, float]]]]:
    """Points of each run of each curve."""
    return [
        [
            [tuple(map(float, point.split(","))) for point in run.split("L")[1].split(" ")]
            for run in path.split("M")[1:]
        ]
        for path in re.findall(r'<path d="([^"]*)"/>', svg)
    ]


def test_curves_are_drawn_on_the_scale_of_the_recording() -> None:
    pitch = Track(
        "F0", "Hz", np.array([0, 7.8, 15.6, 23.4, 31.2]), np.array([100, 200, np.nan, 400, np.nan])
    )
    svg = drawn(pitch)
    assert 'role="img" aria-label="Pitch, 100 to 400 Hz"' in svg
    assert "<b>Pitch</b><small>100 to 400 Hz</small>" in svg
    top, middle, bottom = 2, CURVE_HEIGHT / 2, CURVE_HEIGHT - 2
    quarter = CURVE_WIDTH / 4
    # an octave is an octave; a gap breaks the line, and a point alone is drawn
    assert paths(svg) == [[[(0, bottom), (quarter, middle)], [(3 * quarter, top)]]]


def test_energy_is_labelled_with_its_range() -> None:
    svg = drawn(Track("energy", "dB", np.array([1.0, 2.0]), np.array([-90.0, -12.3])))
    assert 'aria-label="Energy, −90 to −12 dB"' in svg


@settings(deadline=None)
@given(st.lists(st.floats(50, 500) | st.just(np.nan), min_size=1, max_size=30))
def test_curves_stay_inside(values: list[float]) -> None:
    times = np.linspace(0, 40, len(values))  # beyond the end of the recording
    svg = drawn(Track("F0", "Hz", times, np.array(values)))
    points = [point for path in paths(svg) for run in path for point in run]
    assert len(points) == np.isfinite(values).sum()
    assert all(0 <= x <= CURVE_WIDTH and 0 <= y <= CURVE_HEIGHT for x, y in points)


def test_the_page_holds_no_script_for_it(sample: Analysis) -> None:
    page = report.to_html([sample])
    assert page.count('class="curve"') == 2
    assert "<script" not in page
