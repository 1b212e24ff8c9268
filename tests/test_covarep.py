"""The COVAREP columns against the reference output, and on everything that is not clean speech."""

from __future__ import annotations

import os
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from scipy.signal import resample_poly

from trivalent.errors import FeatureError
from trivalent.features.covarep import COLUMNS, NAME, VERSION, covarep
from trivalent.features.covarep import extractor as extractor_module
from trivalent.features.covarep import groups as groups_module
from trivalent.features.covarep import pitch as pitch_module
from trivalent.features.covarep import recording as recording_module
from trivalent.features.covarep.envelope import mel_cepstra, mel_cepstrum, true_envelope
from trivalent.features.covarep.framing import FS, hanning, on_grid, output_grid, round_half_away
from trivalent.features.covarep.linear_prediction import lp_residual, lpc
from trivalent.features.covarep.pitch import srh
from trivalent.features.covarep.polarity import polarity
from trivalent.features.covarep.preparation import prepare
from trivalent.features.covarep.recording import Options, Recording
from trivalent.features.covarep.wavelets import band_peaks, wavelet
from trivalent.types import FeatureTable, Status

CLIPS = (
    "01_arctic_a0007_m",
    "02_arctic_bdl1_m",
    "03_librivox_0870_m",
    "04_twocities_m",
    "06_endgame_zeros",
    "08_allison_congrats_f",
    "10_ravdess_f02_calm",
    "12_ravdess_f18_angry",
    "15_cards005_m_digitalsilence",
)
# Rd and the phase distortion have their own tests: next to silence the toolbox's are arbitrary.
EXACT = [name for name in COLUMNS if not name.startswith(("HMPD", "Rd", "creak"))]


def reference_folder() -> Path | None:
    shared = Path(__file__).resolve().parents[2] / "shared"
    data = os.environ.get("TRIVALENT_DATA")
    roots = [shared, *([Path(data).parent] if data else [])]
    return next((r / "reference/covarep" for r in roots if (r / "reference/covarep").is_dir()), None)


class Clip:
    """One reference recording with its output."""

    def __init__(self, folder: Path, name: str) -> None:
        with wave.open(str(folder / f"{name}.wav")) as stream:
            self.fs = stream.getframerate()
            self.int16 = np.frombuffer(stream.readframes(stream.getnframes()), dtype=np.int16)
        self.x = self.int16 / 32768.0
        self.expected = dict(np.load(folder / f"{name}.npz"))
        self.names = self.expected["names"].tolist()
        self.sound = ~self.expected["row_digital_silence"]

    def column(self, name: str) -> np.ndarray:
        return self.expected["features"][:, self.names.index(name)]


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest) -> Clip:
    folder = reference_folder()
    if folder is None:
        pytest.skip("no reference recordings in ../shared/reference/covarep")
    return Clip(folder, request.param)


@pytest.fixture(scope="module")
def table(clip: Clip) -> FeatureTable:
    return covarep(clip.int16, clip.fs)


@pytest.fixture(scope="module")
def strict(clip: Clip) -> FeatureTable:
    return covarep(clip.int16, clip.fs, strict=True)


def voice(seconds: float = 1.0, f0: float = 125.0, fs: int = FS) -> np.ndarray:
    """A vowel: pulses through two resonances, with a little noise."""
    n = int(seconds * fs)
    rng = np.random.default_rng(0)
    # Like a speaker's, the periods vary by 2 %: equal periods tie F0 with its multiples.
    periods = (fs / f0) * (1 + 0.02 * rng.standard_normal(int(2 * seconds * f0)))
    instants = np.cumsum(periods).astype(int)
    pulses = np.zeros(n)
    pulses[instants[instants < n]] = 1.0
    t = np.arange(int(0.03 * fs)) / fs
    response = np.exp(-300 * t) * np.cos(2 * np.pi * 600 * t) + np.exp(-500 * t) * np.cos(
        2 * np.pi * 1700 * t
    )
    noise = rng.standard_normal(n) * 1e-3
    return 0.2 * np.convolve(pulses, response)[:n] + noise


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


# --- behaviour -----------------------------------------------------------------------------------


def test_steady_vowel() -> None:
    table = covarep(voice(), FS)
    assert (table.extractor, table.version, table.columns) == (NAME, VERSION, COLUMNS)
    assert np.nanmedian(table.column("F0")) == pytest.approx(125, abs=2)
    assert np.nanmean(table.column("VUV")) > 0.95


@pytest.mark.parametrize("f0", [100, 125, 220, 330])
def test_f0_follows_the_speaker(f0: int) -> None:
    assert np.nanmedian(covarep(voice(0.6, f0), FS, columns=["F0"]).column("F0")) == pytest.approx(
        f0, rel=0.02
    )


def test_only_the_level_depends_on_the_gain() -> None:
    loud, soft = covarep(voice(), FS), covarep(0.1 * voice(), FS)
    # The envelope's first step depends on the level a little, within its tolerance of 2 dB.
    np.testing.assert_allclose(soft.column("MCEP_0"), loud.column("MCEP_0") + np.log(0.1), atol=0.05)
    rest = [name for name in COLUMNS if name != "MCEP_0"]
    np.testing.assert_allclose(soft.select(rest).values, loud.select(rest).values, atol=0.05)


def test_sign_of_the_samples_does_not_matter() -> None:
    np.testing.assert_array_equal(covarep(-voice(), FS).values, covarep(voice(), FS).values)


def test_polarity_is_undone_by_speech() -> None:
    x, grid = voice(), output_grid(16000, 160)
    upright = Recording(x, grid, Options()).speech
    np.testing.assert_array_equal(Recording(-x, grid, Options()).speech, upright)


def test_columns_asked_for_are_the_same_as_among_all() -> None:
    whole = covarep(voice(), FS)
    some = covarep(voice(), FS, columns=["MCEP_3", "VUV"])
    assert some.columns == ("MCEP_3", "VUV")
    np.testing.assert_array_equal(some.values, whole.select(["MCEP_3", "VUV"]).values)


def test_only_the_groups_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("computed without need")

    monkeypatch.setattr(groups_module, "mel_cepstra", fail)
    monkeypatch.setattr(recording_module, "srh", fail)
    assert len(covarep(voice(), FS, columns=["peakSlope"])) == 100


def test_impossible_columns() -> None:
    with pytest.raises(FeatureError, match="did you mean peakSlope"):
        covarep(voice(), FS, columns=["peakslope"])
    with pytest.raises(FeatureError, match="distinct"):
        covarep(voice(), FS, columns=["F0", "F0"])


@pytest.mark.parametrize("fs", [8000, 11025, 22050, 44100, 48000, 96000, 192000, 11127])
def test_any_sampling_rate(fs: int) -> None:
    table = covarep(voice(0.6, fs=fs), fs, columns=["F0", "peakSlope"])
    assert len(table) == 60
    assert np.nanmedian(table.column("F0")) == pytest.approx(125, abs=4)


def test_resampled_speech_keeps_its_columns(clip: Clip, table: FeatureTable) -> None:
    if not clip.sound.all():
        pytest.skip("resampling fills digital silence with ringing")
    high = covarep(resample_poly(clip.x, 3, 1), 3 * FS)
    for name in ("F0", "MCEP_1", "MCEP_2", "MCEP_5"):
        rows = np.isfinite(table.column(name)) & np.isfinite(high.column(name))
        if name == "F0":  # F0 of unvoiced rows is arbitrary
            rows &= table.column("VUV") == 1
        assert np.corrcoef(table.column(name)[rows], high.column(name)[rows])[0, 1] > 0.95


@pytest.mark.parametrize("bad", [4000, 200_000, 16000.5, float("nan"), "16000", None])
def test_impossible_sampling_rate(bad: object) -> None:
    with pytest.raises(FeatureError, match="sampling rate of 8000 to 192000"):
        covarep(voice(), bad)  # type: ignore[arg-type]


def test_types_and_channels_are_equal() -> None:
    int16 = np.round(voice() * 32767).astype(np.int16)
    expected = covarep(int16 / 32768.0, FS).values
    stereo = np.stack([int16, int16], axis=1)
    for same in (int16, int16.astype(np.int32) << 16, stereo, (int16 / 32768.0).astype(np.float32)):
        np.testing.assert_allclose(covarep(same, FS).values, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(prepare(np.array([0, 128, 255], dtype=np.uint8), FS), [-1, 0, 127 / 128])


@pytest.mark.parametrize(
    "bad",
    [
        np.full(2000, np.nan),
        np.zeros((2, 16000)),
        np.zeros((2, 2, 2)),
        np.zeros(2000, complex),
        np.array(["a"]),
    ],
)
def test_impossible_samples(bad: np.ndarray) -> None:
    with pytest.raises(FeatureError, match="expected"):
        covarep(bad, FS)


@pytest.mark.parametrize("n", [0, 1, 100, 401, 402, 640, 799])
def test_too_short_says_how_long(n: int) -> None:
    table = covarep(voice()[:n], FS)
    assert table.status is Status.MISSING
    assert table.reason is not None
    assert table.reason.endswith("too short: peakSlope needs at least 0.05 s")
    assert (len(table), table.columns) == (0, COLUMNS)
    assert "F0 needs at least 0.11 s" in str(covarep(voice()[:n], FS, columns=["F0"]).reason)


@pytest.mark.parametrize("n", [800, 1600, 1758, 1759, 1760, 1920])
def test_short_clips_give_what_they_can(n: int) -> None:
    table = covarep(voice()[:n], FS)
    assert table.status is Status.OK
    assert np.isfinite(table.column("peakSlope")).any()
    assert np.isfinite(table.column("F0")).any() == (n >= 1759)
    assert ("F0" in table.meta["uncomputed"]) == (n < 1760)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_digital_silence_is_missing(level: float) -> None:
    table = covarep(np.full(FS, level), FS)
    assert table.status is Status.MISSING
    assert "digital silence" in str(table.reason)


def test_silence_within_speech_is_nan_and_leaves_the_rest() -> None:
    x = voice(2.0)
    x[16000:24000] = 0
    table = covarep(x, FS)
    assert table.status is Status.OK
    inside = (table.times > 1.2) & (table.times < 1.3)
    assert np.isnan(table.select(["F0", "peakSlope", "MCEP_0"]).values[inside]).all()
    assert not table.column("VUV")[inside].any()
    before = (table.times > 0.1) & (table.times < 0.9)
    assert table.valid[before].all()


def test_offset_as_large_as_the_speech_is_removed() -> None:
    rows = slice(10, 90)
    shifted, plain = covarep(voice() + 0.5, FS), covarep(voice() - voice().mean(), FS)
    np.testing.assert_allclose(shifted.values[rows], plain.values[rows], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_extreme_levels(scale: float) -> None:
    assert covarep(voice() * scale, FS).valid[10:90].all()


def test_hop() -> None:
    fine, coarse = covarep(voice(), FS), covarep(voice(), FS, hop_s=0.04)
    assert len(coarse) == 25
    np.testing.assert_allclose(np.diff(coarse.times), 0.04)
    assert np.nanmedian(coarse.column("F0")) == np.nanmedian(fine.column("F0"))
    for bad in (0.0, -1.0, 2.0, float("nan")):
        with pytest.raises(FeatureError, match="hop"):
            covarep(voice(), FS, hop_s=bad)


def test_meta_tells_the_options() -> None:
    assert covarep(voice(), FS).meta == {
        "hop_s": 0.01,
        "strict": False,
        "fs": FS,
        "duration_s": 1.0,
        "rd": "head",
        "seed": 0,
        "creak_network": "trivalent",
        "uncomputed": {},
    }


def test_versions_of_rd_differ_and_an_unknown_one_is_refused() -> None:
    head, legacy = (covarep(voice(), FS, columns=["Rd"], rd=rd).column("Rd") for rd in ("head", "legacy"))
    assert np.nanmax(np.abs(head - legacy)) > 0
    with pytest.raises(FeatureError, match="expected rd to be head or legacy, got 'old'"):
        covarep(voice(), FS, rd="old")  # type: ignore[arg-type]


def test_seed_moves_the_random_phases_only() -> None:
    one, two = covarep(voice(), FS, seed=1), covarep(voice(), FS, seed=2)
    np.testing.assert_array_equal(covarep(voice(), FS, seed=1).values, one.values)
    rest = [name for name in COLUMNS if not name.startswith(("HMPDD", "HMPDM_24"))]
    np.testing.assert_array_equal(one.select(rest).values, two.select(rest).values)


def test_creak_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="system_net_creak"):
        covarep(voice(), FS, columns=["creak"], creak_weights=tmp_path)


def test_pieces_of_a_long_recording_agree_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x = voice(9.0)
    whole = covarep(x, FS)
    monkeypatch.setattr(extractor_module, "PIECE_S", 4)
    pieces = covarep(x, FS)
    np.testing.assert_array_equal(pieces.times, whole.times)
    inner = slice(30, -30)
    local = ["F0", "VUV", "peakSlope", "Rd", "Rd_conf", "HMPDM_12"]  # nothing in them is of the whole
    np.testing.assert_allclose(
        pieces.select(local).values[inner], whole.select(local).values[inner], rtol=0.02, atol=0.02
    )
    assert pieces.select(["MCEP_0", "NAQ", "MDQ"]).valid[inner].mean() > 0.9


def test_noise_has_no_glottal_pulse_and_says_so() -> None:
    table = covarep(np.random.default_rng(0).standard_normal(FS), FS)
    assert table.status is Status.OK
    assert np.isfinite(table.column("MCEP_1")).any()
    if not table.valid[:, COLUMNS.index("NAQ")].any():
        assert table.meta["uncomputed"]["NAQ"] == "needs two glottal closures of a voiced stretch"


@pytest.mark.parametrize("kind", ["clipped", "one click", "50 ms", "tone", "half silence"])
def test_nothing_infinite_and_no_warning_reaches_the_user(kind: str) -> None:
    x = voice(1.5)
    hostile = {
        "clipped": np.clip(50 * x, -1, 1),
        "one click": np.eye(1, 24_000, 12_000)[0],
        "50 ms": x[:800],
        "tone": np.sin(2 * np.pi * 200 * np.arange(24_000) / FS),
        "half silence": np.where(np.arange(24_000) < 12_000, x, 0.0),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = covarep(hostile, FS)
    assert not np.isinf(table.values).any()
    lacking = [name for name in COLUMNS if len(table) and not np.isfinite(table.column(name)).any()]
    assert set(lacking) <= set(table.meta["uncomputed"])
