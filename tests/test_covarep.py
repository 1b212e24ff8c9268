"""The COVAREP columns against the reference output, and on everything that is not clean speech."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from scipy.signal import resample_poly

from covarep_clips import CLIPS, Clip, load_clip, voice
from trivalent.core.types import FeatureTable
from trivalent.features.covarep import COLUMNS, covarep
from trivalent.features.covarep import pitch as pitch_module
from trivalent.features.covarep.envelope import mel_cepstra, mel_cepstrum, true_envelope
from trivalent.features.covarep.framing import FS, hanning, on_grid, output_grid, round_half_away
from trivalent.features.covarep.linear_prediction import lp_residual, lpc
from trivalent.features.covarep.pitch import srh
from trivalent.features.covarep.polarity import polarity
from trivalent.features.covarep.wavelets import band_peaks, wavelet

# Rd and the phase distortion have their own tests: next to silence the toolbox's are arbitrary.
EXACT = [name for name in COLUMNS if not name.startswith(("HMPD", "Rd", "creak"))]


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest) -> Clip:
    return load_clip(request.param)


@pytest.fixture(scope="module")
def table(clip: Clip) -> FeatureTable:
    return covarep(clip.int16, clip.fs)


@pytest.fixture(scope="module")
def strict(clip: Clip) -> FeatureTable:
    return covarep(clip.int16, clip.fs, strict=True)


# --- against the reference -------------------------------------------------------------------


def test_columns_are_the_fields_74_in_order(clip: Clip) -> None:
    assert list(COLUMNS) == clip.names


def test_grid_is_the_reference_grid(clip: Clip, table: FeatureTable) -> None:
    np.testing.assert_allclose(table.times, clip.expected["times"], atol=1e-12)


@pytest.mark.parametrize("name", EXACT)
def test_column_agrees_outside_digital_silence(clip: Clip, strict: FeatureTable, name: str) -> None:
    actual, expected = strict.column(name)[clip.sound], clip.column(name)[clip.sound]
    finite = np.isfinite(expected)
    if expected[finite].any():
        assert np.corrcoef(actual[finite], expected[finite])[0, 1] >= 0.999
    assert np.median(np.abs(actual - expected)[finite]) <= 1e-3 * expected[finite].std()


def test_a_cell_has_a_value_only_where_the_reference_has_the_same(
    clip: Clip, table: FeatureTable, strict: FeatureTable
) -> None:
    for name in EXACT:
        known = np.isfinite(table.column(name)) & clip.sound
        close = np.isclose(table.column(name), strict.column(name), rtol=1e-5, atol=1e-6)
        assert close[known].all(), name


def test_strict_gives_the_zeros_and_infinities_of_the_reference(clip: Clip, strict: FeatureTable) -> None:
    expected = np.stack([clip.column(name) for name in EXACT], axis=1)
    values = strict.select(EXACT).values
    np.testing.assert_array_equal(np.isneginf(values), np.isneginf(expected))
    np.testing.assert_array_equal(values == 0, expected == 0)
    finite = np.isfinite(expected)
    close = np.isclose(values[finite], expected[finite], rtol=1e-5, atol=1e-6)
    # Two flow pulses never rise above their baseline: their QOQ depends on rounding.
    assert (~close).sum() <= 1


def test_intermediates_agree(clip: Clip) -> None:
    expected = clip.expected
    assert polarity(clip.x) == expected["polarity"]
    track = srh(clip.x)
    np.testing.assert_array_equal(track.centres, expected["srh_sample_1based"])
    np.testing.assert_array_equal(track.f0, expected["srh_f0"])
    np.testing.assert_array_equal(track.voiced, expected["srh_vuv"])
    np.testing.assert_allclose(track.strength, expected["srh_val"], atol=1e-9)
    cepstra = mel_cepstra(clip.x, track)
    np.testing.assert_allclose(cepstra, expected["mcep_frames"], atol=1e-5)


# --- the parts, against independent definitions ------------------------------------------------


def test_lpc_solves_the_normal_equations() -> None:
    frame = np.random.default_rng(1).standard_normal((3, 200)) * hanning(200)
    for row, a in zip(frame, lpc(frame, 6), strict=True):
        r = [row[k:] @ row[: 200 - k] for k in range(7)]
        matrix = np.array([[r[abs(i - j)] for j in range(6)] for i in range(6)])
        np.testing.assert_allclose(a[1:], np.linalg.solve(matrix, -np.array(r[1:])), rtol=1e-9)
    assert np.isnan(lpc(np.zeros((1, 50)), 4)[0, 1:]).all()


def test_residual_in_blocks_equals_residual_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lp_residual(voice(), 12)
    monkeypatch.setattr("trivalent.features.covarep.linear_prediction._BLOCK", 7)
    np.testing.assert_allclose(lp_residual(voice(), 12), whole, atol=1e-14)
    assert np.abs(whole).max() == 1


def test_srh_by_definition() -> None:
    frame = lp_residual(voice(0.5), 12)[:1598] * np.blackman(1598)
    full = np.abs(np.fft.fft(frame - frame.mean(), 16000))[:8000]
    full /= np.linalg.norm(full)
    amplitude = pitch_module._spectrum((lp_residual(voice(0.5), 12)[:1598] * np.blackman(1598))[None])
    np.testing.assert_allclose(amplitude[0], full[:2501], atol=1e-12)
    f = 125
    expected = sum(full[k * f - 1] for k in range(1, 6)) - sum(
        full[int(np.floor((k + 0.5) * f + 0.5)) - 1] for k in range(1, 5)
    )
    assert pitch_module._summation(amplitude)[0, f - 50] == pytest.approx(expected)


def test_second_pass_is_the_same_when_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = srh(voice())
    monkeypatch.setattr(pitch_module, "_KEEP", 0)
    np.testing.assert_array_equal(srh(voice()).f0, kept.f0)


def test_true_envelope_covers_the_harmonics() -> None:
    spectrum = np.log(np.abs(np.fft.rfft(voice(0.2)[:700] * np.blackman(700), 4096)))[None]
    order = np.array([64])
    envelope = true_envelope(spectrum, order)
    inner = slice(100, -100)  # the ends are smoothed first
    assert (spectrum - envelope)[0, inner].max() <= np.log(10**0.1) + 1e-9
    # Smooth: no cepstrum beyond the widened order.
    cepstrum = scipy.fft.dct(envelope[0], 1) / 4096
    assert np.abs(cepstrum[78:]).max() < 1e-9


def test_mel_cepstrum_of_a_flat_envelope_is_its_level() -> None:
    cepstrum = mel_cepstrum(np.full((1, 2049), -2.5))
    np.testing.assert_allclose(cepstrum[0], [-2.5] + [0.0] * 24, atol=1e-12)


def test_band_peaks_equal_direct_convolution() -> None:
    x = np.random.default_rng(2).standard_normal(20000)
    peaks = band_peaks(x)
    for scale in (0, 3, 6):
        band = np.abs(np.convolve(x, wavelet(scale))[1000 : 1000 + x.size])
        assert peaks[5, scale] == pytest.approx(band[800:1440].max(), rel=1e-9)
        assert peaks[-1, scale] == pytest.approx(band[160 * (len(peaks) - 1) :][:640].max(), rel=1e-9)


def test_on_grid_keeps_gaps_local() -> None:
    knots = np.array([10.0, 20.0, 30.0, 40.0])
    values = np.array([[1.0], [np.nan], [3.0], [5.0]])
    actual = on_grid(knots, values, np.array([5.0, 10.0, 15.0, 25.0, 30.0, 35.0, 40.0, 41.0]))[:, 0]
    np.testing.assert_array_equal(actual, [np.nan, 1.0, np.nan, np.nan, 3.0, 4.0, 5.0, np.nan])
    assert round_half_away(2.5) == 3
    assert output_grid(79, 160).size == 0


def test_resampled_speech_keeps_its_columns(clip: Clip, table: FeatureTable) -> None:
    if not clip.sound.all():
        pytest.skip("resampling fills digital silence with ringing")
    high = covarep(resample_poly(clip.x, 3, 1), 3 * FS)
    for name in ("F0", "MCEP_1", "MCEP_2", "MCEP_5"):
        rows = np.isfinite(table.column(name)) & np.isfinite(high.column(name))
        if name == "F0":  # F0 of unvoiced rows is arbitrary
            rows &= table.column("VUV") == 1
        assert np.corrcoef(table.column(name)[rows], high.column(name)[rows])[0, 1] > 0.95
