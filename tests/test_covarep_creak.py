"""Creak: each input by a property of its own, the network by hand, the toolbox's files by fakes."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from covarep_clips import CLIPS, load_clip, voice
from trivalent.core.errors import FeatureError
from trivalent.features.covarep import creak as creak_module
from trivalent.features.covarep import creak_inputs as inputs_module
from trivalent.features.covarep import ishi
from trivalent.features.covarep.creak import CreakNetwork, creak_column, load_creak_network
from trivalent.features.covarep.creak_inputs import (
    CREAK_INPUTS,
    STATIC,
    creak_f0,
    creak_inputs,
    h2_h1,
    log_energy,
    median_f0,
    peak_prominence,
    power_deviation,
    resonance,
    zero_crossings,
)
from trivalent.features.covarep.framing import FS, output_grid
from trivalent.features.covarep.linear_prediction import lp_residual
from trivalent.features.covarep.pitch import srh
from trivalent.features.covarep.polarity import polarity

WITHOUT_SILENCE = [name for name in CLIPS if name[:2] in ("01", "02", "03", "04", "08")]
PACKAGE = Path(creak_module.__file__).parent


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * FS)) / FS + 0.1)


def noise(seconds: float = 1.0, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * FS))


def pulses(period: int, seconds: float = 1.0) -> np.ndarray:
    """Damped 600 Hz oscillations, one every `period` samples."""
    t = np.arange(400) / FS
    train = np.zeros(int(seconds * FS))
    train[100::period] = 1.0
    return np.convolve(train, np.exp(-300 * t) * np.cos(2 * np.pi * 600 * t))[: train.size]


# --- the inputs --------------------------------------------------------------------------------


def test_zero_crossings_of_a_tone() -> None:
    knots, rate = zero_crossings(tone(1000))
    np.testing.assert_allclose(rate, 2.0, atol=1 / 32)
    assert knots[0] == 256.5 + 80  # one hop late, as published
    assert len(rate) == (FS - 512) // 80 + 1
    assert not zero_crossings(np.zeros(2000))[1].any()


def test_log_energy_is_relative_to_the_loudest() -> None:
    x = np.concatenate([tone(200), 10 * tone(200), np.zeros(2000)])
    energy = log_energy(x)
    assert energy.max() == 0
    assert np.median(energy[:180]) == pytest.approx(-np.log(100), abs=0.05)
    assert np.isneginf(energy[-5:]).all()
    np.testing.assert_allclose(log_energy(1e-3 * x), energy, atol=1e-9)


def test_power_deviation_of_steady_and_pulsed_sound() -> None:
    steady, pulsed = power_deviation(tone(1000)), power_deviation(pulses(400))
    assert steady[50:-50].max() < 0.1
    assert pulsed[50:-50].min() > 10
    assert not pulsed[:10].any()  # no full window there
    silent = np.concatenate([tone(1000), np.zeros(3000)])
    np.testing.assert_allclose(power_deviation(1e3 * silent), power_deviation(silent), atol=1e-9)
    assert np.isfinite(power_deviation(np.zeros(300))).all()


@pytest.mark.parametrize("hz", [50, 80, 125])
def test_creak_f0_is_the_rate_of_the_pulses(hz: int) -> None:
    residual = np.zeros(FS)
    residual[:: FS // hz] = 1.0
    f0 = creak_f0(resonance(residual, 150.0, 0.8))
    np.testing.assert_allclose(f0[5:-5], FS // (FS // hz), atol=1)
    assert np.isnan(creak_f0(np.zeros(2000))).all()


def test_resonance_by_its_recursion() -> None:
    residual = noise(0.01)
    actual = resonance(residual, 120.0, 0.97)
    expected = np.zeros(residual.size + 2)
    for n, value in enumerate(residual):
        turn = 2 * 0.97 * np.cos(2 * np.pi * 120 / FS)
        expected[n + 2] = value + turn * expected[n + 1] - 0.97**2 * expected[n]
    np.testing.assert_allclose(actual, expected[2:], rtol=1e-9)


def test_filters_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(4.0)
    band, resonant = ishi.filtered(x), resonance(x, 120.0, 0.97)
    monkeypatch.setattr(ishi, "_PIECE", 9000)
    monkeypatch.setattr(inputs_module, "_PIECE", 1000)
    np.testing.assert_allclose(ishi.filtered(x), band, atol=1e-10)
    np.testing.assert_array_equal(resonance(x, 120.0, 0.97), resonant)
    x[500] = np.nan
    assert np.isnan(resonance(x, 120.0, 0.97)[500:]).all()
    assert np.isfinite(resonance(x, 120.0, 0.97, fill=True)).all()


def test_h2_h1_by_definition() -> None:
    x = resonance(lp_residual(voice(0.3), 18), 125.0, 0.97)
    f0 = creak_f0(x)
    levels = []
    for i, f in enumerate(f0.astype(int)):
        k = np.arange(1, 801)
        segment = x[160 * i : 160 * i + 800] * (0.5 - 0.5 * np.cos(2 * np.pi * k / 801)) ** 2
        lags = np.array([segment[lag:] @ segment[: 800 - lag] for lag in range(1, 800)])
        level = 20 * np.log10(np.abs(np.fft.fft(lags, 16000))[:8000])
        levels.append(level[2 * f - 1] - level[f - 1])
    smooth = [
        np.mean(levels[i - r : i + r + 1]) for i in range(len(f0)) for r in [min(i, len(f0) - 1 - i, 4)]
    ]
    np.testing.assert_allclose(h2_h1(x, f0), smooth, atol=1e-6)
    np.testing.assert_allclose(h2_h1(7 * x, f0), smooth, atol=1e-6)


def test_h2_h1_rises_with_a_pulse_between_two() -> None:
    single, double = np.zeros(FS), np.zeros(FS)
    single[::320] = 1.0  # 50 Hz
    double[::320] = 1.0
    double[150::320] = 0.8
    levels = []
    for residual in (single, double):
        x = resonance(residual, 100.0, 0.97)
        levels.append(np.median(h2_h1(x, np.full(95, 50.0))))
    assert levels[1] > levels[0] + 10


def test_peak_prominence_of_lone_and_crowded_pulses() -> None:
    lone, crowded = np.zeros(2 * FS), np.zeros(2 * FS)
    lone[::700] = 1.0
    crowded[::100] = 1.0
    loud = np.zeros(300)
    knots, high = peak_prominence(lone, loud, 120.0)
    _, low = peak_prominence(-crowded, loud, 120.0)
    assert np.median(high) == 1
    assert np.median(low) == 0
    assert knots[:2].tolist() == [1 + 178, 1 + 178 + 320]
    quiet = np.linspace(-20, 0, 300)  # steeper than 4 in 0.4 s: everything is below what follows
    assert not peak_prominence(lone, 3 * quiet, 120.0)[1][:60].any()


def test_quiet_by_definition() -> None:
    rng = np.random.default_rng(5)
    energy, samples = np.cumsum(rng.standard_normal(600)), 48_300
    stretched = np.interp(np.arange(1, samples + 1), np.linspace(1, samples, 600), energy)
    at = np.arange(1, samples + 1, 97)
    expected = [stretched[n - 1] < stretched[max(0, n - 1 - 6400) : n + 6400].max() - 4 for n in at]
    actual = inputs_module._is_quiet(energy, at, samples)
    assert 0.1 < np.mean(expected) < 0.9
    assert (actual == expected).mean() > 0.99  # loudest at a knot instead of at a sample


def test_frame_of_the_prominence_follows_the_speaker() -> None:
    assert [inputs_module._creak_pitch(f) for f in (150, 100, 90, 70)] == [90, 80, 65, 55]


def test_lower_f0_needs_the_wider_range() -> None:
    low = np.sum([tone(40 * k, 2.0) for k in range(1, 6)], axis=0) + 0.1 * noise(2.0)
    assert median_f0(srh(low, lowest=20)) == pytest.approx(40, abs=1)
    assert srh(low).f0.min() >= 50
    wide, default = srh(voice(), lowest=50), srh(voice())
    np.testing.assert_array_equal(wide.f0, default.f0)


def test_periodicity_of_a_vowel_and_of_noise() -> None:
    at = np.arange(1600, 14000, 160)
    periodic = ishi.ishi_measures(pulses(100), at)[:, 0]
    assert periodic.min() > 0.9
    assert np.median(ishi.ishi_measures(noise(), at)[:, 0]) == 0
    assert not ishi.ishi_measures(pulses(700), at)[:, 0].any()  # one pulse a frame: no period


def test_pulses_alike_and_far_apart() -> None:
    band = pulses(700)
    centres, fall, rise = ishi.power_peaks(band)
    np.testing.assert_allclose(np.diff(centres), 700, atol=40)
    assert min(fall.min(), rise.min()) > 10
    similarity = ishi.inter_pulse_similarity(band, centres)
    assert similarity[0] == 0
    assert similarity[1:-1].min() > 0.99
    far = pulses(2000)
    assert not ishi.inter_pulse_similarity(far, ishi.power_peaks(far)[0]).any()
    unlike = band + 0.5 * noise() * np.exp(-((np.arange(FS) - 7800) ** 2) / 2e5)
    assert ishi.inter_pulse_similarity(unlike, centres).min() < 0.95


def test_largest_correlation_by_definition() -> None:
    a, b = noise(0.1, 1)[:241], noise(0.1, 2)[:241]
    expected = np.correlate(a, b, "full").max() / np.sqrt((a @ a) * (b @ b))
    assert ishi._largest_correlation(a[None], b[None])[0] == pytest.approx(expected)


def test_steady_sound_has_no_pulse() -> None:
    assert not ishi.power_peaks(tone(1000))[0].size
    assert not ishi.power_peaks(np.zeros(2000))[0].size
    assert not ishi.power_peaks(np.zeros(100))[0].size


def test_samples_take_the_next_pulse() -> None:
    at = np.array([100, 300, 441, 1000, 1500, 1501, 2000, 2100])
    values = np.array([[1.0], [2.0]])
    spread = ishi._next_pulse(np.array([200.0, 2000.0]), values, at)[:, 0]
    # 300 and 441 follow the first pulse, which counts as being at 0: within 560 samples.
    np.testing.assert_array_equal(spread, [1, 1, 1, 0, 2, 2, 2, 0])
    assert not ishi._next_pulse(np.empty(0), np.empty((0, 1)), at).any()


def test_lowest_peak_by_definition() -> None:
    lags = np.abs(noise(0.1).reshape(-1, 40)[:20]).repeat(7, axis=1)[:, :241].copy()
    lags[:, :16] = 0
    actual = ishi._lowest_peak(lags)
    for row, value in zip(lags, actual, strict=True):
        main = int(row.argmax()) + 1
        found, m = [row.max()], 2
        while main * m < 241:
            found.append(row[max(0, main * m - 17) : main * m + 16].max())
            m += 1
        assert value == min(found)


def test_inputs_have_their_differences() -> None:
    inputs = creak_inputs(voice())
    assert inputs.shape == (100, 36)
    assert len(set(CREAK_INPUTS)) == 36
    width = len(STATIC)
    np.testing.assert_allclose(inputs[1:, width : 2 * width], np.diff(inputs[:, :width], axis=0))
    np.testing.assert_allclose(inputs[1:, 2 * width :], np.diff(inputs[:, width : 2 * width], axis=0))
    assert not inputs[0, width:].any()


def test_inputs_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = creak_inputs(voice())
    for module in (inputs_module, ishi):
        monkeypatch.setattr(module, "_BLOCK", 3)
    np.testing.assert_allclose(creak_inputs(voice()), whole, atol=1e-9)


def test_residual_may_be_given() -> None:
    x = voice()
    np.testing.assert_array_equal(creak_inputs(x, residual=lp_residual(x, 18)), creak_inputs(x))


def test_gain_leaves_the_inputs() -> None:
    np.testing.assert_allclose(creak_inputs(0.01 * voice()), creak_inputs(voice()), atol=1e-5)


# --- the network ---------------------------------------------------------------------------------


def small_network(**changes: object) -> CreakNetwork:
    rng = np.random.default_rng(7)
    values = {
        "hidden_weights": rng.standard_normal((32, 36)) * 0.3,
        "hidden_bias": rng.standard_normal(32),
        "output_weights": rng.standard_normal(32),
        "output_bias": -0.5,
        "low": np.full(36, -2.0),
        "high": np.full(36, 4.0),
        "missing": -np.ones(36),
        "bound": np.inf,
    }
    return CreakNetwork(**{**values, **changes})  # type: ignore[arg-type]


def test_posterior_by_hand() -> None:
    network, v = small_network(), np.linspace(-3, 5, 36)
    u = -1 + 2 * (v + 2) / 6
    hidden = np.tanh(network.hidden_weights @ u + network.hidden_bias)
    expected = 1 / (1 + np.exp(0.5 - network.output_weights @ hidden))
    assert network.posterior(v[None])[0] == pytest.approx(expected)


def test_missing_and_extreme_inputs() -> None:
    network = small_network(bound=3.0)
    v = np.zeros((3, 36))
    v[0, 4], v[1, 4], v[2, 4] = np.nan, -2.0, -np.inf
    p = network.posterior(v)
    assert p[0] == p[1]
    v[2, 4] = -8.0  # scaled to -3
    assert network.posterior(v)[2] == p[2]


def write_toolbox(folder: Path, network: CreakNetwork, **changes: object) -> None:
    """Files laid out like the toolbox's: cells of layers in a structure."""
    weights, layers, biases = (np.empty(shape, dtype=object) for shape in ((2, 1), (2, 2), (2, 1)))
    for cells in (weights, layers, biases):
        cells[...] = [[np.empty((0, 0))] * cells.shape[1]] * cells.shape[0]
    weights[0, 0], layers[1, 0] = network.hidden_weights, network.output_weights[None]
    biases[0, 0], biases[1, 0] = network.hidden_bias[:, None], np.array([[network.output_bias]])
    net = {"IW": weights, "LW": layers, "b": biases, **changes}
    scipy.io.savemat(
        folder / "system_net_creak.mat", {"net": {k: v for k, v in net.items() if v is not None}}
    )
    scipy.io.savemat(folder / "minis_creak.mat", {"minis": network.low})
    scipy.io.savemat(folder / "maxis_creak.mat", {"maxis": network.high[:, None]})


def test_toolbox_files_are_read(tmp_path: Path) -> None:
    network = small_network()
    write_toolbox(tmp_path, network)
    loaded = load_creak_network(str(tmp_path))
    inputs = noise(0.1)[:360].reshape(10, 36)
    np.testing.assert_allclose(loaded.posterior(inputs), network.posterior(inputs))
    inputs[3, CREAK_INPUTS.index("creak F0")] = np.nan
    known = inputs.copy()
    known[3, CREAK_INPUTS.index("creak F0")] = 3200.0
    np.testing.assert_allclose(loaded.posterior(inputs), network.posterior(known))


def test_plain_arrays_and_constant_inputs_are_read_too(tmp_path: Path) -> None:
    network = small_network(high=np.full(36, -2.0))
    cells = np.empty(2, dtype=object)
    cells[0], cells[1] = network.hidden_bias, -0.5
    write_toolbox(tmp_path, network, IW=network.hidden_weights, LW=network.output_weights, b=cells)
    loaded = load_creak_network(tmp_path)
    np.testing.assert_array_equal(loaded.hidden_weights, network.hidden_weights)
    # Where lowest and highest value are equal, that value scales to -1.
    assert loaded.posterior(np.full((1, 36), -2.0)) == loaded.posterior(
        np.where(np.array(["creak F0" in name for name in CREAK_INPUTS]), -2.0, np.nan)[None]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"IW": np.zeros((32, 35))}, r"IW of shape \(hidden, 36\) .* got shapes \(32, 35\)"),
        ({"IW": np.full((32, 36), np.nan)}, r"finite weights IW"),
        ({"IW": None}, r"IW of shape .* got shapes none"),
        ({"LW": np.zeros((1, 31))}, r"LW of shape \(1, 32\)"),
        ({"LW": np.zeros((2, 32))}, r"LW of shape \(1, 32\)"),
        ({"b": np.zeros(33)}, r"biases b of 32 and 1 finite values .* got sizes \[33\]"),
        ({"b": None}, r"biases b"),
        ({"IW": "text"}, r"got shapes none"),
    ],
)
def test_toolbox_files_of_another_network(tmp_path: Path, changes: dict, message: str) -> None:
    write_toolbox(tmp_path, small_network(), **changes)
    with pytest.raises(FeatureError, match=message):
        load_creak_network(tmp_path)


def test_toolbox_files_absent_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"system_net_creak.mat.*no such file; name the folder"):
        load_creak_network(tmp_path)
    write_toolbox(tmp_path, small_network())
    scipy.io.savemat(tmp_path / "minis_creak.mat", {"minis": np.zeros(12)})
    with pytest.raises(FeatureError, match="one array of 36 finite values"):
        load_creak_network(tmp_path)
    scipy.io.savemat(tmp_path / "minis_creak.mat", {"minis": np.full(36, 9.0)})
    with pytest.raises(FeatureError, match="36 below"):
        load_creak_network(tmp_path)
    scipy.io.savemat(tmp_path / "system_net_creak.mat", {"weights": np.zeros(3)})
    with pytest.raises(FeatureError, match=r"structure net .* got weights"):
        load_creak_network(tmp_path)
    for damaged in (b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"\x80\x04K\x01."):
        (tmp_path / "system_net_creak.mat").write_bytes(damaged)
        with pytest.raises(FeatureError, match="expected"):
            load_creak_network(tmp_path)


# --- our own network and its card --------------------------------------------------------------


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads((PACKAGE / "creak_network.json").read_text())


def test_card_belongs_to_the_network(card: dict) -> None:
    content = (PACKAGE / card["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card["sha256"]
    assert len(content) < 10_000
    network = load_creak_network()
    assert network.hidden_weights.shape == (card["hidden"], 36)
    assert card["inputs"] == list(STATIC)
    assert load_creak_network() is network


def test_card_tells_how_well_unseen_clips_do(card: dict) -> None:
    figures = card["leave_one_clip_out"]
    assert set(figures) == set(card["clips"]) == set(CLIPS)
    assert card["leave_one_clip_out_mean"]["r"] == pytest.approx(
        np.mean([f["r"] for f in figures.values()]), abs=1e-3
    )
    assert min(figures[name]["r"] for name in WITHOUT_SILENCE) > 0.85
    assert card["leave_one_clip_out_mean_without_silence"]["r"] > 0.95
    assert max(figures[name]["mean_absolute_error"] for name in WITHOUT_SILENCE) < 0.05


# --- behaviour -----------------------------------------------------------------------------------


def test_column_is_the_mean_of_neighbouring_instants() -> None:
    x, network = voice(), small_network()
    column = creak_column(x, output_grid(x.size, 160), network=network)[:, 0]
    instants = network.posterior(creak_inputs(x))
    assert np.isnan(column[0])
    np.testing.assert_allclose(column[1:], (instants[:-1] + instants[1:]) / 2)


def test_silence_spoils_what_follows_only_in_strict_mode() -> None:
    x = voice(3.0)
    x[16000:20000] = 0
    grid = output_grid(x.size, 160)
    plain, spoilt = creak_column(x, grid)[:, 0], creak_column(x, grid, strict=True)[:, 0]
    assert np.isnan(plain[105:120]).all()
    assert np.isfinite(plain[[*range(1, 90), *range(140, 299)]]).all()
    # As in the reference: no value where the energy and its difference become infinite.
    assert np.flatnonzero(np.isnan(spoilt)).tolist() == [0, 100, 101]
    h2_h1_strict = creak_inputs(x, strict=True)[:, 0]
    assert np.isnan(h2_h1_strict[105:]).all()
    assert np.isfinite(h2_h1_strict[:85]).all()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "x",
    [
        np.zeros(0),
        np.zeros(100),
        np.zeros(FS),
        np.full(FS, 0.25),
        voice()[:800],
        voice()[:1599],
        voice()[:1761],
        noise(0.5),
        1e-9 * voice(0.3),
        1e9 * voice(0.3),
        np.eye(1, 9000, 5000)[0],
        np.concatenate([np.zeros(8000), voice(0.5), np.zeros(8000)]),
        np.sign(tone(0.7)),
    ],
    ids=str,
)
def test_any_sound_gives_a_column(x: np.ndarray, strict: bool) -> None:
    grid = output_grid(x.size, 160)
    column = creak_column(x, grid, strict=strict)
    assert column.shape == (grid.size, 1)
    known = column[np.isfinite(column)]
    assert ((known >= 0) & (known <= 1)).all()
    assert not np.isinf(column).any()


def test_modal_voice_is_not_creak() -> None:
    modal = creak_column(voice(1.0, 125), output_grid(FS, 160))
    assert np.nanmedian(modal) < 0.3


@pytest.mark.parametrize("name", CLIPS)
def test_column_follows_the_reference_it_was_fitted_to(name: str) -> None:
    clip = load_clip(name)
    x = clip.x * polarity(clip.x)
    grid = clip.expected["sample_1based"].astype(float)
    column = creak_column(x, grid, strict=True)[:, 0]
    np.testing.assert_array_equal(np.isnan(column), clip.column("creak") == 0)
    rows = clip.sound & np.isfinite(column)
    r = np.corrcoef(column[rows], clip.column("creak")[rows])[0, 1]
    if name in WITHOUT_SILENCE:
        assert r > 0.95
        np.testing.assert_allclose(creak_column(x, grid)[:, 0], column)
    else:  # spoilt measures, and rows of transition that were left out of the fit
        assert r > 0.85
