"""Recordings made to hurt: a result or one clear line, in bounded time and memory.

`benchmarks/fuzz.py` tries thousands; here are a few of each kind, and what it has found.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import pytest

from hostile_clips import (
    NAMES,
    all_of,
    changed,
    film_of_pngs,
    flac_of_silence,
    hostile_clips,
    put,
    wave,
    whole,
    without,
)
from media_parts import CONTAINERS
from media_samples import AUDIO_FORMATS, VIDEO_FORMATS, write_format, write_media
from mutator import CHANGES, _all, mutate
from trivalent.cli.main import main
from trivalent.core.errors import MediaError
from trivalent.media import sound as audio_track
from trivalent.media.recording import MAX_READINGS, _Errors, _packets, open_recording
from trivalent.media.sound import AudioBuilder

FORMATS = (*VIDEO_FORMATS, *AUDIO_FORMATS)
# Too dear for a test: minutes, or gigabytes that only a limit on the process can refuse.
DEAR = (
    "eighty-million",
    "five-thousand",
    "days-of-silence",
    "one-sample-a-second.wav",
    "huge-pictures.mov",
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("clips")
    return {suffix: write_format(folder, suffix).read_bytes() for suffix in FORMATS}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def look(path: Path) -> tuple[float, int]:
    """Walk through a recording; returns seconds and frames, (-1, 0) if it is refused."""
    try:
        recording = open_recording(path)
    except MediaError as error:
        check_line(error)
        return -1.0, 0
    shown = [frame.time_s for _, frame in zip(range(100), recording.frames(max_side=320), strict=False)]
    assert np.isfinite(shown).all()
    assert shown == sorted(shown)
    assert np.isfinite(recording.duration_s)
    assert len(recording.warnings) < 10
    return recording.duration_s, len(shown)


def check_line(error: Exception) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1000


@pytest.mark.parametrize("suffix", FORMATS)
def test_taking_apart_loses_nothing(clips: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    """Otherwise damage would not be that which was meant."""
    container = CONTAINERS[suffix]
    together = container.write(container.read(clips[suffix]))
    assert suffix in ("mkv", "webm") or together == clips[suffix]  # there, sizes are written wider
    path = written(tmp_path / f"a.{suffix}", together)
    assert look(path) == look(written(tmp_path / f"b.{suffix}", clips[suffix]))


@pytest.mark.parametrize("suffix", FORMATS)
def test_spoiled_clips(clips: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    seen = set()
    for seed in range(12):
        data, changes = mutate(clips[suffix], suffix, Random(seed))
        assert (data, changes) == mutate(clips[suffix], suffix, Random(seed))
        seen.update(changes.split("+"))
        look(written(tmp_path / f"clip.{suffix}", data))
    assert seen <= set(CHANGES)
    assert len(seen) > 4


def test_handmade_clips(tmp_path: Path) -> None:
    for name, make in hostile_clips(tmp_path).items():
        if not name.startswith(DEAR):
            seconds, _ = look(written(tmp_path / f"x-{name}", make()))
            assert seconds < audio_track.LONGEST_S


# --- what was found


@pytest.mark.parametrize("rate", [1, 1999, 768_001, 228_737_632, 2**31 - 1])
def test_rates_that_nothing_is_recorded_at(tmp_path: Path, rate: int) -> None:
    """The filter from 228 MHz to 16 kHz took a gigabyte and a minute."""
    with pytest.raises(MediaError):
        open_recording(written(tmp_path / "a.wav", wave(np.zeros(32000, "<i2"), rate=rate, kind=1)))


@pytest.mark.parametrize("rate", [2000, 7999, 192_000, 767_999])
def test_rates_that_something_may_be_recorded_at(tmp_path: Path, rate: int) -> None:
    path = written(tmp_path / "a.wav", wave(np.zeros(2 * rate, "<i2"), rate=rate, kind=1))
    assert open_recording(path).duration_s == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_sample_that_lasts_a_second(tmp_path: Path, suffix: str) -> None:
    """Each sample became 16,000: a file of 3 kB filled 400 MB, one of 1 MB everything."""
    data = {"wav": wave(np.zeros(200_000, "<i2"), rate=1, kind=1), "flac": flac_of_silence(200, rate=1)}[
        suffix
    ]
    with pytest.raises(MediaError, match="nothing can be decoded"):
        open_recording(written(tmp_path / f"a.{suffix}", data))


def test_more_sound_than_can_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_track, "LONGEST_S", 30.0)
    path = written(tmp_path / "a.flac", flac_of_silence(20))  # 82 s of silence in 380 bytes
    with pytest.raises(MediaError, match="at most 0 hours, got a longer one; cut it into parts"):
        open_recording(path)
    assert open_recording(written(path, flac_of_silence(5))).duration_s == pytest.approx(20.5, abs=0.1)


def test_holes_do_not_add_up_beyond_the_limit() -> None:
    """Announced for centuries, with an hour of silence before each pair of frames."""
    builder = AudioBuilder(1e10)

    def frames(hours: int) -> None:
        for time_s in (3600.0 * hour + second for hour in range(hours) for second in (0, 1)):
            frame = av.AudioFrame.from_ndarray(np.ones((1, 8000), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            builder.add(frame, time_s)

    with pytest.raises(MediaError, match="at most 12 hours"):
        frames(20)
    assert 11 * 3600 < builder.duration_s <= audio_track.LONGEST_S


def test_a_clock_that_ticks_once_in_an_age(clips: dict[str, bytes], tmp_path: Path) -> None:
    """109,521,665,997 s of video: they were cut into 27 thousand million windows."""
    slow = changed(clips["avi"], "avi", put(b"strh", 20, b"\xff\xff\xff\xff\x01\0\0\0"))
    recording = open_recording(written(tmp_path / "a.avi", slow))
    assert recording.duration_s < 10


def test_pictures_beyond_8k_are_not_decoded(tmp_path: Path) -> None:
    path = written(tmp_path / "a.avi", film_of_pngs(tmp_path, 8000, count=3, suffix="avi"))
    with pytest.raises(MediaError, match="nothing can be decoded"):
        open_recording(path)
    inside = open_recording(
        written(tmp_path / "b.avi", film_of_pngs(tmp_path, 4000, count=3, suffix="avi"))
    )
    assert next(inside.frames(max_side=64)).image.shape == (64, 64, 3)


def test_a_sound_that_cannot_be_mixed_down(tmp_path: Path) -> None:
    """The resampler failed again when it was emptied at the end."""
    with pytest.raises(MediaError, match="nothing can be decoded"):
        open_recording(written(tmp_path / "a.wav", wave(np.zeros(60_000, "<i2"), channels=60, kind=1)))


def test_an_index_that_lists_the_same_bytes_again_and_again(
    clips: dict[str, bytes], tmp_path: Path
) -> None:
    """Some kilobytes of it stand for any amount of work."""
    chunks, size = 2000, 4096
    index = {p.head: p.payload for p in _all(CONTAINERS["m4a"].read(clips["m4a"]))}
    change = all_of(
        whole(struct.pack(">III", 0, size, 4 * chunks), b"stsz"),
        whole(struct.pack(">IIII", 0, 1, 4 * chunks, 1024), b"stts"),
        whole(struct.pack(">IIIII", 0, 1, 1, 4, 1), b"stsc"),
        whole(struct.pack(">II", 0, chunks) + index[b"stco"][8:12] * chunks, b"stco"),
        without(b"edts"),
    )
    path = written(tmp_path / "a.m4a", changed(clips["m4a"], "m4a", change))
    errors = _Errors()
    with av.open(str(path)) as container:
        read = sum(p.size for p in _packets(container, [container.streams.audio[0]], errors))
    assert path.stat().st_size < 40_000
    assert 2**20 < read < 2**20 + MAX_READINGS * path.stat().st_size
    assert errors.demux == 1
    look(path)


def test_a_track_that_begins_in_mid_file() -> None:
    """At the end, PyAV flushes by a list that is shorter than the tracks are by then."""

    class Container:
        size = 10**6

        def demux(self, *_: Any) -> Any:
            yield av.Packet(b"x" * 10)
            raise IndexError("list index out of range")

    errors = _Errors()
    assert len(list(_packets(Container(), [], errors))) == 1  # type: ignore[arg-type]
    assert errors.demux == 0


# --- names


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[2:20])
def test_odd_names(clips: dict[str, bytes], tmp_path: Path, name: bytes) -> None:
    good = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".wav"))
    recording = open_recording(written(good, clips["wav"]))
    assert recording.name == good.name
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".mp4"))
    with pytest.raises(MediaError) as caught:
        open_recording(written(bad, clips["mp4"][:2000]))
    check_line(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([good.name, bad.name])


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[2:20])
def test_odd_names_on_the_command_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: bytes
) -> None:
    good = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".txt"))
    good.write_text("What a lovely day.")
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    arguments = [
        str(good),
        str(tmp_path / "absent.mp4"),
        "--json",
        "--html",
        str(page),
        "--csv",
        str(table),
    ]
    assert main(["analyze", *arguments]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)["analyses"][0]["overall"]["label"] == "positive"
    assert err.count("\n") == 1
    assert "<img src=x" not in page.read_text(encoding="utf-8")
    assert main(["analyze", str(good)]) == 0
    out, _ = capfd.readouterr()
    assert "\x1b[31m" not in out
    assert main(["analyze", str(good.with_suffix(".mp4"))]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n"), err.rstrip("\n").isprintable()) == ("", 1, True)


def test_video_without_believable_times(tmp_path: Path) -> None:
    path = write_media(tmp_path / "mute.avi", video="mpeg4", audio=None)
    slow = changed(path.read_bytes(), "avi", put(b"strh", 20, b"\xff\xff\xff\xff\x01\0\0\0"))
    seconds, frames = look(written(path, slow))
    assert frames > 0
    assert 0 <= seconds < 10
