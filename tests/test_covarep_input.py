"""COVAREP columns of anything: options, rates, types, silence, short and long recordings."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from covarep_clips import voice
from trivalent.core.errors import FeatureError
from trivalent.core.types import Status
from trivalent.features.covarep import COLUMNS, NAME, VERSION, covarep
from trivalent.features.covarep import extractor as extractor_module
from trivalent.features.covarep import groups as groups_module
from trivalent.features.covarep import recording as recording_module
from trivalent.features.covarep.framing import FS, output_grid
from trivalent.features.covarep.preparation import prepare
from trivalent.features.covarep.recording import Options, Recording


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
