"""The cache of features: content-addressed, resumable, shared by processes, honest about failures."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_samples import write_media
from trivalent.bundle.encoder import EncoderSpec
from trivalent.bundle.loading import installed_bundles
from trivalent.core.assets import DATA
from trivalent.core.errors import AssetError, FeatureError, UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FeatureTable, Modality, Status
from trivalent.experts.channel import Spoken
from trivalent.experts.channels import CHANNELS
from trivalent.experts.encoder import Encoder
from trivalent.features.registry import OWN
from trivalent.features.registry import extractor as extractor_of
from trivalent.features.steps import StepKind, Steps
from trivalent.lab.datasets import recordings
from trivalent.lab.datasets.feature_cache import Cached, FeatureCache
from trivalent.lab.datasets.locks import locked
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.recordings import Cut, Extracted, Extraction, FeaturePlan, LazyRecording
from trivalent.media.recording import open_recording
from trivalent.speech.recognizer import Recognizer
from trivalent.speech.transcripts import Cue, Transcript


def extraction(name: str = "demo", version: str = "1", **changes: Any) -> Extraction:
    spec = EncoderSpec(name, version, changes.pop("pooling", ("size.mean",)), changes.pop("options", {}))
    return Extraction(changes.pop("modality", Modality.AUDIO), spec, **changes)


DEMO = extraction()
SAMPLE = DATA / "samples" / "sample.mp4"


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


def wanted(paths: Sequence[Path], *extractions: Extraction) -> dict[Path, Sequence[Extraction]]:
    return dict.fromkeys(paths, extractions or (DEMO,))


def write_files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"r{i}.bin" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * (i + 1))
    return paths


def test_each_table_is_made_once(tmp_path: Path, calls: list[str]) -> None:
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 3)
    done = cache.extract(wanted(paths))
    assert calls == ["r0.bin", "r1.bin", "r2.bin"]
    assert [item.path for item in done] == paths
    table = cache.read(str(done[1].sha256), DEMO)
    assert table is not None
    assert (table.extractor, table.values.tolist()) == ("demo", [[2.0]])
    assert cache.extract(wanted(paths)) == done
    assert len(calls) == 3
    assert not list(tmp_path.rglob("*.lock"))


def test_the_content_is_the_address(tmp_path: Path, calls: list[str]) -> None:
    cache, (path, *_) = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    cache.extract(wanted([path]))
    path = path.rename(tmp_path / "another name.bin")
    cache.extract(wanted([path]))
    assert len(calls) == 1
    path.write_bytes(b"changed")
    cache.extract(wanted([path]))
    assert len(calls) == 2
    others = [
        extraction(version="2"),
        extraction(name="d"),
        extraction(pooling=("size.max",)),
        extraction(options={"sha256": "0"}),
        extraction(modality=Modality.FACE),
        extraction(cut=Cut.UTTERANCES),
        extraction(whisper="tiny.en"),
        extraction(transcript=Transcript((Cue("Well done!"),))),
        extraction(transcript=Transcript((Cue("Well done!", 0.0, 1.0),))),
    ]
    cache.extract({path: others})
    assert len(calls) == 2 + len(others)
    cache.extract({path: [extraction(transcript=Transcript((Cue("Well done!"),)), whisper="tiny.en")]})
    assert len(calls) == 2 + len(others)  # nobody listens where a transcript is given


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

    other = extraction("other")
    monkeypatch.setattr(LazyRecording, "extract", fails)
    digest = cache.extract(wanted(paths, DEMO, other))[0].sha256
    first, second = cache.read(str(digest), DEMO), cache.read(str(digest), other)
    assert first is not None
    assert second is not None
    assert (first.status, first.reason, len(first)) == (Status.FAILED, "too odd", 0)
    assert second.reason == "unexpected ZeroDivisionError: by zero"
    monkeypatch.setattr(LazyRecording, "extract", counted)
    calls.clear()
    cache.extract(wanted(paths))
    assert calls == []
    cache.extract(wanted(paths), retry=True)
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
        FeatureCache(tmp_path / "cache").extract(wanted(write_files(tmp_path, 1)))
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_damaged_tables_are_made_again(tmp_path: Path, calls: list[str]) -> None:
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    digest = str(cache.extract(wanted(paths))[0].sha256)
    stored = cache.path(digest, DEMO)
    stored.write_bytes(stored.read_bytes()[:100])
    assert cache.read(digest, DEMO) is None
    cache.extract(wanted(paths))
    assert cache.read(digest, DEMO) is not None
    assert len(calls) == 2


def test_files_that_cannot_be_read_or_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changes(self: LazyRecording, extraction: Extraction) -> FeatureTable:
        self.path.write_bytes(b"longer than before")
        return table_of(self.path)

    monkeypatch.setattr(LazyRecording, "extract", changes)
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    done = cache.extract(wanted([tmp_path / "absent", tmp_path, Path("nul\0"), *paths]))
    assert [item.sha256 for item in done] == [None] * 4
    reasons = [str(item.reason) for item in done]
    assert reasons[:2] == ["No such file or directory", "Is a directory"]
    assert reasons[3] == "the file changed while it was read"
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path, calls: list[str]) -> None:
    cache, paths = FeatureCache(tmp_path / "cache"), write_files(tmp_path, 1)
    folder = cache.path(str(cache.extract(wanted(paths))[0].sha256), DEMO).parent
    old, young = folder / ".trivalent-1.tmp", folder / ".trivalent-2.tmp"
    for left in (old, young):
        left.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    cache.extract(wanted(paths))
    assert not old.exists()
    assert young.exists()


def test_workers_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one worker, got 0"):
        FeatureCache(tmp_path).extract({}, workers=0)
    with pytest.raises(UsageError, match="expected a Whisper size"):
        FeaturePlan(whisper="huge")


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
    FeatureCache(folder).extract(wanted(paths))


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
    digest = str(cache.extract(wanted(paths))[0].sha256)
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
    done = cache.extract(wanted(paths), workers=2)
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
from test_feature_cache import FeatureCache, recordings, table_of, wanted

def extract(self, extraction):
    if self.path.name == "r3.bin" and len(sys.argv) > 1:
        print("stuck", flush=True)
        time.sleep(600)
    print(self.path.name, flush=True)
    return table_of(self.path)

recordings.LazyRecording.extract = extract
FeatureCache(Path({cache!r})).extract(wanted([Path({folder!r}) / f"r{{i}}.bin" for i in range(6)]))
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
        f"FeatureCache(Path({str(tmp_path / 'cache')!r})).extract({{Path({str(path)!r}): []}}, workers=2)\n"
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


# --- the channels


OF = dict.fromkeys(("tokens", "minilm", "glove", "sentence_glove"), Modality.TEXT) | {
    "covarep": Modality.AUDIO
}


STEPPED = {
    "glove": Steps(StepKind.ROWS, extractor_of("glove").columns),
    "covarep": Steps(StepKind.WORDS, ("F0", "VUV", "MCEP_1")),
    "face": Steps(StepKind.FRAMES, extractor_of("face").columns[:40], rate_hz=2.0),
    "tokens": Steps(StepKind.ROWS, extractor_of("tokens").columns, most=256),
}


@pytest.mark.parametrize(
    ("name", "steps"),
    [*((name, None) for name in OWN), *STEPPED.items()],
    ids=[*OWN, *map("{} steps".format, STEPPED)],
)
def test_features_are_those_of_the_channels(
    real_data: Path, tmp_path: Path, name: str, steps: Steps | None
) -> None:
    """To the last digit, utterance by utterance, by way of the cache."""
    clip = real_data / "crema_d" / "1001_DFA_ANG_XX.flv"
    if not clip.is_file() or "default" not in installed_bundles():
        pytest.skip("needs CREMA-D clips and the default bundle")
    modality, made = OF.get(name, Modality.FACE), extractor_of(name)
    some = made.columns[-60:] if name == "sentence_glove" else made.columns[:40]  # of both kinds
    pooling = () if steps else tuple(f"{column}.mean" for column in some)
    spec = EncoderSpec(name, made.version, pooling, steps=steps)
    plan = FeaturePlan({modality: spec}, cut=Cut.UTTERANCES)
    wanted, cache = plan.extractions()[modality], FeatureCache(tmp_path)
    (done,) = cache.extract({clip: [wanted]})
    table = cache.read(str(done.sha256), wanted)
    assert table is not None
    assert table.status is Status.OK, table.reason
    recording = open_recording(clip)
    speech = Recognizer(threads=1).recognize(recording.audio, duration_s=recording.duration_s)
    view = CHANNELS[modality].read(
        Encoder(spec),
        Spoken(recording, speech),
        options=AnalyzerOptions(),
        begin=lambda: lambda done: None,
    )
    assert [r.features is None for r in view.readings] == [bool(told) for told in table.meta["reasons"]]
    found = Extracted.of(table)
    for features, reading in zip(found.values, view.readings, strict=True):
        expected = features * np.nan if reading.features is None else reading.features
        np.testing.assert_array_equal(features, expected)
    assert np.isfinite(table.values).any()
    assert found.values[0].shape == (
        (len(found.values[0]), len(spec.columns)) if steps else (len(pooling),)
    )
    assert found.starts == [u.start_s for u in speech.utterances]
    assert table.meta["texts"] == [u.text for u in speech.utterances]
    assert table.meta["recording_s"] == recording.duration_s


def test_a_transcript_is_followed_and_without_one_nobody_need_listen(tmp_path: Path) -> None:
    clip = SAMPLE
    given = Transcript((Cue("I am so glad."), Cue("It is awful!")))
    texts = {}
    for name, plan, said in [
        ("given", OwnFeatures(cut="utterances").plan([Modality.TEXT]), given),
        ("whole", OwnFeatures().plan([Modality.TEXT]), given),
        ("unheard", OwnFeatures(recognize=False).plan([Modality.TEXT]), None),
    ]:
        table = LazyRecording(clip).extract(plan.extractions(said)[Modality.TEXT])
        texts[name] = table.meta["texts"]
        assert np.isfinite(table.values).all() == (name != "unheard")
        assert table.times[0] > 0
    assert " ".join(texts["given"]) == "I am so glad. It is awful!"
    assert texts["whole"] == ["I am so glad. It is awful!"]
    assert texts["unheard"] == [""]


def test_recordings_without_sound_or_pictures(tmp_path: Path) -> None:
    sound = write_media(tmp_path / "s.wav", video=None, audio="pcm_s16le", rate=16000)
    silent = write_media(tmp_path / "v.mp4", audio=None)
    plan = OwnFeatures().plan()
    reasons = {}
    for path in (sound, silent):
        tables = {m: LazyRecording(path).extract(one) for m, one in plan.extractions().items()}
        assert {len(table) for table in tables.values()} == {1}
        reasons[path.name] = {m: table.meta["reasons"][0] for m, table in tables.items()}
    assert reasons["s.wav"][Modality.FACE] == "the recording has no video track"
    assert reasons["v.mp4"][Modality.AUDIO] == "the recording has no audio track"
    assert "no face" in reasons["v.mp4"][Modality.FACE]
    assert "no words" in reasons["s.wav"][Modality.TEXT]
