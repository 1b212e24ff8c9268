"""Recordings of every format, whole, odd and damaged."""

from __future__ import annotations

import os
from fractions import Fraction

import av
import numpy as np
import pytest

from media_samples import (
    AUDIO_FORMATS,
    VIDEO_FORMATS,
    WIDTH,
    write_cover_art,
    write_format,
    write_media,
    write_picture,
)
from trivalent.core.errors import MediaError
from trivalent.media.probe import DEMUXERS, foreign_kind
from trivalent.media.recording import SAMPLE_RATE, AudioTrack, _upright, media_kind, open_recording
from trivalent.media.sound import AudioBuilder


def peak_hertz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))


def first_sound_s(track: AudioTrack) -> float:
    return float(np.flatnonzero(np.abs(track.read()) > 0.1)[0] / SAMPLE_RATE)


def test_real_clip(real_data):
    path = next(iter(sorted((real_data / "crema_d").glob("*.flv"))))
    told: list[float] = []
    recording = open_recording(path, progress=told.append)
    frames = list(recording.frames(rate_hz=5))
    assert recording.kind == "video"
    assert recording.warnings == []
    assert 1.5 < recording.duration_s < 3.0
    assert len(frames) == pytest.approx(5 * recording.duration_s, abs=2)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.shape[2] == 3
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_real_flac(real_data):
    path = next(iter(sorted((real_data / "ravdess" / "speech").glob("*.flac"))))
    recording = open_recording(path)
    assert recording.kind == "audio"
    assert list(recording.frames()) == []
    assert 2.5 < recording.audio.duration_s < 6


def single_line(error: Exception) -> None:
    assert "\n" not in str(error)


@pytest.mark.parametrize("suffix", VIDEO_FORMATS)
def test_video_formats(tmp_path, suffix):
    recording = open_recording(write_format(tmp_path, suffix))
    assert recording.kind == "video"
    assert recording.duration_s == pytest.approx(2, abs=0.06)
    assert recording.audio.samples.dtype == np.int16
    assert peak_hertz(recording.audio.read(0.5, 1.5)) == pytest.approx(440, abs=1)
    frames = list(recording.frames(rate_hz=5))
    times = [frame.time_s for frame in frames]
    assert len(frames) in (10, 11)
    np.testing.assert_allclose(np.diff(times), 0.2, atol=0.021)
    # The square has moved by 20 px/s: pictures and times belong together.
    left = np.argmax(frames[5].image[4, :, 0].astype(int) - frames[5].image[4, :, 2] > 60)
    assert left == pytest.approx(20 * times[5], abs=3)
    assert recording.warnings == []
    assert media_kind(recording.path) == "video"


@pytest.mark.parametrize("suffix", AUDIO_FORMATS)
def test_audio_formats(tmp_path, suffix):
    recording = open_recording(write_format(tmp_path, suffix))
    assert (recording.kind, recording.warnings) == ("audio", [])
    assert recording.duration_s == pytest.approx(2, abs=0.06)
    assert peak_hertz(recording.audio.read(0.5, 1.5)) == pytest.approx(440, abs=1)
    assert np.abs(recording.audio.read(0.5, 1.5)).max() == pytest.approx(0.5, abs=0.1)


def test_extension_is_not_believed(tmp_path):
    path = write_format(tmp_path, "flac").rename(tmp_path / "talk.mp4")
    assert open_recording(path).kind == "audio"


def test_resampling_does_not_alias(tmp_path):
    # 10 kHz lies above half of 16 kHz: it must vanish, not fold to 6 kHz.
    import wave

    path = tmp_path / "high.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(44100)
        out.writeframes(
            (16000 * np.sin(2 * np.pi * 10_000 * np.arange(44100) / 44100)).astype("<i2").tobytes()
        )
    assert np.abs(open_recording(path).audio.read(0.1, 0.9)).max() < 0.005


@pytest.mark.parametrize("suffix", ["mp3", "m4a"])
def test_cover_art_is_no_video(tmp_path, suffix):
    recording = open_recording(write_cover_art(tmp_path / f"song.{suffix}"))
    assert recording.kind == "audio"
    assert list(recording.frames()) == []
    assert media_kind(recording.path) == "audio"


def test_sound_that_starts_late_is_padded(tmp_path):
    path = write_media(tmp_path / "late.mkv", audio="pcm_s16le", rate=48000, audio_start_s=0.5)
    recording = open_recording(path)
    assert first_sound_s(recording.audio) == pytest.approx(0.5, abs=0.01)
    assert next(recording.frames()).time_s == 0


def test_pictures_that_start_late(tmp_path):
    path = write_media(
        tmp_path / "late.mkv", audio="pcm_s16le", rate=48000, audio_start_s=3.0, video_start_s=3.5
    )
    recording = open_recording(path)
    assert first_sound_s(recording.audio) == pytest.approx(0.0, abs=0.01)
    assert next(recording.frames()).time_s == pytest.approx(0.5, abs=0.03)
    assert recording.duration_s == pytest.approx(2.5, abs=0.05)
    assert recording.warnings == []


def test_hole_in_the_sound_becomes_silence(tmp_path):
    path = write_media(tmp_path / "hole.mkv", audio="pcm_s16le", rate=48000, hole=(0.6, 1.4))
    recording = open_recording(path)
    assert np.abs(recording.audio.read(0.75, 1.3)).max() == 0
    assert np.abs(recording.audio.read(1.5, 1.9)).max() > 0.1
    assert recording.audio.duration_s == pytest.approx(2, abs=0.01)
    assert any("holes of 0.8 s" in warning for warning in recording.warnings)


def test_variable_frame_rate_is_sampled_by_time(tmp_path):
    times = [0, 0.04, 0.08, 0.5, 0.52, 0.54, 0.56, 0.58, 1.3, 1.9]
    recording = open_recording(write_media(tmp_path / "vfr.mp4", frame_times=times))
    assert [round(f.time_s, 3) for f in recording.frames(rate_hz=5)] == [0, 0.5, 1.3, 1.9]
    assert len(list(recording.frames(rate_hz=1000))) == len(times)


@pytest.mark.parametrize(("degrees", "corner"), [(90, (-5, 4)), (180, (-5, -5)), (-90, (4, -5))])
def test_rotation_is_applied(tmp_path, degrees, corner):
    image = next(open_recording(write_media(tmp_path / "r.mp4", rotation=degrees)).frames()).image
    assert image.shape == ((96, 160, 3) if degrees == 180 else (160, 96, 3))
    red, _, blue = image[corner].astype(int)
    assert red > 200
    assert blue < 60


def test_pixels_are_squared_and_shrunk(tmp_path):
    recording = open_recording(write_media(tmp_path / "sar.mp4", aspect=Fraction(2, 1)))
    assert next(recording.frames()).image.shape == (96, 2 * WIDTH, 3)
    assert next(recording.frames(max_side=80)).image.shape == (24, 80, 3)


def test_video_without_sound(tmp_path):
    recording = open_recording(write_media(tmp_path / "mute.mp4", audio=None))
    assert recording.audio is None
    assert recording.kind == "video"
    assert any("no sound" in warning for warning in recording.warnings)


@pytest.mark.parametrize("suffix", ["mkv", "wav", "mp3", "avi", "flv", "webm"])
def test_cut_short(tmp_path, suffix):
    path = write_format(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    recording = open_recording(path)
    assert 0.5 < recording.duration_s < 1.5
    assert any("could be decoded" in warning for warning in recording.warnings), recording.warnings
    list(recording.frames())


def test_cut_short_beyond_use(tmp_path):
    path = write_format(tmp_path, "mp4")  # its index is at the end
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"no decoder can open.*export it again"):
        open_recording(path)


@pytest.mark.parametrize("suffix", [*VIDEO_FORMATS, *AUDIO_FORMATS])
def test_damage_never_escapes(tmp_path, suffix):
    path = write_format(tmp_path, suffix)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for seed in range(3):
        random = np.random.default_rng(seed)
        broken = whole.copy()
        places = random.integers(len(whole) // 4, len(whole), len(whole) // 50)
        broken[places] = random.integers(0, 256, len(places))
        path.write_bytes(broken.tobytes())
        try:
            recording = open_recording(path)
            list(recording.frames(max_side=32))
        except MediaError as error:
            single_line(error)
        else:
            # A transport stream announces what its damaged clock says; memory stays bounded.
            assert recording.duration_s < (700 if suffix == "ts" else 15)


def test_bad_packets_are_skipped_and_counted(tmp_path):
    path = write_format(tmp_path, "mp4")
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    middle = slice(len(data) // 3, len(data) // 2)
    data[middle] = np.random.default_rng(0).integers(0, 256, middle.stop - middle.start)
    path.write_bytes(data.tobytes())
    recording = open_recording(path)
    list(recording.frames())
    assert any("damaged packets" in warning for warning in recording.warnings)
    assert len(recording.warnings) == len(set(recording.warnings))


@pytest.mark.parametrize(
    ("codec", "container", "name"),
    [("png", "image2", "PNG"), ("mjpeg", "image2", "JPEG"), ("gif", "gif", "GIF")],
)
def test_picture_is_refused(tmp_path, codec, container, name):
    suffix = {"png": "png", "mjpeg": "jpg", "gif": "gif"}[codec]
    path = write_picture(tmp_path / f"face.{suffix}", codec, container).rename(tmp_path / "face.mp4")
    with pytest.raises(MediaError, match=rf"a picture \({name}\)"):
        open_recording(path)
    assert media_kind(path) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"Dear all,\nwe met on Monday.\n", "a text file"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nHello\n", "a text file"),
        (b"#EXTM3U\n#EXTINF:5,\n/etc/hostname\n", "a text file"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"\x00\x00\x00\x20ftypheic....", "HEIF"),
        (bytes(4096), "no decoder"),
        (np.random.default_rng(1).bytes(20_000), "decode"),
    ],
)
def test_what_is_no_recording(tmp_path, data, message):
    path = tmp_path / "talk.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=message) as caught:
        open_recording(path)
    assert "\n" not in str(caught.value)


def test_empty_wav(tmp_path):
    path = tmp_path / "empty.wav"
    path.write_bytes(write_format(tmp_path, "wav").read_bytes()[:44])
    with pytest.raises(MediaError):
        open_recording(path)


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(MediaError, match="folder"):
        open_recording(tmp_path)
    with pytest.raises(MediaError, match="no file"):
        open_recording(tmp_path / "absent.mp4")
    with pytest.raises(MediaError, match="readable"):
        open_recording("nul\x00.mp4")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path):
    path = write_format(tmp_path, "wav")
    path.chmod(0)
    with pytest.raises(MediaError, match="rights"):
        open_recording(path)


def test_odd_names(tmp_path):
    # FFmpeg would take these for a protocol, a pattern or an option.
    for name in ("-i.wav", "http:x.wav", "a%03d.wav", "été 話.wav", "*.wav"):
        path = tmp_path / name
        path.write_bytes(write_format(tmp_path, "wav").read_bytes())
        assert open_recording(path).name == name


def test_playlists_are_not_followed():
    assert not {"hls", "concat", "dash", "sdp", "image2", "tty", "srt"} & set(DEMUXERS.split(","))


def test_bad_arguments(tmp_path):
    recording = open_recording(write_format(tmp_path, "wav"))
    with pytest.raises(MediaError, match="rate_hz"):
        next(recording.frames(rate_hz=0))


def test_binary_starts_are_not_text():
    assert foreign_kind(b"\x1aE\xdf\xa3\x01\x00\x00") is None
    assert foreign_kind("Grüße aus Köln".encode()[:4]) == "a text file"
    assert foreign_kind("Hello".encode("utf-16")) == "a text file"


def test_read_outside_the_track():
    track = AudioTrack(np.arange(16000, dtype=np.int16))
    assert len(track.read(2.0, 3.0)) == 0
    assert len(track.read(-1.0, 0.5)) == 8000
    assert track.read().dtype == np.float32


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_display_matrix(matrix, turn):
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    a, b, c, d = matrix
    turned = _upright(image, np.array([[a, b, 0], [c, d, 0], [0, 0, 1]], dtype=np.int32))
    np.testing.assert_array_equal(turned, turn(image))


@pytest.mark.parametrize(
    ("times", "length_s", "disbelieved"),
    [
        ([0, 1, 2, 3], 4, 0),
        ([None, None, None], 3, 0),
        ([0, 1, 500, 3, 4], 5, 2),  # one damaged stamp, and the step back after it
        ([0, 1, 5, 6], 7, 0),  # a hole, confirmed by the next frame
        ([0, 1, 0, 1], 4, 2),  # a clock that starts again
        ([0, 1, 9e9, 9e9 + 1], 4, 2),  # nobody waits three hundred years
    ],
)
def test_timestamps_of_sound(times, length_s, disbelieved):
    builder = AudioBuilder(600.0)
    for time_s in times:
        frame = av.AudioFrame.from_ndarray(np.ones((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        builder.add(frame, time_s)
    assert builder.finish().duration_s == pytest.approx(length_s, abs=0.01)
    assert (builder.disbelieved > 0) == (disbelieved > 0)
