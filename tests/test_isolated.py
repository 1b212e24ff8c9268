"""A child process that analyses: what it answers, and what costs only one file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from media_samples import write_media
from trivalent.core.assets import DATA
from trivalent.core.errors import (
    BundleError,
    CancelledError,
    LimitError,
    MediaError,
    TranscriptError,
    UsageError,
)
from trivalent.core.options import AnalyzerOptions
from trivalent.work import tasks
from trivalent.work.isolated import Isolated, Limits

SAMPLE = DATA / "samples" / "sample.mp4"
WORDS = AnalyzerOptions(modalities=("text",))


@pytest.fixture(scope="module")
def isolated():
    with Isolated() as analyzer:
        yield analyzer


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("I love how this turned out. The end was dreadful.", encoding="utf-8")
    return path


def test_same_answer_as_in_this_process(isolated, sample):
    stages: list[str] = []
    analysis = isolated.analyze(SAMPLE, report=lambda stage, share: stages.append(stage))
    ours, theirs = analysis.to_dict(), sample.to_dict()
    ours.pop("timing"), theirs.pop("timing")
    assert ours == theirs
    assert [k.jpeg for k in analysis.keyframes] == [k.jpeg for k in sample.keyframes]
    assert list(dict.fromkeys(stages))[:4] == ["decode", "speech", "voice", "face"]


def test_the_kind_is_told_and_not_guessed_from_the_shown_name(isolated, note):
    analysis = isolated.analyze(note, name="../talk.mp4", kind="text", options=WORDS)
    assert (analysis.source.name, analysis.source.kind) == ("../talk.mp4", "text")
    with pytest.raises(MediaError, match="a text file"):
        isolated.analyze(note, name="note.txt", kind="recording", options=WORDS)
    with pytest.raises(UsageError, match="text, recording, got 'poem'"):
        isolated.analyze(note, kind="poem", options=WORDS)


def test_errors_keep_their_kind_and_words(isolated, tmp_path, note):
    with pytest.raises(MediaError, match="found no file"):
        isolated.analyze(tmp_path / "absent.mp4")
    with pytest.raises(BundleError, match="nothing-like-it"):
        isolated.analyze(note, options=AnalyzerOptions(model="nothing-like-it"))
    note.write_text(" ")
    with pytest.raises(TranscriptError, match=r"none in a\.txt"):
        isolated.analyze(note, name="a.txt", options=WORDS)


@pytest.mark.parametrize(
    ("transcript", "times"),
    [
        ("WEBVTT\n\n00:00.500 --> 00:01.500\nDreadful.\n", (0.5, 1.5)),
        ("1\n00:00:00,500 --> 00:00:01,500\nDreadful.\n", (0.5, 1.5)),
    ],
)
def test_transcripts_go_with_the_file(isolated, transcript, times):
    analysis = isolated.analyze(SAMPLE, options=WORDS, transcript=transcript)
    first = analysis.utterances[0]
    assert first.text == "Dreadful."
    assert (first.start_s, first.end_s) == times


def test_cancel_keeps_the_child(note):
    with Isolated() as analyzer:
        analyzer.analyze(note, name="a.txt", options=WORDS)
        first = analyzer._child
        stages: list[str] = []
        with pytest.raises(CancelledError):
            analyzer.analyze(SAMPLE, report=lambda s, _: stages.append(s), cancelled=lambda: bool(stages))
        assert analyzer.analyze(note, name="a.txt", options=WORDS).overall.label
        assert analyzer._child is first or not first.alive


def test_a_file_that_takes_too_long(note):
    analyzer = Isolated(Limits(time_s=0.0))
    with pytest.raises(LimitError, match="within 0 s"):
        analyzer.analyze(SAMPLE)
    analyzer.limits = Limits()
    assert analyzer.analyze(note, name="a.txt", options=WORDS).utterances
    analyzer.close()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_a_file_that_needs_too_much_memory():
    with (
        Isolated(Limits(memory_bytes=60 * 2**20)) as analyzer,
        pytest.raises(LimitError, match="at most 60 MiB"),
    ):
        analyzer.analyze(SAMPLE)


def test_a_crash_costs_one_file(note):
    with Isolated() as analyzer:

        def crash() -> bool:
            os.kill(analyzer._child.process.pid, signal.SIGSEGV)
            return False

        with pytest.raises(LimitError, match="SIGSEGV"):
            analyzer.analyze(SAMPLE, cancelled=crash)
        assert analyzer.analyze(note, name="a.txt", options=WORDS).utterances


def test_an_error_of_the_caller_does_not_mix_up_answers(note):
    with Isolated() as analyzer:

        def broken(stage: str, share: float) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            analyzer.analyze(SAMPLE, report=broken)
        assert analyzer.analyze(note, name="a.txt", options=WORDS).source.kind == "text"


def test_the_child_dies_with_its_parent(tmp_path):
    """A killed program leaves nothing behind that works on."""
    talk = write_media(tmp_path / "talk.mp4", seconds=1.0)
    script = (
        "import sys; from pathlib import Path; from trivalent.work.isolated import *; a = Isolated();\n"
        "def report(stage, share): print(a._child.process.pid, flush=True)\n"
        "while True: a.analyze(Path(sys.argv[1]), report=report)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(talk)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(600):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break  # dead, and waits for whoever adopted it
        time.sleep(0.05)
    else:
        pytest.fail("the child outlived its parent")
    parent.stdout.close()


def test_models_are_loaded_once_for_all_that_decide():
    usual, other = (
        tasks._analyzer({"modalities": ["text"], **more}) for more in ({}, {"prior": [0.2, 0.5, 0.3]})
    )
    assert usual.bundle is other.bundle
    assert other.options.prior == (0.2, 0.5, 0.3)
    assert other.judge.terms.prior.tolist() == [0.2, 0.5, 0.3]
    assert usual.judge.terms.prior.tolist() == usual.bundle.fusion.prior.tolist()


def test_options_survive_json():
    options = AnalyzerOptions(modalities=("text", "face"), thresholds=(0.2, 0.5, 0.5), min_confidence=0.6)
    assert AnalyzerOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


@pytest.mark.parametrize("wrong", [{"modalities": 5}, {"model": None}, {"face_rate_hz": "fast"}])
def test_options_of_another_kind_are_named(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        AnalyzerOptions.from_dict(wrong)
