"""The cache of features: content-addressed, resumable, shared by processes, honest about failures."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from media_samples import write_media
from trivalent.bundle.loading import installed_bundles, load_bundle
from trivalent.core.errors import AssetError, FeatureError, UsageError
from trivalent.core.types import FeatureTable, Modality, Status
from trivalent.features.covarep import covarep
from trivalent.features.face import FaceExtractor
from trivalent.features.pooling import pool
from trivalent.lab.datasets import recordings
from trivalent.lab.datasets.feature_cache import Cached, FeatureCache
from trivalent.lab.datasets.locks import locked
from trivalent.lab.datasets.recordings import (
    Extraction,
    LazyRecording,
    face,
    pooled,
    pooled_names,
    spoken_text,
    voice,
    words,
)
from trivalent.media.recording import open_recording
from trivalent.media.sound import SAMPLE_RATE

DEMO = Extraction("demo", "1", {"a": 1})


def table_of(path: Path) -> FeatureTable:
    return FeatureTable("demo", "1", ("size",), np.zeros(1), np.array([[float(path.stat().st_size)]]))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the extraction by one that counts."""
    made: list[str] = []

    def extract(self: LazyRecording, extraction: Extraction) -> FeatureTable:
        made.append(self.path.name)
        return table_of(self.path)

    monkeypatch.setattr(LazyRecording, "extract", extract)
    return made


def write_files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"r{i}.bin" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * (i + 1))
    return paths


def test_each_table_is_made_once(tmp_path: Path, calls: list[str]) -> None:
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 3)
    done = cache.extract([*paths, paths[0]], [DEMO])
    assert calls == ["r0.bin", "r1.bin", "r2.bin"]
    assert [item.path for item in done] == [*paths, paths[0]]
    table = cache.read(str(done[1].sha256), DEMO)
    assert table is not None
    assert (table.extractor, table.values.tolist()) == ("demo", [[2.0]])
    assert cache.extract(paths, [DEMO]) == done[:3]
    assert len(calls) == 3
    assert not list(tmp_path.rglob("*.lock"))


def test_the_content_is_the_address(tmp_path: Path, calls: list[str]) -> None:
    cache, (path, *_) = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    cache.extract([path], [DEMO])
    path = path.rename(tmp_path / "another name.bin")
    cache.extract([path], [DEMO])
    assert len(calls) == 1
    path.write_bytes(b"changed")
    cache.extract([path], [DEMO])
    assert len(calls) == 2
    others = [
        Extraction("demo", "2", {"a": 1}),
        Extraction("demo", "1", {"a": 2}),
        Extraction("d", "1", {"a": 1}),
    ]
    cache.extract([path], others)
    assert len(calls) == 5


def test_a_failure_is_kept_with_its_reason_and_tried_again_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 2)
    counted = LazyRecording.extract

    def fails(self: LazyRecording, extraction: Extraction) -> FeatureTable:
        if self.path == paths[0]:
            calls.append("failed")
            raise (FeatureError("too odd") if extraction is DEMO else ZeroDivisionError("by zero"))
        return counted(self, extraction)

    other = Extraction("other", "1")
    monkeypatch.setattr(LazyRecording, "extract", fails)
    digest = cache.extract(paths, [DEMO, other])[0].sha256
    first, second = cache.read(str(digest), DEMO), cache.read(str(digest), other)
    assert first is not None
    assert second is not None
    assert (first.status, first.reason, len(first)) == (Status.FAILED, "too odd", 0)
    assert second.reason == "unexpected ZeroDivisionError: by zero"
    monkeypatch.setattr(LazyRecording, "extract", counted)
    calls.clear()
    cache.extract(paths, [DEMO])
    assert calls == []
    cache.extract(paths, [DEMO], retry=True)
    assert calls == ["r0.bin"]
    repaired = cache.read(str(digest), DEMO)
    assert repaired is not None
    assert repaired.status is Status.OK


def test_faults_of_the_installation_are_not_blamed_on_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: LazyRecording, extraction: Extraction) -> FeatureTable:
        raise AssetError("no model")

    monkeypatch.setattr(LazyRecording, "extract", fails)
    with pytest.raises(AssetError, match="no model"):
        FeatureCache(tmp_path / "cache").extract(write_files(tmp_path, 1), [DEMO])
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_damaged_tables_are_made_again(tmp_path: Path, calls: list[str]) -> None:
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    digest = str(cache.extract(paths, [DEMO])[0].sha256)
    stored = cache.path(digest, DEMO)
    stored.write_bytes(stored.read_bytes()[:100])
    assert cache.read(digest, DEMO) is None
    cache.extract(paths, [DEMO])
    assert cache.read(digest, DEMO) is not None
    assert len(calls) == 2


def test_files_that_cannot_be_read_or_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changes(self: LazyRecording, extraction: Extraction) -> FeatureTable:
        self.path.write_bytes(b"longer than before")
        return table_of(self.path)

    monkeypatch.setattr(LazyRecording, "extract", changes)
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    done = cache.extract([tmp_path / "absent", tmp_path, Path("nul\0"), *paths], [DEMO])
    assert [item.sha256 for item in done] == [None] * 4
    reasons = [str(item.reason) for item in done]
    assert reasons[:2] == ["No such file or directory", "Is a directory"]
    assert reasons[3] == "the file changed while it was read"
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path, calls: list[str]) -> None:
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    folder = cache.path(str(cache.extract(paths, [DEMO])[0].sha256), DEMO).parent
    old, young = folder / ".trivalent-1.tmp", folder / ".trivalent-2.tmp"
    for left in (old, young):
        left.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    cache.extract(paths, [DEMO])
    assert not old.exists()
    assert young.exists()


def test_workers_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one worker, got 0"):
        FeatureCache(tmp_path).extract([], [DEMO], workers=0)
    with pytest.raises(UsageError, match="expected a Whisper size"):
        words("huge")


# --- several processes


def extract_slowly(folder: Path, log: Path, paths: Sequence[Path], started: Path) -> None:
    """Run in a process of its own: an extraction of a tenth of a second that is logged."""

    def extract(self: LazyRecording, extraction: Extraction) -> FeatureTable:
        with log.open("a") as stream:
            stream.write(f"{os.getpid()} {self.path.name}\n")
        time.sleep(0.1)
        return table_of(self.path)

    recordings.LazyRecording.extract = extract  # type: ignore[method-assign]
    started.touch()
    while len(list(started.parent.glob("started-*"))) < 2:
        time.sleep(0.01)
    FeatureCache(folder).extract(paths, [DEMO])


def test_two_processes_do_not_do_the_same_work(tmp_path: Path) -> None:
    paths, log = write_files(tmp_path, 8), tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    both = [
        context.Process(
            target=extract_slowly, args=(tmp_path / "cache", log, paths, tmp_path / f"started-{i}")
        )
        for i in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    made = [line.split()[1] for line in log.read_text().splitlines()]
    assert sorted(made) == sorted(path.name for path in paths)
    assert not list((tmp_path / "cache").rglob("*.lock"))


def test_readers_only_ever_see_whole_tables(tmp_path: Path, calls: list[str]) -> None:
    """Without the lock, the same table is written again and again while it is read."""
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    digest = str(cache.extract(paths, [DEMO])[0].sha256)
    from trivalent.features.tables import write_table

    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            write_table(table_of(paths[0]), cache.path(digest, DEMO))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        assert all(cache.read(digest, DEMO) is not None for _ in range(200))
    finally:
        stop.set()
        for writer in writers:
            writer.join()


class Fragile(FeatureCache):
    """Recordings called `poison` end the process that looks at them."""

    def fill(self, path: Path, extractions: Sequence[Extraction], *, retry: bool = False) -> Cached:
        if path.stem == "poison":
            os._exit(9)
        recordings.LazyRecording.extract = lambda source, _: table_of(source.path)  # type: ignore[method-assign]
        return super().fill(path, extractions, retry=retry)


def test_a_recording_that_kills_its_process_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    paths = write_files(tmp_path, 7)
    paths[2] = paths[2].rename(tmp_path / "poison.bin")
    cache = Fragile(tmp_path / "cache")
    done = cache.extract(paths, [DEMO], workers=2)
    tables = [cache.read(str(item.sha256), DEMO) for item in done]
    assert [item.path for item in done] == paths
    statuses = [None if table is None else table.status for table in tables]
    assert statuses == [Status.OK, Status.OK, Status.FAILED, *[Status.OK] * 4]
    assert tables[2] is not None
    assert "a crash, or too little memory" in str(tables[2].reason)


RUN = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_feature_cache import DEMO, FeatureCache, recordings, table_of

def extract(self, extraction):
    if self.path.name == "r3.bin" and len(sys.argv) > 1:
        print("stuck", flush=True)
        time.sleep(600)
    print(self.path.name, flush=True)
    return table_of(self.path)

recordings.LazyRecording.extract = extract
FeatureCache(Path({cache!r})).extract([Path({folder!r}) / f"r{{i}}.bin" for i in range(6)], [DEMO])
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    write_files(tmp_path, 6)
    code = RUN.format(tests=str(Path(__file__).parent), cache=str(tmp_path / "cache"), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code, "stuck"], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        seen = []
        for line in run.stdout:
            seen.append(line.strip())
            if seen[-1] == "stuck":
                assert len(list((tmp_path / "cache").rglob("*.lock"))) == 1
                run.send_signal(signal.SIGKILL)
    assert seen == ["r0.bin", "r1.bin", "r2.bin", "stuck"]
    # The killed run has left its lock file behind, but not the lock.
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert again.stdout.split() == ["r3.bin", "r4.bin", "r5.bin"]
    assert not list((tmp_path / "cache").rglob("*.lock"))


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    (path,) = write_files(tmp_path, 1)
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from trivalent.lab.datasets.feature_cache import FeatureCache\n"
        f"FeatureCache(Path({str(tmp_path / 'cache')!r})).extract([Path({str(path)!r})], [], workers=2)\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 1
    assert "DataError: expected worker processes to start, got none; guard" in run.stderr


# --- locks


def test_a_lock_excludes(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "a.lock", [0], [0]

    def work() -> None:
        for _ in range(20):
            with locked(path) as held:
                assert held
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not path.exists()


def test_an_owner_that_does_not_get_on_is_not_waited_for(tmp_path: Path) -> None:
    with locked(tmp_path / "a.lock") as first:
        start = time.monotonic()
        with locked(tmp_path / "a.lock", patience_s=0.2) as second:
            assert (first, second) == (True, False)
        assert 0.2 < time.monotonic() - start < 5
    with locked(tmp_path / "a.lock") as third:
        assert third


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "a.lock") as held:
        assert not held


# --- the extractors


def test_tables_of_real_clips_are_those_of_the_extractors(real_data: Path, tmp_path: Path) -> None:
    clips = sorted((real_data / "crema_d").glob("*.flv"))[:2]
    if not clips or "default" not in installed_bundles():
        pytest.skip("needs CREMA-D clips and the default bundle")
    experts = load_bundle("default").experts
    spec = {m: experts[m].spec for m in (Modality.AUDIO, Modality.FACE)}
    wanted = [voice(spec[Modality.AUDIO].columns), face()]
    cache = FeatureCache(tmp_path)
    done = cache.extract(clips, wanted, workers=2)
    for clip, cached in zip(clips, done, strict=True):
        recording = open_recording(clip)
        heard, seen = (cache.read(str(cached.sha256), extraction) for extraction in wanted)
        assert heard is not None
        assert seen is not None
        start, end = heard.meta["extent_s"]
        assert 0 < start < end < recording.duration_s == heard.meta["recording_s"]
        assert heard.times[0] > start
        assert recording.audio is not None
        sound = recording.audio.read(start, end)
        expected = covarep(sound, SAMPLE_RATE, columns=spec[Modality.AUDIO].columns)
        np.testing.assert_allclose(heard.values, expected.values, rtol=1e-9, atol=1e-12)
        pooled_voice = pool(expected, pooled_names(spec[Modality.AUDIO]))
        np.testing.assert_allclose(pooled(heard, spec[Modality.AUDIO]), pooled_voice, rtol=1e-6, atol=1e-9)
        direct = FaceExtractor().extract(recording.frames(rate_hz=5.0, max_side=1280))
        np.testing.assert_allclose(seen.values, direct.values, rtol=1e-5, atol=1e-6)
        part = direct.between(start, end)
        assert 0 < len(part) < len(direct)
        np.testing.assert_allclose(
            pooled(seen, spec[Modality.FACE]), pool(part, spec[Modality.FACE].pooling), rtol=1e-4, atol=1e-5
        )


def test_words_of_a_real_clip(real_data: Path, tmp_path: Path) -> None:
    clip = real_data / "crema_d" / "1001_DFA_ANG_XX.flv"
    if not clip.is_file():
        pytest.skip("needs CREMA-D clips")
    cache, extraction = FeatureCache(tmp_path), words()
    table = cache.read(str(cache.extract([clip], [extraction])[0].sha256), extraction)
    assert table is not None
    assert "jacket" in spoken_text(table)
    assert table.columns == ("end_s", "words", "probability")
    assert 0 < table.times[0] < table.column("end_s")[0]
    silent = FeatureTable(
        "words", "1", (), np.empty(0), np.empty((0, 0)), meta={"texts": ["x"], "language": "de"}
    )
    assert spoken_text(silent) == ""


def test_recordings_without_sound_or_pictures(tmp_path: Path) -> None:
    sound = write_media(tmp_path / "s.wav", video=None, audio="pcm_s16le", rate=16000)
    silent = write_media(tmp_path / "v.mp4", audio=None)
    cache, wanted = FeatureCache(tmp_path / "cache"), [voice(["F0", "VUV"]), face(2.0), words()]
    shutil.copy(sound, tmp_path / "copy.wav")
    found = {}
    for cached in cache.extract([sound, silent, tmp_path / "copy.wav"], wanted):
        tables = [cache.read(str(cached.sha256), extraction) for extraction in wanted]
        found[cached.path.name] = [(str(t.status), t.reason) for t in tables if t is not None]
    assert found["s.wav"] == found["copy.wav"]
    assert found["s.wav"][0][0] == "ok"
    assert found["s.wav"][1] == ("missing", "the recording has no video track")
    assert found["s.wav"][2] == ("missing", "no words")
    assert found["v.mp4"][0] == found["v.mp4"][2] == ("missing", "the recording has no audio track")
    assert found["v.mp4"][1] == ("missing", "no face in 4 sampled frames")
