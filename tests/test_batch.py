"""Batches: every file once, whatever stops the run; tables that say what was done."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivalent import Analyzer
from trivalent.cli.main import main
from trivalent.core.assets import DATA
from trivalent.core.errors import InputError, UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.work import batch
from trivalent.work.engines import Local, Ray, engine
from trivalent.work.isolated import Limits
from trivalent.work.ray_session import ray_session
from trivalent.work.sources import find_sources
from trivalent.work.tables import failures, write_tables

WORDS = AnalyzerOptions(modalities=("text",), threads=1)
WORDS_ONLY = ("--modalities", "text", "--threads", "1")
SAMPLE = DATA / "samples" / "sample.mp4"
TEXTS = {
    "love.txt": "I love how this turned out.",
    "sub/bad.txt": "The end was dreadful.",
    "so.md": "It is.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "in"
    for name, text in TEXTS.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    (source / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42 and no more")
    (source / "table.xlsx").write_bytes(b"PK")
    (source / ".hidden.txt").write_text("not this")
    return source


def run(source: Path, out: Path, *more: str) -> int:
    arguments = [
        "batch",
        str(source),
        "-o",
        str(out),
        "--texts",
        "--modalities",
        "text",
        "--workers",
        "1",
        "--threads",
        "1",
    ]
    return main([*arguments, *more])


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def work(out: Path) -> dict[str, tuple[int, bytes]]:
    """Outcome documents with the time at which each was written."""
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (out / "work").rglob("*.json")}


def test_a_folder_becomes_tables(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, out) == 1  # one file failed
    shown = capsys.readouterr()
    assert "3 done, 1 failed, 0 left; 3 utterances" in shown.out
    assert "2 of other kinds left out" in shown.err
    assert "broken.mp4: expected sound or video" in shown.err
    files = {row["file"]: row for row in rows(out / "files.jsonl")}
    assert set(files) == {*TEXTS, "broken.mp4"}
    assert files["broken.mp4"]["status"] == "failed"
    assert files["broken.mp4"]["label"] is None
    analysis = Analyzer(modalities=["text"]).analyze_text(TEXTS["love.txt"])
    assert files["love.txt"]["label"] == analysis.overall.label
    assert files["love.txt"]["positive"] == pytest.approx(analysis.overall.probabilities[2])
    utterances = rows(out / "utterances.jsonl")
    assert {u["source"]: u["text"] for u in utterances} == TEXTS
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("files", "utterances"):
        assert parquet.read_table(out / f"{name}.parquet").to_pylist() == rows(out / f"{name}.jsonl")


def test_a_second_run_has_nothing_to_do(folder, tmp_path, capsys):
    out = tmp_path / "out"
    run(folder, out)
    before, tables = work(out), (out / "files.jsonl").read_bytes()
    capsys.readouterr()
    assert run(folder, out) == 1
    assert "0 files to analyse, 4 finished before" in capsys.readouterr().err
    assert work(out) == before
    assert (out / "files.jsonl").read_bytes() == tables


def test_new_and_changed_files_are_analysed(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    (folder / "love.txt").write_text("I hate how this turned out.")
    (folder / "new.txt").write_text("Marvellous!")
    os.utime(folder / "so.md")  # touched, with the same content
    sources = find_sources(folder, texts=True)
    plan = batch.plan(sources, out, options=WORDS, limits=Limits())
    assert {t.shown for t in plan.tasks} == {"love.txt", "new.txt"}


def test_other_options_are_noticed(folder, tmp_path, capsys):
    out = tmp_path / "out"
    run(folder, out)
    capsys.readouterr()
    assert run(folder, out, "--min-confidence", "0.9") == 2
    assert "expected the options of the earlier run" in capsys.readouterr().err
    assert run(folder, out, "--min-confidence", "0.9", "--restart") == 1
    assert all(
        row["abstained"]
        for row in rows(out / "files.jsonl")
        if row["confidence"] and row["confidence"] < 0.9
    )


def test_another_model_is_noticed(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    other = tmp_path / "bundle"
    shutil.copytree(DATA / "bundles" / "default", other)
    told = json.loads((other / "bundle.json").read_text())
    (other / "bundle.json").write_text(json.dumps({**told, "version": "another"}))
    with pytest.raises(UsageError, match="the model and options of the earlier run"):
        batch.plan(
            find_sources(folder, texts=True),
            out,
            options=AnalyzerOptions(str(other), ("text",)),
            limits=Limits(),
        )


def test_failed_files_only_on_request(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    shutil.copy(SAMPLE, folder / "broken.mp4")
    facts = (folder / "broken.mp4").stat()
    assert facts.st_size != 24
    assert run(folder, out) == 0  # its content changed, so that it is another file
    (folder / "empty.txt").write_text(" ")
    assert run(folder, out) == 1
    sources = find_sources(folder, texts=True)
    assert not batch.plan(sources, out, options=WORDS, limits=Limits()).tasks
    again = batch.plan(sources, out, options=WORDS, limits=Limits(), retry_failed=True)
    assert [t.shown for t in again.tasks] == ["empty.txt"]


def test_a_list_with_transcripts(tmp_path, capsys):
    shutil.copy(SAMPLE, tmp_path / "talk.mp4")
    (tmp_path / "talk.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nDreadful.\n")
    table = tmp_path / "list.csv"
    table.write_text("id,path,transcript\n1,talk.mp4,talk.srt\n2,absent.mp4,\n3,talk.mp4,\n")
    out = tmp_path / "out"
    assert run(table, out) == 1
    assert [u["text"] for u in rows(out / "utterances.jsonl")] == ["Dreadful."]
    assert failures([*(out / "work").rglob("*.json")], 9)[0][0] == "absent.mp4"
    table.write_text("file\ntalk.mp4\n")
    with pytest.raises(InputError, match=r"the column path in line 1 of list\.csv, got file; name them so"):
        find_sources(table)


def test_two_runs_do_not_share_a_folder(folder, tmp_path):
    out = tmp_path / "out"
    script = (
        "import sys, time; from pathlib import Path; from trivalent.work import batch\n"
        "with batch.only_run(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(out)], stdout=subprocess.PIPE)
    other.stdout.readline()
    try:
        assert run(folder, out) == 2
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert run(folder, out) == 1  # the lock died with its owner


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_runs_go_on(workers, tmp_path):
    """SIGKILL of the whole group at some moment: what was done stays as it was, the rest follows."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for i in range(24):
        (source / f"{i:02}.txt").write_text(f"It was {'good' if i % 2 else 'bad'}, take {i}. " * 40)
    command = [sys.executable, "-m", "trivalent.cli.main", "batch", str(source), "-o", str(out)]
    command += ["--texts", *WORDS_ONLY, "--workers", str(workers)]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(out.rglob("work/*/*.json")) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = work(out)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    after = work(out)
    assert len(after) == 24
    assert {k: after[k] for k in before} == before
    assert sorted(row["file"] for row in rows(out / "files.jsonl")) == sorted(
        p.name for p in source.iterdir()
    )


def test_an_output_that_cannot_be_written(folder, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run(folder, blocked / "out") == 1
    assert "expected a folder that can be written" in capsys.readouterr().err


def test_engines_are_named(capsys):
    assert engine("local", workers=3) == Local(3)
    assert engine("ray", workers=2, address="auto") == Ray(2, "auto")
    for wrong in ({"name": "dask", "workers": 1}, {"name": "local", "workers": 0}):
        with pytest.raises(UsageError):
            engine(**wrong)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")
def test_ray_gives_the_same_outcomes(folder, tmp_path):
    run(folder, tmp_path / "local")
    assert run(folder, tmp_path / "ray", "--engine", "ray") == 1
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows(tmp_path / where / "files.jsonl")]
        for where in ("local", "ray")
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")
def test_ray_of_our_own_starts_twice_stays_here_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path) + "/a-folder-too-deep-for-the-path-of-a-socket")
    for _ in range(2):
        with ray_session(1, None) as ray:
            assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
            assert ray.get(ray.remote(os.path.expanduser).remote("~")) == str(Path.home())
            folder = Path(ray._private.worker._global_node.get_temp_dir_path())
            assert folder.is_dir()
        assert not folder.exists()


@given(st.lists(st.text(min_size=1, max_size=30), max_size=5))
def test_tables_take_any_name(names):
    """Undecodable, odd and hostile names come through both tables."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        records = []
        for i, name in enumerate(names):
            facts = {"digest": "", "size_bytes": 1, "mtime_ns": 1, "sha256": None, "seconds": 0.0}
            ended = {"status": "failed", "reason": "no", "analysis": None}
            record = {"schema": batch.SCHEMA, "file": name + "\udcff", **facts, **ended}
            records.append(out / f"{i}.json")
            records[-1].write_text(json.dumps(record))
        counts = write_tables(records, out)
        assert (counts.failed, counts.pending) == (len(names), 0)
        assert [r["file"] for r in rows(out / "files.jsonl")] == [name + "\udcff" for name in names]
