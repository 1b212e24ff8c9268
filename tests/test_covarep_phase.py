"""Rd and phase distortion against the reference, and their parts by definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.optimize import fminbound
from scipy.signal import filtfilt, medfilt

from covarep_clips import CLIPS, Clip, load_clip, voice
from trivalent.core.errors import FeatureError
from trivalent.features.covarep import liljencrants_fant as lf
from trivalent.features.covarep import phase_distortion as pd
from trivalent.features.covarep import shape, sinusoids
from trivalent.features.covarep.framing import FS, output_grid
from trivalent.features.covarep.harmonics import half_window, usable_frames
from trivalent.features.covarep.phase_distortion import hmpd_columns
from trivalent.features.covarep.pitch import Pitch, srh
from trivalent.features.covarep.shape import rd_columns

pytestmark = pytest.mark.filterwarnings("error")


class Speech:
    """A reference recording in natural polarity, with its F0 track."""

    def __init__(self, clip: Clip) -> None:
        known = clip.expected
        self.clip = clip
        self.x = clip.x * known["polarity"]
        self.pitch = srh(clip.x)
        self.frames = usable_frames(self.x.size, self.pitch)
        self.grid = known["sample_1based"]
        self.rd = rd_columns(self.x, self.pitch, self.grid)
        self.hmpd = hmpd_columns(self.x, self.pitch, self.grid)

    def expected(self, prefix: str) -> np.ndarray:
        names = [name for name in self.clip.names if name.startswith(prefix)]
        return np.stack([self.clip.column(name) for name in names], axis=1)

    def rows(self, actual: np.ndarray) -> np.ndarray:
        return self.clip.sound & np.isfinite(actual).all(axis=1)


@pytest.fixture(scope="module", params=CLIPS)
def speech(request: pytest.FixtureRequest) -> Speech:
    return Speech(load_clip(request.param))


def agreement(actual: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Correlation, and median error relative to the standard deviation."""
    error = np.median(np.abs(actual - expected)) / expected.std()
    return float(np.corrcoef(actual, expected)[0, 1]), float(error)


def angle_error(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.abs(np.angle(np.exp(1j * (actual - expected))))


def track(f0: float, frames: int) -> Pitch:
    """A constant F0 track."""
    centres = 800 + 160 * np.arange(frames)
    return Pitch(centres, np.full(frames, float(f0)), np.full(frames, 0.2), np.ones(frames, bool))


# --- against the reference -------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["head", "legacy"])
def test_rd_agrees(speech: Speech, variant: shape.Variant) -> None:
    actual = rd_columns(speech.x, speech.pitch, speech.grid, variant=variant)
    expected = speech.expected("Rd") if variant == "head" else speech.clip.expected["rd_legacy"]
    rows = speech.rows(actual)
    for column in range(2):
        r, error = agreement(actual[rows, column], expected[rows, column])
        assert r >= 0.9999
        assert error < 1e-5


def test_rd_is_missing_only_where_there_is_no_sound(speech: Speech) -> None:
    x, pitch, frames = speech.x, speech.pitch, speech.frames
    values = shape.estimate_rd(x, pitch, frames)
    none = (sinusoids.nonzero_samples(x, pitch, frames) <= 1) | (pitch.strength[frames] <= 0)
    np.testing.assert_array_equal(np.isnan(values).any(axis=1), none)
    known = values[~none]
    assert ((known[:, 0] > 0.3) & (known[:, 0] < 2.5)).all()
    assert ((known[:, 1] >= 0) & (known[:, 1] <= 1)).all()


def test_strict_rd_of_zeros_is_the_start_of_the_search(speech: Speech) -> None:
    strict = rd_columns(speech.x, speech.pitch, speech.grid, strict=True)
    same = np.isfinite(speech.rd)
    np.testing.assert_array_equal(strict[same], speech.rd[same])
    zeros = speech.clip.expected["rd_frames"][np.isnan(speech.clip.expected["rd_frames"][:, 2]), 1]
    np.testing.assert_allclose(zeros, 0.3 + 2.2 * shape._GOLDEN, atol=1e-9)
    assert np.isfinite(strict[:, 0]).sum() >= np.isfinite(speech.rd[:, 0]).sum()


def test_hmpdm_agrees(speech: Speech) -> None:
    actual, expected = speech.hmpd[:, :24], speech.expected("HMPDM")[:, :24]
    rows = speech.rows(actual)
    assert angle_error(actual, expected)[rows].max() < 1e-4
    for column in range(4, 24):
        if expected[rows, column].any():  # 0 below F0
            r, error = agreement(actual[rows, column], expected[rows, column])
            assert r >= 0.999
            assert error < 1e-3


def test_random_columns_agree_as_two_seeds_of_the_reference_do(speech: Speech) -> None:
    rows = speech.rows(speech.hmpd)
    actual, expected = speech.hmpd[rows, 24], speech.expected("HMPDM")[rows, 24]
    # Turns of 2 pi spoil a plain correlation of angles.
    vectors = [np.concatenate([np.cos(a), np.sin(a)]) for a in (actual, expected)]
    assert np.corrcoef(*vectors)[0, 1] >= 0.95
    assert angle_error(actual, expected).mean() < 0.15
    for a, e in zip(speech.hmpd[rows, 25:].T, speech.expected("HMPDD")[rows].T, strict=True):
        r, error = agreement(a, e)
        assert r >= 0.95
        assert error < 0.05


def test_hmpd_has_values_wherever_the_reference_has(speech: Speech) -> None:
    strict = hmpd_columns(speech.x, speech.pitch, speech.grid, strict=True)
    expected = speech.expected("HMPD")
    assert not expected[~np.isfinite(strict)].any()
    known = np.isfinite(speech.hmpd)
    np.testing.assert_allclose(strict[known], speech.hmpd[known], atol=1e-9)


# --- harmonics -------------------------------------------------------------------------------


def test_harmonics_of_a_sum_of_cosines() -> None:
    t = (np.arange(FS) - 8000) / FS  # frame 45 has its centre at sample 8000
    amplitudes, phases = np.array([0.5, 0.3, 0.2, 0.1]), np.array([0.4, -2.0, 3.0, 1.0])
    k = np.arange(1, 5)
    # A mistuned F0 (128 for 130 Hz) must not matter: peaks are picked.
    x = (amplitudes[:, None] * np.cos(2 * np.pi * 130 * k[:, None] * t + phases[:, None])).sum(axis=0)
    (block,) = sinusoids.harmonics(x, track(128, 90), np.array([45]))
    np.testing.assert_allclose(np.exp(block.level[0, :4]), amplitudes / 2, rtol=0.01)
    assert angle_error(block.phase[0, :4], phases).max() < 0.05
    assert block.count.tolist() == [62]


def test_spectrum_without_peaks_is_read_at_the_multiples() -> None:
    spectrum = np.ones((2, 2049), dtype=complex)
    block = sinusoids._measure(np.arange(2), spectrum, np.array([200.0, 400.0]))
    assert block.spacing.tolist() == [200, 400]
    assert block.count.tolist() == [40, 20]
    assert not block.level.any()


def test_frames_of_silence_have_no_harmonics() -> None:
    x = voice(1.0)
    x[6000:10000] = 0
    x[8000] = 1.0  # alone: a flat spectrum
    pitch = track(125, 90)
    frames = usable_frames(x.size, pitch)
    seen = np.sort(np.concatenate([b.index for b in sinusoids.harmonics(x, pitch, frames)]))
    half = int(half_window(np.array([125.0]))[0])
    counts = [np.count_nonzero(x[c - half + 1 : c + half]) for c in pitch.centres[frames]]
    np.testing.assert_array_equal(sinusoids.nonzero_samples(x, pitch, frames), counts)
    np.testing.assert_array_equal(seen, frames[np.array(counts) > 1])
    assert 45 not in seen


# --- the glottal pulse and Rd --------------------------------------------------------------------


def derivative(p: lf.Pulse, t: np.ndarray) -> np.ndarray:
    """LF flow derivative by its definition, unit excitation, at t in [0, 1]."""
    wg, te, e = np.pi / p.peak[0], p.closure[0], p.decay[0]
    opening = -np.exp(p.growth[0] * (t - te)) * np.sin(wg * t) / np.sin(wg * te)
    closing = -(np.exp(-e * (t - te)) - np.exp(-e * (1 - te))) / (e * p.return_time[0])
    return np.where(t < te, opening, closing)


@pytest.mark.parametrize("rd", [0.3, 0.5, 1.0, 1.7, 2.5])
def test_lf_spectrum_is_the_fourier_series_of_the_pulse(rd: float) -> None:
    p = lf.pulse(np.array([rd]))
    k = np.arange(1, 41)
    parts = (
        quad_vec(lambda t: derivative(p, t) * np.exp(-2j * np.pi * k * t), a, b, epsabs=1e-10)[0]
        for a, b in ((0, p.closure[0]), (p.closure[0], 1))
    )
    np.testing.assert_allclose(lf.spectrum(p, 40)[:, 0], sum(parts), atol=1e-7)


def test_lf_pulse_closes_without_net_flow() -> None:
    for rd in (0.3, 0.9, 2.5):
        p = lf.pulse(np.array([rd]))
        flow = sum(
            quad_vec(lambda t, p=p: derivative(p, t), a, b)[0]
            for a, b in ((0, p.closure[0]), (p.closure[0], 1))
        )
        assert flow == pytest.approx(0, abs=1e-9)
        assert derivative(p, p.closure)[0] == pytest.approx(-1)
        assert derivative(p, np.array([1.0]))[0] == pytest.approx(0, abs=1e-12)
        # Fant 1995, the definition of Rd, solved backwards.
        rg, rk = 1 / (2 * p.peak[0]), p.closure[0] / p.peak[0] - 1
        assert (0.5 + 1.2 * rk) * (rk / (4 * rg) + p.return_time[0]) / 0.11 == pytest.approx(rd)


def minimum_phase(level: np.ndarray) -> np.ndarray:
    """Phase by the folded cepstrum, from the half spectrum of log amplitudes."""
    cepstrum = np.fft.irfft(level)
    cepstrum[1 : level.size - 1] *= 2
    cepstrum[level.size :] = 0
    return np.fft.rfft(cepstrum).imag


@pytest.mark.parametrize("last", [9, 16, 61, 160])
def test_minimum_phase_matrix_is_the_folded_cepstrum(last: int) -> None:
    level = np.random.default_rng(last).standard_normal(last - 1)
    whole = np.concatenate([level[:1], level, level[-1:]])
    actual = shape.minimum_phase_matrix(last) @ level
    np.testing.assert_allclose(actual, minimum_phase(whole)[1:9], atol=1e-12)


def error_by_definition(level: np.ndarray, phase: np.ndarray, rd: float, variant: str) -> float:
    """MSPD2 error of one frame, without tables."""
    pulse = lf.spectrum(lf.pulse(np.array([rd])), level.size)[:, 0]
    residue = level - np.log(np.abs(pulse))
    left = phase + (1 if variant == "head" else -1) * np.angle(pulse)
    left = left - minimum_phase(np.concatenate([residue[:1], residue[:-1], residue[-2:-1]]))[1:]
    second = np.diff(left[:8]) - left[0]
    return float(np.mean(np.angle(np.exp(1j * second)) ** 2))


@pytest.mark.parametrize("variant", ["head", "legacy"])
def test_rd_is_the_minimum_by_definition(variant: shape.Variant) -> None:
    x = voice(0.5)
    pitch = srh(x)
    frames = usable_frames(x.size, pitch)
    values = shape.estimate_rd(x, pitch, frames, variant=variant)
    for block in sinusoids.harmonics(x, pitch, frames):
        for row in range(0, len(block.index), 9):
            n = min(int(block.count[row]), int(8000 / block.spacing[row]))
            level, phase = block.level[row, :n], block.phase[row, :n]
            rd, least, *_ = fminbound(
                lambda r, a=level, p=phase: error_by_definition(a, p, float(r), variant),
                *shape.RD_RANGE,
                xtol=0.01,
                full_output=True,
            )
            actual = values[np.searchsorted(frames, block.index[row])]
            np.testing.assert_allclose(actual, [rd, 1 - np.sqrt(least) / np.pi], atol=1e-3)


def test_rd_of_a_synthetic_voice_is_recovered() -> None:
    """Legacy, that is as published: pulses of known Rd through an all-pole (minimum-phase) tract."""
    for rd in (0.7, 1.2, 2.0):
        k = np.arange(1, 81)
        source = lf.spectrum(lf.pulse(np.array([rd])), 80)[:, 0]
        z = np.exp(-2j * np.pi * 100 * k / FS)
        tract = 1 / (1 - 1.8 * np.cos(0.3) * z + 0.81 * z * z)
        t = np.arange(FS)[:, None] / FS
        x = np.concatenate(
            [
                (np.exp(2j * np.pi * 100 * k * t[rows]) @ (source * tract)).real
                for rows in np.split(np.arange(FS), 8)
            ]
        )
        pitch = track(100, 90)
        values = shape.estimate_rd(x, pitch, usable_frames(FS, pitch), variant="legacy")
        assert np.median(values[:, 0]) == pytest.approx(rd, abs=0.1)
        assert np.median(values[:, 1]) > 0.9


def test_bounded_minimiser_steps_like_scipys() -> None:
    rng = np.random.default_rng(5)
    a, b, c = rng.uniform(0.2, 2.6, 60), rng.uniform(1, 12, 60), rng.uniform(0, 6, 60)

    def function(rd: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return (rd - a[rows]) ** 2 + np.sin(b[rows] * rd + c[rows])

    minimiser, minimum = shape.minimise_bounded(function, 60)
    for i in range(60):
        rd, least, _, calls = fminbound(
            lambda r, i=i: function(np.array([r]), np.array([i]))[0],
            *shape.RD_RANGE,
            xtol=0.01,
            full_output=True,
        )
        assert calls <= 32
        assert minimiser[i] == pytest.approx(rd, abs=1e-12)
        assert minimum[i] == pytest.approx(least, abs=1e-12)
    assert shape.minimise_bounded(function, 0)[0].size == 0


def test_unknown_variant() -> None:
    with pytest.raises(FeatureError, match="'head' or 'legacy'"):
        rd_columns(voice(0.2), srh(voice(0.2)), np.array([80.0]), variant="new")  # type: ignore[arg-type]


# --- phase distortion ----------------------------------------------------------------------------


def block_of(level: np.ndarray, phase: np.ndarray, f0: float) -> sinusoids.Harmonics:
    one, count = np.array([f0]), np.array([level.size])
    return sinusoids.Harmonics(np.array([0]), one, one, count, level[None], phase[None])


def test_distortion_does_not_depend_on_the_instant() -> None:
    rng = np.random.default_rng(3)
    level, phase = rng.standard_normal(40), rng.uniform(-np.pi, np.pi, 40)
    delayed = phase + 0.7 * np.arange(1, 41)
    first = pd.phase_distortion(block_of(level, phase, 190.0))
    second = pd.phase_distortion(block_of(level, delayed, 190.0))
    assert angle_error(first, second).max() < 1e-9
    assert first[0, 0] == 0


def test_distortion_of_a_minimum_phase_filter_is_small() -> None:
    z = np.exp(-2j * np.pi * 100 * np.arange(1, 80) / FS)
    response = 1 / (1 - 1.6 * z + 0.8 * z * z)
    distortion = pd.phase_distortion(block_of(np.log(np.abs(response)), np.angle(response), 100.0))
    assert np.abs(distortion[0, 1:70]).max() < 0.05
    plain = np.diff(np.angle(response)) - np.angle(response[0])
    assert np.abs(np.angle(np.exp(1j * plain))).max() > 0.3


def test_bands_are_single_bins_first_and_25_in_all() -> None:
    bands = pd._bands()
    assert bands[:8].tolist() == list(range(8))
    assert (np.diff(bands) >= 0).all()
    assert set(bands) == set(range(25))


def test_zero_phase_is_filtfilt() -> None:
    track_ = np.random.default_rng(4).standard_normal((3, 90))
    for window in (np.ones(25), np.ones(9), np.hanning(9)[1:-1]):
        padlen = 3 * (25 - 1)
        expected = filtfilt(window / window.sum(), [1.0], track_, axis=1, padlen=padlen)
        np.testing.assert_allclose(pd._zero_phase(track_, window), expected, atol=1e-12)


def test_median_of_nine() -> None:
    values = np.random.default_rng(6).standard_normal((4, 50))
    expected = np.stack([medfilt(row, 9) for row in values])
    np.testing.assert_array_equal(pd._median9(values), expected)


def test_steady_phases_do_not_deviate() -> None:
    ones = np.ones((2, 100))
    assert not pd._deviation(ones, 0 * ones).any()
    angle = np.random.default_rng(7).normal(0, 0.2, (200, 100))
    assert pd._deviation(np.cos(angle), np.sin(angle)).mean() == pytest.approx(0.17, abs=0.03)


def test_blocks_of_bins_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = voice(1.0)
    pitch, grid = srh(x), output_grid(x.size, 160)
    whole = hmpd_columns(x, pitch, grid)
    for size in (1, 700):
        monkeypatch.setattr(pd, "_BLOCK", size)
        np.testing.assert_allclose(hmpd_columns(x, pitch, grid), whole, atol=1e-9)


def test_blocks_of_frames_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = voice(0.6)
    pitch, grid = srh(x), output_grid(x.size, 160)
    whole = rd_columns(x, pitch, grid)
    monkeypatch.setattr(shape, "_BLOCK", 7)
    monkeypatch.setattr(sinusoids, "_BLOCK", 5)
    np.testing.assert_allclose(rd_columns(x, pitch, grid), whole, atol=1e-9)


def test_seed_reaches_only_the_random_columns() -> None:
    x = voice(1.0)
    pitch, grid = srh(x), output_grid(x.size, 160)
    first, again, other = (hmpd_columns(x, pitch, grid, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:, :24], other[:, :24])
    assert np.nanmax(np.abs(first - other)[:, 24:]) > 0


def test_hmpd_needs_73_frames() -> None:
    x = voice(1.0)
    for frames, any_value in ((72, False), (73, True)):
        n = 1599 + 160 * (frames - 1)
        pitch = track(125, frames)
        values = hmpd_columns(x[:n], pitch, output_grid(n, 160))
        assert np.isfinite(values).any() == any_value
        assert values.shape == (len(output_grid(n, 160)), 38)


def test_silence_is_missing_within_reach_and_nothing_else() -> None:
    x = voice(3.0)
    x[20000:22000] = 0
    pitch, grid = track(125, 291), output_grid(x.size, 160)
    frames = usable_frames(x.size, pitch)
    silent = frames[sinusoids.nonzero_samples(x, pitch, frames) <= 1]
    values = hmpd_columns(x, pitch, grid)
    rows = np.flatnonzero(np.isnan(values[:, 0]) & (grid > 1000) & (grid < x.size - 1000))
    position = (grid[rows] - 1 - 800) / 160
    assert (position > silent[0] - 25).all()
    assert (position < silent[-1] + 25).all()
    assert np.isfinite(hmpd_columns(x, pitch, grid, strict=True)[10:-10]).all()


# --- everything that is not clean speech -----------------------------------------------------


@pytest.mark.parametrize("n", [0, 100, 800, 1599, 1759, 1920, 13000, 14000])
def test_short_recordings(n: int) -> None:
    x = voice(1.0)[:n]
    pitch, grid = srh(x), output_grid(n, 160)
    assert rd_columns(x, pitch, grid).shape == (grid.size, 2)
    assert hmpd_columns(x, pitch, grid).shape == (grid.size, 38)


@pytest.mark.parametrize("strict", [False, True])
def test_digital_silence_and_noise(strict: bool) -> None:
    grid = output_grid(FS, 160)
    zeros = np.zeros(FS)
    rd = rd_columns(zeros, srh(zeros), grid, strict=strict)
    assert not np.isfinite(rd[:, 1]).any()
    hmpd_columns(zeros, srh(zeros), grid, strict=strict)
    # Zeros with an F0: the toolbox may find one, if the residual next to it is not silent.
    some = track(125, 91)
    assert np.isfinite(rd_columns(zeros, some, grid, strict=strict)[:, 0]).any() == strict
    assert np.isfinite(hmpd_columns(zeros, some, grid, strict=strict)).any() == strict
    noise = np.random.default_rng(8).standard_normal(FS)
    assert np.isfinite(rd_columns(noise, srh(noise), grid, strict=strict)[10:-10]).all()
    assert np.isfinite(hmpd_columns(noise, srh(noise), grid, strict=strict)[10:-10]).all()


def test_frames_without_f0_candidate() -> None:
    x = voice(4.0)
    pitch = track(125, 391)
    f0, strength = pitch.f0.copy(), pitch.strength.copy()
    f0[190:200], strength[190:200] = 1.0, 0.0  # windows of 3 s, as in digital silence
    pitch = replace(pitch, f0=f0, strength=strength)
    grid = output_grid(x.size, 160)
    rd = rd_columns(x, pitch, grid)
    assert np.isnan(rd[195:200]).all()
    assert np.isfinite(rd[10:190]).all()
    assert np.isfinite(hmpd_columns(x, pitch, grid)[10:-10]).all()


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_level_does_not_matter(scale: float) -> None:
    x = voice(1.0)
    pitch, grid = srh(x), output_grid(x.size, 160)
    np.testing.assert_allclose(rd_columns(scale * x, pitch, grid), rd_columns(x, pitch, grid), atol=1e-3)
    first, second = hmpd_columns(scale * x, pitch, grid)[:, :24], hmpd_columns(x, pitch, grid)[:, :24]
    assert np.nanmax(angle_error(first, second)) < 1e-3
