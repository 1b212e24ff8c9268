"""What is measured of sound and pictures, and the warnings that follow."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent import Analyzer
from trivalent.bundle.fusion import Opinion
from trivalent.core.analysis import Analysis
from trivalent.core.assets import DATA
from trivalent.core.types import Modality, Status
from trivalent.experts.channel import Channel
from trivalent.experts.channels import CHANNELS
from trivalent.experts.quality import SNR_RANGE_DB, FaceMeasures, measure_face, speech_to_noise
from trivalent.experts.readings import Reading
from trivalent.media.sound import SAMPLE_RATE, AudioTrack

SAMPLE = DATA / "samples" / "sample.mp4"
SAID = "Don't forget a jacket."
CUES = f"1\n00:00:00,080 --> 00:00:01,290\n{SAID}\n\n2\n00:00:02,800 --> 00:00:03,950\n{SAID}\n"
CENTRED = np.array([0.5, 0.5, 0.5, 0.5])


def syllables(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise that swells and fades four times a second, like speech."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return rng.standard_normal(len(times)) * np.sin(np.pi * 4 * times) ** 2


def recording(
    snr_db: float, *, pause_s: float = 1.0, gain: float = 0.05, offset: float = 0.0
) -> AudioTrack:
    """Two seconds of syllables between two pauses, in white noise."""
    rng = np.random.default_rng(3)
    pause = np.zeros(round(pause_s * SAMPLE_RATE))
    speech = syllables(2.0, rng)
    noise = rng.standard_normal(len(speech) + 2 * len(pause))
    noise *= np.sqrt(np.mean(speech**2) / 10 ** (snr_db / 10))
    both = gain * (np.concatenate([pause, speech, pause]) + noise) + offset
    return AudioTrack(np.rint(both * 32767).clip(-32768, 32767).astype(np.int16))


@pytest.mark.parametrize("snr_db", [20, 15, 10, 5, 0, -5])
def test_known_ratio_is_found(snr_db: float) -> None:
    assert speech_to_noise(recording(snr_db), [(1.0, 3.0)], 0) == pytest.approx(snr_db, abs=0.7)


def test_ratio_without_pauses_falls_with_noise() -> None:
    ratios = [speech_to_noise(recording(s, pause_s=0), [(0.0, 2.0)], 0) for s in (30, 10, 0, -8)]
    assert None not in ratios
    assert ratios == sorted(ratios, reverse=True)  # type: ignore[type-var]
    assert ratios[0] is not None
    assert ratios[0] > 10, "clean speech without a pause must not be taken for a noisy one"


def test_ratio_depends_neither_on_level_nor_on_offset() -> None:
    ratio = speech_to_noise(recording(10), [(1.0, 3.0)], 0)
    for changed in (recording(10, gain=0.01), recording(10, gain=0.1), recording(10, offset=0.2)):
        assert speech_to_noise(changed, [(1.0, 3.0)], 0) == pytest.approx(ratio, abs=0.3)


def test_other_utterances_are_no_noise() -> None:
    quiet, loud = recording(20), recording(20, gain=0.5)
    both = AudioTrack(np.concatenate([quiet.samples, loud.samples]))
    alone = speech_to_noise(quiet, [(1.0, 3.0)], 0)
    beside = speech_to_noise(both, [(1.0, 3.0), (4.0, 8.0)], 0)
    assert beside == pytest.approx(alone, abs=0.3)


def test_speech_without_words_is_no_noise() -> None:
    rng = np.random.default_rng(4)
    speech = 0.05 * syllables(4.0, rng)
    speech[round(1.8 * SAMPLE_RATE) : round(2.4 * SAMPLE_RATE)] *= 0.01  # the only pause
    track = AudioTrack(np.rint(speech * 32767).astype(np.int16))
    lost = speech_to_noise(track, [(0.0, 1.8)], 0)
    known = speech_to_noise(track, [(0.0, 1.8)], 0, voiced=[(0.0, 1.8), (2.4, 4.0)])
    assert lost is not None
    assert known is not None
    assert known > lost + 15


def test_silence_that_was_put_in_is_no_pause() -> None:
    noisy = recording(5, pause_s=0)
    padded = AudioTrack(
        np.concatenate([np.zeros(32000, np.int16), noisy.samples, np.zeros(32000, np.int16)])
    )
    found = speech_to_noise(padded, [(2.0, 4.0)], 0)
    assert found is not None
    assert found < 10


@pytest.mark.parametrize("samples", [np.zeros(48000, np.int16), np.full(48000, 700, np.int16), np.zeros(0)])
def test_digital_silence_has_no_ratio(samples: np.ndarray) -> None:
    assert speech_to_noise(AudioTrack(samples.astype(np.int16)), [(1.0, 2.0)], 0) is None


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(0, 24_000),
    cuts=st.lists(st.floats(0, 3), min_size=2, max_size=8),
    loud=st.sampled_from([0, 1, 30, 32767]),
)
def test_any_sound_has_a_ratio_in_range_or_none(seed: int, size: int, cuts: list[float], loud: int) -> None:
    samples = np.random.default_rng(seed).integers(-loud, loud + 1, size).astype(np.int16)
    edges = sorted(cuts)
    utterances = list(zip(edges[::2], edges[1::2], strict=False))
    for i in range(len(utterances)):
        ratio = speech_to_noise(AudioTrack(samples), utterances, i, voiced=utterances[1:])
        assert ratio is None or SNR_RANGE_DB[0] <= ratio <= SNR_RANGE_DB[1]


def portrait(side: int = 256) -> np.ndarray:
    """Edges of all sizes in the middle of a grey picture."""
    rng = np.random.default_rng(0)
    image = np.full((side, side, 3), 128, np.uint8)
    for _ in range(200):
        x, y, size = rng.integers(0, side), rng.integers(0, side), rng.integers(2, side // 6)
        cv2.rectangle(
            image, (int(x), int(y)), (int(x + size), int(y + size)), rng.integers(40, 256, 3).tolist(), -1
        )
    return image


def test_a_blurred_face_is_less_sharp() -> None:
    image = portrait()
    found = [measure_face(image, CENTRED)[2]]
    found += [measure_face(cv2.GaussianBlur(image, (0, 0), s), CENTRED)[2] for s in (1, 2, 4, 8)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] / 3


def test_sharpness_does_not_depend_on_light_and_little_on_size() -> None:
    image = portrait(1024)
    sharp = measure_face(image, CENTRED)[2]
    assert measure_face((image // 2), CENTRED)[2] == pytest.approx(sharp, rel=0.05)
    small = cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)
    assert measure_face(small, CENTRED)[2] == pytest.approx(sharp, rel=0.3)


def test_a_dark_face_is_dark_and_a_far_one_small() -> None:
    image = portrait()
    pixels, brightness, _ = measure_face(image, CENTRED)
    assert pixels == 128
    assert measure_face(image // 4, CENTRED)[1] == pytest.approx(brightness / 4, abs=0.01)
    assert measure_face(image, np.array([0.5, 0.5, 0.1, 0.2]))[0] == pytest.approx(51.2)


@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    box=st.tuples(*[st.floats(0, 1)] * 2, *[st.floats(0, 3)] * 2),
    grey=st.sampled_from([0, 128, 255, None]),
)
def test_any_face_has_finite_measures(
    shape: tuple[int, int], box: tuple[float, float, float, float], grey: int | None
) -> None:
    image = np.full((*shape, 3), grey or 0, np.uint8)
    if grey is None:
        image = np.random.default_rng(1).integers(0, 256, image.shape).astype(np.uint8)
    found = measure_face(image, np.array(box))
    assert np.isfinite(found).all()
    assert 0 <= found[1] <= 1
    assert found[2] >= 0


def test_measures_of_unknown_frames_are_left_out() -> None:
    assert FaceMeasures().facts(np.array([0.0, 0.2])) == {}


def read(**quality: float) -> Reading:
    """A reading with an opinion, of which this was measured."""
    return Reading(Status.OK, None, Opinion(np.full(3, 1 / 3)), quality)


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)
def test_doubts(channel: Channel) -> None:
    limits = {limit.fact: limit.least for limit in channel.limits}
    fine = read(**limits)
    assert channel.doubts([fine, read()]) == []
    assert channel.doubts([]) == []
    for limit in channel.limits:
        poor = limits | {limit.fact: limit.least * 0.4}
        (found,) = channel.doubts([fine, read(**poor), Reading.absent("no face", quality=poor)])
        assert "in 1 of 3 utterances" in found
        whom = {Modality.AUDIO: "voice", Modality.FACE: "face"}[channel.modality]
        assert found.endswith(f"do not rely on the {whom} there")


def test_no_ratio_is_said_to_be_below_zero() -> None:
    assert "about 0 dB" in CHANNELS[Modality.AUDIO].doubts([read(snr_db=-7.5)])[0]


# --- the whole journey


@pytest.fixture(scope="module")
def transcript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "said.srt"
    path.write_text(CUES)
    return path


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


@pytest.fixture(scope="module")
def clean(analyzer: Analyzer, transcript: Path) -> Analysis:
    return analyzer.analyze(SAMPLE, transcript=transcript)


def measured(analysis: Analysis, modality: Modality, fact: str) -> list[float]:
    return [u.modalities[modality].quality[fact] for u in analysis.utterances]


def test_clean_sample_is_measured_and_not_doubted(clean: Analysis) -> None:
    assert clean.warnings == ()
    assert min(measured(clean, Modality.AUDIO, "snr_db")) > 15
    for limit in CHANNELS[Modality.FACE].limits:
        assert min(measured(clean, Modality.FACE, limit.fact)) > 2 * limit.least


def noisy_sound(target: Path) -> Path:
    """Write the sample's sound in white noise of its own power."""
    with av.open(str(SAMPLE)) as source:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frames = [p for f in [*source.decode(audio=0), None] for p in resampler.resample(f)]
    sound = np.concatenate([f.to_ndarray()[0] for f in frames]) / 32768
    sound = (
        sound + np.sqrt(np.mean(sound**2)) * 2 * np.random.default_rng(0).standard_normal(len(sound))
    ) / 4
    with av.open(str(target), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


def changed_pictures(target: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Write the first four seconds of the sample's pictures, changed, without loss."""
    with av.open(str(SAMPLE)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream("ffv1", rate=Fraction(30))
        shown = source.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuv444p"
        for frame in source.decode(video=0):
            if frame.time > 4.0:
                break
            new = av.VideoFrame.from_ndarray(change(frame.to_ndarray(format="rgb24")), "rgb24")
            new.pts, new.time_base = round(frame.time * 30), Fraction(1, 30)
            out.mux(stream.encode(new))
        out.mux(stream.encode(None))
    return target


def test_noise_is_doubted(analyzer: Analyzer, transcript: Path, tmp_path: Path, clean: Analysis) -> None:
    noisy = analyzer.analyze(noisy_sound(tmp_path / "noisy.wav"), transcript=transcript)
    assert max(measured(noisy, Modality.AUDIO, "snr_db")) < min(measured(clean, Modality.AUDIO, "snr_db"))
    assert any("dB above the noise" in w and "do not rely on the voice" in w for w in noisy.warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image // 16, "too dark"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 5.0), "blurred"),
    ],
)
def test_spoilt_pictures_are_doubted(
    analyzer: Analyzer,
    transcript: Path,
    tmp_path: Path,
    change: Callable[[np.ndarray], np.ndarray],
    words: str,
) -> None:
    analysis = analyzer.analyze(changed_pictures(tmp_path / "spoilt.mkv", change), transcript=transcript)
    assert any(words in w and "do not rely on the face" in w for w in analysis.warnings), analysis.warnings
