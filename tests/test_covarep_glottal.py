"""Glottal closure instants and the measures around them, against the reference and by definition."""

from __future__ import annotations

import itertools
from functools import cached_property

import numpy as np
import pytest
from scipy.signal import ellip, filtfilt, firls, lfilter

from covarep_clips import CLIPS, Clip, load_clip, voice
from trivalent.features.covarep import closure, dispersion, glottal
from trivalent.features.covarep.closure import closure_instants, periods
from trivalent.features.covarep.dispersion import maxima_dispersion, mdq_column
from trivalent.features.covarep.framing import FS, blocks_by_length, hanning, output_grid
from trivalent.features.covarep.glottal import MEASURES, glottal_columns, pulse_measures
from trivalent.features.covarep.inverse_filtering import glottal_flow
from trivalent.features.covarep.linear_prediction import lp_residual, lpc
from trivalent.features.covarep.pitch import Pitch, srh
from trivalent.features.covarep.wavelets import wavelet

pytestmark = pytest.mark.filterwarnings("error")

COLUMNS = (*MEASURES, "MDQ")


class Voice:
    """Speech in natural polarity with what the measures share."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self.grid = output_grid(x.size, 160)

    @cached_property
    def residual(self) -> np.ndarray:
        return lp_residual(self.x, 18)

    @cached_property
    def gcis(self) -> np.ndarray:
        return closure_instants(self.x, srh(self.x), residual=self.residual)

    @cached_property
    def flow(self) -> tuple[np.ndarray, np.ndarray]:
        return glottal_flow(self.x, self.gcis)

    def columns(self, *, strict: bool = False) -> np.ndarray:
        pulses = glottal_columns(self.x, self.gcis, self.grid, strict=strict)
        return np.concatenate(
            [pulses, mdq_column(self.residual, self.gcis, self.grid, strict=strict)], axis=1
        )


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest) -> Clip:
    return load_clip(request.param)


@pytest.fixture(scope="module")
def speech(clip: Clip) -> Voice:
    return Voice(clip.x * float(clip.expected["polarity"]))


@pytest.fixture(scope="module")
def vowel() -> Voice:
    x = voice(0.8)
    # A little of everything, so that no two peaks are equal.
    return Voice(-(x + 0.1 * np.roll(x, 37)))


# --- against the reference -------------------------------------------------------------------


def test_instants_are_the_references(clip: Clip, speech: Voice) -> None:
    np.testing.assert_array_equal(speech.gcis, clip.expected["gci_sample_1based"])


@pytest.mark.parametrize("column", range(len(MEASURES)))
def test_measures_of_each_pulse(clip: Clip, speech: Voice, column: int) -> None:
    expected = clip.expected[f"{MEASURES[column].lower()}_gci"]
    actual = pulse_measures(speech.x, speech.gcis, strict=True)[:, column]
    # Where the pulse nowhere rises above its ends, the reference's QOQ hangs on rounding.
    rises = (clip.expected["naq_gci"] > 1e-12) | (clip.expected["naq_gci"] == 0)
    np.testing.assert_allclose(actual[rises], expected[rises], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=0.03)


@pytest.mark.parametrize("name", COLUMNS)
def test_strict_column_agrees(clip: Clip, speech: Voice, name: str) -> None:
    actual = np.nan_to_num(speech.columns(strict=True)[:, COLUMNS.index(name)])
    expected = clip.column(name)
    assert np.corrcoef(actual, expected)[0, 1] >= 0.99999
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=0.01 if name == "QOQ" else 1e-8)
    assert np.mean(np.abs(actual - expected) < 1e-8) > 0.99


@pytest.mark.parametrize("name", COLUMNS)
def test_column_agrees_where_it_has_a_value(clip: Clip, speech: Voice, name: str) -> None:
    actual, expected = speech.columns()[:, COLUMNS.index(name)], clip.column(name)
    rows = clip.sound & np.isfinite(actual)
    assert rows.sum() > 30
    assert np.corrcoef(actual[rows], expected[rows])[0, 1] >= 0.999
    assert np.median(np.abs(actual - expected)[rows]) < 1e-3 * expected[rows].std()


# --- the parts, against independent definitions ------------------------------------------------


def test_swings_by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = np.round(np.convolve(np.random.default_rng(0).standard_normal(3000), np.ones(9)))  # plateaus
    firsts = [0, *(np.flatnonzero(np.diff(signal)) + 1).tolist()]
    level = signal[firsts]
    inner = range(1, len(firsts) - 1)
    maxima = [firsts[i] for i in inner if level[i] > level[i - 1] and level[i] > level[i + 1]]
    minima = [firsts[i] for i in inner if level[i] < level[i - 1] and level[i] < level[i + 1]]
    maxima = [m for m in maxima if m > minima[0]]
    minima = [m for m in minima if m < maxima[-1]]
    for block in (1 << 18, 7):
        monkeypatch.setattr(closure, "_BLOCK", block)
        low, high = closure._swings(signal)
        assert (low.tolist(), high.tolist()) == (minima, maxima)


def test_mean_based_signal_in_blocks_equals_filtering_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, half = voice(2.0), 109
    mean = np.convolve(x, np.blackman(2 * half + 1) / (2 * half + 1), "same")
    mean[:half] = mean[-half:] = 0
    expected = filtfilt(*ellip(5, 3, 60, 50 / 8000, "high"), mean, padlen=15)
    monkeypatch.setattr(closure, "_BLOCK", 1000)
    np.testing.assert_allclose(closure._mean_based(x, 128), expected, atol=1e-9)


def test_inverse_filtering_by_definition(vowel: Voice) -> None:
    x, gcis = vowel.x, vowel.gcis
    flow, derivative = np.zeros(x.size), np.zeros(x.size)
    for n, g in enumerate(gcis - 1):
        period = gcis[max(n, 1)] - gcis[max(n, 1) - 1]
        start, stop = max(0, g - 1 - period), min(x.size, g + period)
        frame = x[start:stop] * hanning(stop - start)
        taps = firls(301, [0, 40, 70, 8000], [0, 0, 1, 1], fs=FS)
        frame = np.convolve(frame, taps)[150 : 150 + frame.size]
        window = hanning(frame.size)
        ramped = np.concatenate([np.linspace(-frame[0], frame[0], 21), frame])

        def predictor(signal: np.ndarray, order: int, window: np.ndarray = window) -> np.ndarray:
            return lpc((signal[-window.size :] * window)[None], order)[0]

        leaky = [1, -0.99]
        tract = predictor(lfilter(predictor(frame, 1), 1, ramped), 20)
        glottis = predictor(lfilter(tract, leaky, ramped), 8)
        tract = predictor(lfilter(glottis, leaky, ramped), 20)
        derivative[start:stop] += lfilter(tract, 1, ramped)[21:]
        flow[start:stop] += lfilter(tract, leaky, ramped)[21:]
    np.testing.assert_allclose(vowel.flow[0], flow, atol=1e-9 * np.abs(flow).max())
    np.testing.assert_allclose(vowel.flow[1], derivative, atol=1e-9 * np.abs(derivative).max())


def test_open_phase_by_definition(vowel: Voice) -> None:
    flow, derivative = vowel.flow
    actual = pulse_measures(vowel.x, vowel.gcis)
    for n in range(1, 20):
        start, stop = vowel.gcis[n - 1] - 1, vowel.gcis[n]
        pulse = flow[start:stop] - np.linspace(flow[start], flow[stop - 1], stop - start)
        top = left = right = int(pulse.argmax())
        while pulse[left] > pulse[top] / 2 and left > 2:
            left -= 1
        while pulse[right] > pulse[top] / 2 and right < pulse.size - 3:
            right += 1
        period = stop - start - 1
        naq = pulse[top] / np.abs(derivative[start : stop + 8]).max() / period
        np.testing.assert_allclose(actual[n, :2], [naq, (right - left) / period], rtol=1e-7)


@pytest.mark.parametrize("period", [33, 80, 129, 160, 400, 799])
def test_harmonic_difference_by_definition(period: int) -> None:
    rng = np.random.default_rng(period)
    derivative = np.convolve(rng.standard_normal(6000), [1, 0.9, 0.5]) * 1e-3
    derivative[::period] -= 1
    actual = glottal._harmonic_difference(derivative, np.array([3000, 100]), np.array([period, period]))
    half = int(np.floor(1.5 * period + 0.5))
    frame = derivative[3000 - half : 3001 + half] * np.hamming(2 * half + 1)
    level = 20 * np.log10(np.abs(np.fft.fft(frame, 16000)))
    peaks = [k for k in range(1, 15999) if level[k] > level[k - 1] and level[k] > level[k + 1]]
    f0 = FS / period
    while pairs := [(a, b) for a, b in itertools.pairwise(peaks) if b - a <= f0 / 2]:
        lower = {a if level[a] < level[b] else b for a, b in pairs}
        peaks = [k for k in peaks if k not in lower]
    first, second = (min(peaks, key=lambda k: abs(k + 1 - h * f0)) for h in (1, 2))
    assert actual[0] == pytest.approx(level[first] - level[second], abs=1e-9)
    assert np.isnan(actual[1]) == (half > 100)  # beyond the start


def test_no_harmonics_no_difference() -> None:
    centre, period = np.array([500]), np.array([100])
    assert np.isnan(glottal._harmonic_difference(np.zeros(1000), centre, period)).all()
    assert np.isnan(glottal._harmonic_difference(np.full(1000, np.nan), centre, period)).all()


def test_parabola_by_definition() -> None:
    pulses = np.stack([np.sin(np.linspace(0, np.pi, 101)) ** 2, np.ones(101), np.linspace(0, 1, 101) ** 3])
    expected = []
    for pulse in pulses:
        level = 20 * np.log10(np.abs(np.fft.fft(pulse, 2048)[:100]))
        for count in range(3, 101):
            k = np.arange(count)
            matrix = np.stack([k**2, np.ones(count)], axis=1).astype(float)
            fit = np.linalg.lstsq(matrix, level[:count], rcond=None)[0]
            if ((matrix @ fit - level[:count]) ** 2).sum() >= 0.01 * (level[:count] ** 2).sum():
                break
        expected.append(fit[0])
    np.testing.assert_allclose(glottal._curvature(pulses), expected, rtol=1e-9)


def test_long_fits_go_on_beyond_the_first_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    pulses = np.random.default_rng(0).random((4, 60)) + 1
    whole = glottal._curvature(pulses)
    monkeypatch.setattr(glottal, "_FEW_BINS", 4)
    np.testing.assert_array_equal(glottal._curvature(pulses), whole)


def test_dispersion_by_definition(vowel: Voice) -> None:
    residual, gcis = vowel.residual, vowel.gcis
    lengths = periods(gcis)
    actual = maxima_dispersion(residual, gcis)
    bands = [np.convolve(residual, wavelet(scale))[1000 : 1000 + residual.size] for scale in range(2, 7)]
    for n in range(5, 25):
        half = int(np.floor(0.2 * lengths[n] + 0.5))
        window = slice(gcis[n] - 1 - half, gcis[n] + half)
        distances = [abs(half - (int(band[window].argmax()) + 1)) for band in bands]
        assert actual[n] == pytest.approx(np.mean(distances) / lengths[n])


def test_only_broad_wavelets_reach_far_into_silence() -> None:
    residual = np.random.default_rng(0).standard_normal(8000)
    residual[:2000] = np.nan
    bands = list(dispersion._bands(residual, 0, 8000))
    first = [int(np.flatnonzero(np.isfinite(band))[0]) - 2000 for band in bands]
    assert first == [153, 307, 615, 1000, 1000]


def test_chunks_and_blocks_do_not_matter(vowel: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = vowel.columns(strict=True)
    for module in (glottal, dispersion):
        monkeypatch.setattr(module, "_SPAN", 3000)
        monkeypatch.setattr(module, "_BLOCK", 500)
    np.testing.assert_allclose(vowel.columns(strict=True), whole, rtol=1e-7, atol=1e-9)


def test_blocks_by_length_cover_all_once() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, 300)
    blocks = list(blocks_by_length(lengths, 1000))
    assert sorted(np.concatenate(blocks).tolist()) == list(range(300))
    assert all(block.size == 1 or block.size * lengths[block].max() <= 1000 for block in blocks)
    assert not list(blocks_by_length(np.empty(0, dtype=np.int64), 10))


# --- behaviour -----------------------------------------------------------------------------------


def test_instants_follow_the_pulses() -> None:
    pulses = np.zeros(FS)
    places = np.cumsum(np.random.default_rng(1).integers(115, 125, 130))
    pulses[places] = 1
    x = lfilter([1], np.convolve([1, -1.7, 0.9], [1, -0.9]), pulses)
    x += 1e-4 * np.random.default_rng(2).standard_normal(FS)
    found = Voice(x).gcis - 1
    assert len(found) > 100
    assert np.mean(np.abs(found[:, None] - places).min(axis=1) <= 2) > 0.95


@pytest.mark.parametrize("n", [0, 1, 15, 100, 402, 800, 1599, 1760, 2000, 3000])
@pytest.mark.parametrize("strict", [False, True])
def test_short_recordings(n: int, strict: bool) -> None:
    short = Voice(voice()[:n])
    assert short.columns(strict=strict).shape == (short.grid.size, 5)


@pytest.mark.parametrize(
    "x",
    [np.zeros(FS), np.full(FS, 0.25), np.random.default_rng(0).standard_normal(FS), np.arange(FS) % 2.0],
    ids=["silence", "constant", "noise", "alternation"],
)
def test_no_voice_is_no_error(x: np.ndarray) -> None:
    assert not np.isinf(Voice(x).columns()).any()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_instants_give_nan(count: int) -> None:
    x, gcis, grid = voice(), np.full(count, 8000), output_grid(FS, 160)
    assert np.isnan(glottal_columns(x, gcis, grid)).all()
    assert np.isnan(mdq_column(x, gcis, grid, strict=True)).all()


def test_unvoiced_track_has_no_instants() -> None:
    track = srh(voice())
    unvoiced = Pitch(track.centres, track.f0, track.strength, np.zeros_like(track.voiced))
    assert not closure_instants(voice(), unvoiced, residual=lp_residual(voice(), 18)).size


def test_a_pause_has_no_pulse() -> None:
    pause = Voice(np.tile(voice(), 2))
    pause.gcis = pause.gcis[np.abs(pause.gcis - FS) > FS // 2]
    middle = (pause.grid > 0.8 * FS) & (pause.grid < 1.2 * FS)
    assert np.isnan(pause.columns()[middle, :4]).all()
    bridge = pause.columns(strict=True)[middle, :4]
    assert np.isfinite(bridge).all()
    np.testing.assert_allclose(np.diff(bridge, 2, axis=0), 0, atol=1e-9)  # a line to zero, as in the field


def test_measures_do_not_depend_on_the_gain(vowel: Voice) -> None:
    for gain in (1e-9, 1e9):
        np.testing.assert_allclose(Voice(vowel.x * gain).columns(), vowel.columns(), rtol=1e-4, atol=1e-6)


def test_silence_stays_local() -> None:
    x = voice(2.0)
    x[16000:24000] = 0
    gap, whole = Voice(x), Voice(voice(2.0))
    early = gap.grid < 0.85 * FS
    np.testing.assert_allclose(gap.columns()[early, :4], whole.columns()[early, :4], atol=1e-2)
    assert np.isnan(gap.columns()[(gap.grid > 17600) & (gap.grid < 22400), :4]).all()
