"""Transcripts: strict structure, forgiving encodings, no surprise exceptions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivalent.core.errors import TranscriptError
from trivalent.core.plain_text import plain
from trivalent.speech.transcripts import SUFFIXES, Cue, parse_transcript, read_transcript, to_srt

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 --> 00:00:04,000\nGood\nbye!\n"
VTT = """WEBVTT - a talk

NOTE made by hand
over two lines

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Ann>Hello <b>there</b> &amp; all.

00:00:03.000 --> 00:00:04.000
{\\an8}Goodbye!
"""


def test_srt():
    transcript = parse_transcript(SRT.encode(), suffix=".srt")
    assert transcript.timed
    assert transcript.warnings == ()
    assert transcript.cues == (Cue("Hello there.", 1.0, 2.5), Cue("Good bye!", 3.0, 4.0))


def test_vtt():
    transcript = parse_transcript(VTT.encode(), suffix=".vtt")
    assert transcript.cues == (Cue("Hello there & all.", 1.0, 2.5), Cue("Goodbye!", 3.0, 4.0))


def test_rolling_captions_are_said_once():
    text = (
        "WEBVTT\n\n00:00.000 --> 00:02.000\nso<00:00:01.000><c> here</c>\n\n"
        "00:02.000 --> 00:02.010\nso here\n\n00:02.010 --> 00:04.000\nso here\nwe<00:00:03.000><c> go</c>\n"
    )
    assert parse_transcript(text.encode(), suffix=".vtt").text == "so here we go"


def test_txt_sentences():
    text = 'Mr. Smith was glad. He said\nso twice! "Why?" she asked.\n\nA line of its own\nAnother line\n'
    transcript = parse_transcript(text.encode())
    assert not transcript.timed
    assert [cue.text for cue in transcript.cues] == [
        "Mr. Smith was glad.",
        "He said so twice!",
        '"Why?"',
        "she asked.",
        "A line of its own",
        "Another line",
    ]


def test_content_goes_before_the_suffix():
    assert parse_transcript(SRT.encode(), suffix=".txt").timed
    assert parse_transcript(VTT.encode(), suffix=".srt").timed


def single_line(error: Exception) -> None:
    assert "\n" not in str(error)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding):
    transcript = parse_transcript("Très bien, déjà vu.".encode(encoding))
    assert transcript.text == "Très bien, déjà vu."
    assert transcript.warnings == ()


def test_windows_1252_with_a_warning():
    transcript = parse_transcript("Très bien – it’s “fine”.".encode("cp1252"))
    assert transcript.text == "Très bien – it’s “fine”."
    assert "Windows-1252" in transcript.warnings[0]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends(line_end):
    assert len(parse_transcript(SRT.replace("\n", line_end).encode(), suffix=".srt").cues) == 2


def test_order_and_overlap():
    cues = [Cue("late", 5, 6), Cue("first", 0, 3), Cue("second", 2, 4), Cue("together", 2.05, 4.5)]
    transcript = parse_transcript(to_srt(cues).encode(), suffix=".srt")
    assert transcript.cues == (Cue("first", 0, 2), Cue("second together", 2, 4.5), Cue("late", 5, 6))
    assert len(transcript.warnings) == 2


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("1\n00:00:01,000 -> 00:00:02,000\nHi\n", ".srt", "line 2"),
        ("1\n00:00:03,000 --> 00:00:02,000\nHi\n", ".srt", "end after the start.*line 2"),
        ("1\n00:61:03,000 --> 00:62:02,000\nHi\n", ".srt", "up to 59.*line 2"),
        (SRT + "\nstray words\n", ".srt", "line 10"),
        ("00:01.000 --> 00:02.000\nHi\n", ".vtt", "WEBVTT in line 1"),
        ("WEBVTT\n\nHi\n", ".vtt", "line 3"),
        ("", ".txt", "expected words"),
        ("...\n\n--\n", ".txt", "expected words"),
        ("a\nb\x00c", ".txt", "binary data in line 2"),
    ],
)
def test_malformed(text, suffix, message):
    with pytest.raises(TranscriptError, match=message):
        parse_transcript(text.encode(), suffix=suffix, name="talk")


def test_files(tmp_path):
    path = tmp_path / "talk.SRT"
    path.write_text(SRT)
    assert len(read_transcript(path).cues) == 2
    for bad in (tmp_path / "talk.docx", tmp_path / "absent.srt", tmp_path / "x\x00.txt"):
        with pytest.raises(TranscriptError):
            read_transcript(bad)
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(TranscriptError, match="readable"):
        read_transcript(tmp_path / "folder.txt")


def test_to_srt_needs_times():
    with pytest.raises(TranscriptError, match="times"):
        to_srt([Cue("hello")])


letters = st.characters(categories=["L", "N"]).filter(lambda c: plain(c) == c)
words = st.text(letters, min_size=1, max_size=8).filter(lambda w: plain(w) == w)
texts = st.lists(words, min_size=1, max_size=6).map(" ".join)


@given(st.lists(st.tuples(texts, st.integers(0, 5000), st.integers(1, 9000)), min_size=1, max_size=8))
def test_round_trip(rows):
    cues, now = [], 0
    for text, gap, length in rows:
        start, now = now + gap, now + gap + length
        cues.append(Cue(text, start / 1000, now / 1000))
    assert parse_transcript(to_srt(cues).encode(), suffix=".srt").cues == tuple(cues)


@given(
    st.binary(max_size=200), st.sampled_from(SUFFIXES), st.sampled_from([b"", SRT.encode(), b"WEBVTT\n\n"])
)
def test_any_bytes_give_a_transcript_or_its_error(data, suffix, start):
    try:
        transcript = parse_transcript(start + data, suffix=suffix)
    except TranscriptError as error:
        single_line(error)
    else:
        assert transcript.cues
        assert all(cue.text.strip() for cue in transcript.cues)


@given(st.text("0123456789:,.->\n <>{}\\aN", max_size=120), st.sampled_from(SUFFIXES))
def test_nearly_right_text(text, suffix):
    try:
        cues = parse_transcript(text.encode(), suffix=suffix).cues
    except TranscriptError:
        return
    if cues[0].start_s is not None:
        for left, right in itertools.pairwise(cues):
            assert left.start_s <= left.end_s <= right.start_s
