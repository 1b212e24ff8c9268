"""Whatever a progress callback raises stops the analysis there, and nothing is left behind."""

from __future__ import annotations

import gc
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from media_samples import write_format, write_media
from trivalent import Analyzer
from trivalent.core.assets import DATA
from trivalent.core.errors import CancelledError
from trivalent.media.recording import open_recording
from trivalent.media.sound import SAMPLE_RATE, AudioTrack
from trivalent.speech.activity import Pack
from trivalent.speech.whisper import hear

SAMPLE = DATA / "samples" / "sample.mp4"
STAGES = ("decode", "speech", "voice", "face", "fusion")
PROCESS = Path("/proc/self")
on_linux = pytest.mark.skipif(not PROCESS.is_dir(), reason="no /proc on this system")


class Watch:
    """Stages that note what they are told, and raise at one of the calls of one stage."""

    def __init__(self, stage: str, at: int = 0) -> None:
        self.stage, self.at = stage, at
        self.told: dict[str, list[float]] = {}

    def __call__(self, name: str) -> Callable[[float], None]:
        assert name not in self.told
        self.told[name] = []
        self._perhaps(name)
        return lambda done: self._tell(name, done)

    def _tell(self, name: str, done: float) -> None:
        self.told[name].append(done)
        self._perhaps(name)

    def _perhaps(self, name: str) -> None:
        if name == self.stage and len(self.told[name]) >= self.at:
            raise CancelledError("the user cancelled")


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recordings")
    made = {suffix: write_format(folder, suffix) for suffix in ("mp4", "webm", "wav")}
    return {"speech": SAMPLE, **made}


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compare files, threads and temporary files before and after."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    before = held()
    yield
    assert held() == before
    assert list(tmp_path.iterdir()) == []


def held() -> tuple[list[str], int, int]:
    """Open files, threads of the process, and those that Python knows."""
    links = list((PROCESS / "fd").iterdir())
    files = sorted(str(link.readlink()) for link in links if link.is_symlink())
    return files, len(list((PROCESS / "task").iterdir())), threading.active_count()


# -- the stages ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["speech", "mp4", "wav"])
def test_every_stage_is_told_in_order(analyzer: Analyzer, recordings: dict[str, Path], kind: str) -> None:
    watch = Watch("nothing")
    analyzer.analyze(recordings[kind], stages=watch)
    stages = [s for s in STAGES if s != "face" or kind != "wav"]
    assert list(watch.told) == stages
    for name, told in watch.told.items():
        assert told == sorted(told), name
        assert all(0 <= done <= 1 for done in told)
        assert told[-1] == 1, name


@on_linux
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("kind", "at"), [("speech", 0), ("speech", 1), ("speech", 2), ("mp4", 0), ("mp4", 1), ("webm", 1)]
)
def test_a_callback_stops_the_analysis(
    analyzer: Analyzer, recordings: dict[str, Path], kind: str, stage: str, at: int, nothing_left: None
) -> None:
    watch = Watch(stage, at)
    with pytest.raises(CancelledError):
        analyzer.analyze(recordings[kind], stages=watch)
    assert list(watch.told) == list(STAGES[: STAGES.index(stage) + 1])  # nothing was begun after it
    assert len(watch.told[stage]) == at  # and it was told nothing more
    assert str(recordings[kind]) not in held()[0]
    gc.collect()


def test_the_analyzer_can_go_on_afterwards(analyzer: Analyzer) -> None:
    first = analyzer.analyze(SAMPLE).to_dict()["utterances"]
    with pytest.raises(CancelledError):
        analyzer.analyze(SAMPLE, stages=Watch("voice", 1))
    assert analyzer.analyze(SAMPLE).to_dict()["utterances"] == first


def test_a_text_file_is_told_and_can_be_stopped(analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("This part was really good. " * 100)
    watch = Watch("nothing")
    analyzer.analyze(path, stages=watch)
    assert list(watch.told) == ["speech", "fusion"]
    told = watch.told["speech"]
    assert told == sorted(told)
    assert (len(told), told[-1]) == (100, 1.0)
    watch = Watch("speech", 1)
    with pytest.raises(CancelledError):
        analyzer.analyze(path, stages=watch)
    assert watch.told == {"speech": [0.01]}


# -- how often ----------------------------------------------------------------------------


def test_decoding_is_told_without_an_announced_length(tmp_path: Path) -> None:
    path = write_media(tmp_path / "live.mkv", seconds=5.0, options={"live": "1"})
    told: list[float] = []
    open_recording(path, progress=told.append)
    assert len(told) >= 5
    assert told[:-1] == [0.0] * (len(told) - 1)
    assert told[-1] == 1


def test_recognition_is_told_after_each_segment() -> None:
    heard: list[int] = []

    def segments() -> Iterator[SimpleNamespace]:
        for i in range(3):
            heard.append(i)
            yield SimpleNamespace(
                start=2.0 * i,
                end=2.0 * i + 2,
                words=(),
                no_speech_prob=0,
                avg_logprob=0,
                compression_ratio=1,
                text="",
                tokens=(),
            )

    whisper = SimpleNamespace(transcribe=lambda *_, **options: (segments(), None))
    audio = AudioTrack(np.zeros(8 * SAMPLE_RATE, np.int16))
    told: list[float] = []
    hear(whisper, Pack(((0.0, 8.0),)), audio, language="en", progress=told.append)
    assert told == [0.25, 0.5, 0.75]
    heard.clear()
    with pytest.raises(CancelledError):
        hear(whisper, Pack(((0.0, 8.0),)), audio, language="en", progress=stop)
    assert heard == [0]


def stop(_: float) -> None:
    raise CancelledError("the user cancelled")


@on_linux
def test_frames_do_not_pile_up_threads(recordings: dict[str, Path]) -> None:
    """Each frame's own scaler started as many threads as there are cores, until the next collection."""
    recording = open_recording(recordings["mp4"])
    gc.collect()
    gc.disable()
    try:
        before = held()[1]
        count = len(list(recording.frames(rate_hz=25)))
        assert count == 50
        assert held()[1] - before < 10
    finally:
        gc.enable()
