import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import analyses as factory
from trivalent.core.outside import readable
from trivalent.core.types import Modality
from trivalent.report.terminal import StageProgress, print_analysis
from trivalent.report.wording import percent

EVERY = pytest.mark.parametrize("make", factory.ALL.values(), ids=factory.ALL)
VIDEO = factory.video()
TEXTS = st.text(st.characters(codec=None), max_size=60)


def shown(analysis, *, width=80, encoding="utf-8", **options):
    """What `print_analysis` writes to a file of that encoding."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    print_analysis(analysis, console=Console(file=file, width=width, **options))
    file.flush()
    return raw.getvalue().decode(encoding)


@EVERY
def test_fits_80_columns_without_colour(make):
    text = shown(make())
    assert "\x1b" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= 80


@EVERY
def test_one_row_per_utterance(make):
    analysis = make()
    rows = shown(analysis).split("──\n")[1].split("\n\n")[0].splitlines()
    assert len(rows) == len(analysis.utterances)
    for row, u in zip(rows, analysis.utterances, strict=True):
        sign = (
            "?"
            if u.verdict.abstained
            else {"negative": "−", "neutral": "○", "positive": "+"}[u.verdict.label]
        )
        assert f"{sign} {u.verdict.label}" in row
        assert percent(u.verdict.confidence) in row
        assert row.rstrip().endswith("≠") == u.mixed


def test_video_in_words():
    text = shown(factory.video())
    assert text.startswith("film-review.mp4  video, 0:31, 8 utterances\n\n + Positive   71 % confidence\n")
    assert "0:13  Oh yes, brilliant" in text
    assert "+55   −20   −25   ≠" in text
    assert "face missing: no face in 15 sampled frames (in 1 of 8)" in text
    assert "warning: utterance 4" in text
    assert "took 3.72 s, 0.12 times its length" in text


def test_abstention_is_unsure():
    assert " ? Unsure   leaning neutral at 36 %, below the confidence required\n" in shown(
        factory.abstained()
    )


def test_text_is_numbered():
    text = shown(factory.text())
    assert "1  Thank you all for coming." in text
    assert "0:00" not in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@EVERY
def test_a_terminal_without_utf8(make, encoding):
    text = shown(make(), encoding=encoding)
    assert max(map(len, text.splitlines())) <= 80
    assert "+ positive" in text
    assert "- negative" in text


def test_colour_is_dark_on_a_fill():
    text = shown(factory.video(), force_terminal=True, color_system="truecolor")
    assert "\x1b[30;48;2;46;204;113m+ positive" in text


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(factory.video(), force_terminal=True)
    assert "48;" not in text
    assert "+ positive" in text


def test_hostile_text_does_not_act():
    text = shown(factory.hostile())
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "\u202e" not in text
    assert "[bold]markup[/bold]" in text


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS)
def test_any_text_fits(words, name):
    base = VIDEO
    analysis = replace(
        base,
        source=replace(base.source, name=name),
        utterances=(replace(base.utterances[0], text=words),),
        warnings=(words,),
    )
    text = shown(analysis)
    assert max(cell_len(line) for line in text.splitlines()) <= 80


@given(TEXTS)
def test_readable_text_is_printable(text):
    assert all(c.isprintable() for c in readable(text))
    assert readable(readable(text)) == readable(text)


def test_progress_is_silent_without_a_terminal(capsys):
    with StageProgress("talk.mp4") as progress:
        progress.stage("face")(0.5)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_progress_names_the_stage_on_a_terminal(encoding, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, force_terminal=True, width=80)
    with StageProgress("a very long name é " * 5, console=console) as progress:
        for share in (-1, 0.2, 2):
            progress.stage("face [bold]")(share)
    progress.stage("late")(0.5)  # after the end it is silent again
    file.flush()
    text = raw.getvalue().decode(encoding)
    assert "face [bold]" in text
    assert "late" not in text


def test_narrow_and_wide_windows():
    assert "film-review.mp4" in shown(factory.video(), width=40)
    wide = shown(factory.video(), width=160)
    assert "Oh yes, brilliant, yet another love story that nobody asked for." in wide


def test_a_network_tells_what_it_read_and_what_is_not_excluded():
    text = shown(factory.network(), width=120)
    assert "−○" in text
    assert "none" in text
    assert "read: attention in %" in text
    assert "what was read, not what decided" in " ".join(text.split())
    first, second = factory.network().utterances[0], factory.network().utterances[3]
    assert set(first.attention) == set(Modality)
    assert Modality.FACE not in second.attention
    assert "42/29/29" in text
    assert "50/50/·" in text
    plain = shown(factory.video(), width=120)
    assert "attention" not in plain
    assert "share of all" not in plain
