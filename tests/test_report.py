import base64
import csv
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analyses as factory
from trivalent.core.analysis import Analysis
from trivalent.core.errors import TrivalentError
from trivalent.core.files import write_bytes_atomic, write_text_atomic
from trivalent.core.spreadsheet import guarded
from trivalent.core.types import Modality
from trivalent.report import writers as report
from trivalent.report.renderer import Renderer, esc
from trivalent.report.timeline import recording_length
from trivalent.report.wording import COLOURS, percent

VOID = {"meta", "input", "img", "link", "br", "hr"}
EVERY = pytest.mark.parametrize("make", factory.ALL.values(), ids=factory.ALL)
TEXT, VIDEO = factory.text(), factory.video()
TEXTS = st.text(st.characters(codec=None), max_size=40)  # lone surrogates and controls included


class Page(HTMLParser):
    """Collects what a browser would act on and fails on tags that do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.tags, self.attributes, self.ids, self.texts = [], [], [], [], {}
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.stack.append((tag, dict(attrs).get("class")))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        assert len({name for name, _ in attrs}) == len(attrs)
        self.attributes += [(tag, name, v or "") for name, v in attrs]
        self.ids += [v for name, v in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop()[0] == tag

    def handle_data(self, data):
        if self.stack:
            self.texts.setdefault(self.stack[-1], []).append(data)

    def said(self):
        return self.texts.get(("span", "tv-said"), [])

    def everything(self):
        return " ".join(t for parts in self.texts.values() for t in parts)


def assert_sealed(page, text):
    """No script, nothing from a network, no dangling link."""
    ids = set(page.ids)
    assert len(ids) == len(page.ids)
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "base", "form"} & set(page.tags)
    for tag, name, v in page.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "style"
        if name in {"href", "src", "action", "srcset", "poster"}:
            assert v.startswith(("#", "data:image/jpeg;base64,")), (tag, name, v)
        if name == "href":
            assert v[1:] in ids
        if name == "fill" and "url" in v:
            assert v[5:-1] in ids
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(v for tag, name, v in page.attributes if tag == "meta" and name == "content")
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy


# -- JSON ---------------------------------------------------------------------------------


@EVERY
def test_json_round_trip(make):
    analysis = make()
    text = report.to_json([analysis])
    text.encode("utf-8")
    back = Analysis.from_dict(json.loads(text))
    assert back.to_dict() == analysis.to_dict()


def test_json_of_several_and_of_failures():
    one, two = factory.text(), factory.audio()
    many = json.loads(report.to_json([one, two]))
    assert many["schema"] == "trivalent.analyses/1"
    assert [a["source"]["name"] for a in many["analyses"]] == ["text", "phone-call.wav"]
    assert many["failures"] == []
    failed = json.loads(report.to_json([one], failures=[("broken.mov", "an empty file")]))
    assert len(failed["analyses"]) == 1
    assert failed["failures"] == [{"source": "broken.mov", "reason": "an empty file"}]


def test_json_keeps_letters_and_refuses_nan():
    analysis = factory.text()
    accented = replace(analysis, warnings=("déjà vu 😀",))
    assert "déjà vu 😀" in report.to_json([accented])
    broken = replace(analysis.overall, probabilities=np.array([np.nan, 0.5, 0.5]))
    with pytest.raises(TrivalentError, match="finite numbers"):
        report.to_json([replace(analysis, overall=broken)])


@given(TEXTS)
def test_json_of_any_text(text):
    changed = replace(TEXT, utterances=(replace(TEXT.utterances[0], text=text),))
    document = report.to_json([changed]).encode("utf-8")
    assert json.loads(document)["utterances"][0]["text"] == text


# -- CSV ----------------------------------------------------------------------------------


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@EVERY
def test_csv_holds_the_rows(make, tmp_path):
    analysis = make()
    rows = read_csv(report.write_csv([analysis], tmp_path / "a.csv"))
    assert len(rows) == len(analysis.utterances)
    for row, u in zip(rows, analysis.utterances, strict=True):
        assert float(row["positive"]) == u.verdict.probabilities[2]
        assert row["label"] == u.verdict.label
        for modality, e in u.modalities.items():
            assert row[f"{modality}_status"] == e.status
            assert (row[f"{modality}_negative"] == "") == (e.probabilities is None)


def test_csv_has_one_header_whatever_the_modalities(tmp_path):
    headers = set()
    for name, many in {
        "text": [factory.text()],
        "both": [factory.text(), factory.video()],
        "none": [],
    }.items():
        headers.add(report.write_csv(many, tmp_path / f"{name}.csv").read_text("utf-8").splitlines()[0])
    assert len(headers) == 1
    header = headers.pop().split(",")
    assert header[:5] == ["source", "utterance", "start_s", "end_s", "text"]
    assert [h.split("_")[0] for h in header if h.endswith("_weight")] == list(Modality)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@sum", "'@sum"),
        ("\t=1", "'\t'=1"),  # a text, and where tabs separate, another one
        ("\r=1", "'\r'=1"),
        (" ＝1", "' ＝1"),
        ("Yes;=1", "Yes;'=1"),
        ("Yes\n=1", "Yes\n'=1"),
        ("well - yes", "well - yes"),
    ],
)
def test_csv_formulas_are_disarmed(said, written, tmp_path):
    analysis = factory.text()
    changed = replace(analysis, utterances=(replace(analysis.utterances[0], text=said),))
    assert read_csv(report.write_csv([changed], tmp_path / "f.csv"))[0]["text"] == written


def test_csv_of_negative_numbers_stays_numeric(tmp_path):
    analysis = factory.text()
    changed = replace(analysis, utterances=(replace(analysis.utterances[0], start_s=-0.5),))
    assert read_csv(report.write_csv([changed], tmp_path / "n.csv"))[0]["start_s"] == "-0.5"


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_csv_of_any_text(tmp_path_factory, texts):
    changed = replace(TEXT, utterances=tuple(replace(TEXT.utterances[0], text=t) for t in texts))
    rows = read_csv(report.write_csv([changed], tmp_path_factory.mktemp("csv") / "any.csv"))
    for row, text in zip(rows, texts, strict=True):
        expected = re.sub("[\ud800-\udfff]", "\ufffd", text)
        assert row["text"] == guarded(expected)
        assert not row["text"].startswith(("=", "+", "-", "@"))


# -- HTML ---------------------------------------------------------------------------------


@EVERY
def test_html_is_well_formed_and_sealed(make, tmp_path):
    analysis = make()
    text = report.write_html([analysis], tmp_path / "a.html", card=factory.CARD).read_text("utf-8")
    page = Page(text)
    assert_sealed(page, text)
    assert {f"s0-u{u.index}" for u in analysis.utterances} <= set(page.ids)
    assert len(page.said()) == sum(bool(u.text.strip()) for u in analysis.utterances)
    assert page.tags.count("img") == len(analysis.keyframes)


def test_html_of_several_sources_and_failures():
    many = [factory.video(), factory.audio(), factory.text(), factory.abstained()]
    reason = "expected a recording, got an empty file; <b>export</b> it again"
    text = report.to_html(many, card=factory.CARD, failures=[("broken.mov", reason)])
    page = Page(text)
    assert_sealed(page, text)
    assert {"s0", "s1", "s2", "s3"} <= set(page.ids)
    assert "not analysed" in page.everything()
    assert reason in page.everything()
    assert text.count('class="hash"') == 1  # one bundle spoke: its card is said once


def test_html_of_nothing_is_a_page():
    text = report.to_html([], failures=[("broken.mov", "an empty file")])
    assert_sealed(Page(text), text)


def test_html_escapes_hostile_text():
    text = report.to_html([factory.hostile()], card={factory.HOSTILE: [factory.HOSTILE, None, True]})
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "${body}" in text  # a template variable inside the text is not filled in
    assert "[bold]markup[/bold]" in text


@settings(max_examples=40, deadline=None)
@given(TEXTS, TEXTS)
def test_html_of_any_text(words, name):
    base = VIDEO
    changed = replace(
        base,
        source=replace(base.source, name=name),
        utterances=tuple(replace(u, text=words) for u in base.utterances[:1]),
        warnings=(words,),
        keyframes=(),
    )
    text = report.to_html([changed], card={name: words})
    page = Page(text)
    assert_sealed(page, text)
    shown = "".join(page.said()) if words.strip() else ""
    # what is left out acts instead of being read
    assert all(not c.isprintable() for c in set(words) - set(shown))


def test_every_number_comes_from_the_analysis():
    analysis = factory.video()
    page = Page(report.to_html([analysis]))
    shown = page.everything()
    for p in analysis.overall.probabilities:
        assert percent(float(p)) in shown
    for u in analysis.utterances:
        assert percent(u.verdict.confidence) in shown
        assert f"{u.start_s:.1f} to {u.end_s:.1f} s" in shown
    assert "0.41" in shown  # the conflict of the mixed utterance
    assert (
        "8 utterances: 1 negative, 2 neutral, 5 positive; of these 2 unsure and 1 with mixed signals"
        in shown
    )
    assert "3.72 s, 0.12 times its length" in shown


def test_abstention_is_said_and_shown():
    page = Page(report.to_html([factory.abstained()]))
    assert page.texts[("p", "tv-headline")] == ["Unsure"]
    assert "Leaning neutral at 36 %, below the confidence required" in page.everything()


def test_card_is_shown_whole():
    shown = Page(report.to_html([factory.text()], card=factory.CARD)).everything()
    for words in (
        "CREMA-D voice and face clips (ODbL)",
        "macro F1",
        "0.641 (0.612 to 0.668)",
        "Irony",
        "MIT",
    ):
        assert words in shown
    odd = Page(report.to_html([], card={"a": None, "b": False, "c": 0.12345, "d": ["x", {"items": 1}]}))
    assert odd.texts[("dd", None)] == ["not stated", "no", "0.1235", "1"]
    assert odd.texts[("li", None)] == ["x"]


def test_a_card_of_any_depth_is_a_page():
    deep = {}
    for _ in range(5000):
        deep = {"deeper": [deep]}
    text = report.to_html([], card=deep)
    assert_sealed(Page(text), text)
    assert len(text) < 100_000


# -- timeline -----------------------------------------------------------------------------


def drawn(analysis):
    return Renderer().timeline(analysis, prefix="u")


def test_timeline_has_a_track_per_modality_and_says_the_gaps():
    svg = drawn(factory.video())
    page = Page(svg)
    assert svg.count('class="tv-track"') == 5  # combined, three modalities, the axis
    assert (
        sum(v == "tv-gap" for _, name, v in page.attributes if name == "class") == 3
    )  # two and the legend's
    titles = page.texts[("title", None)]
    assert any(factory.NO_FACE in t for t in titles)
    assert any("Mixed signals." in t for t in titles)
    assert any("below the confidence" in t for t in titles)
    assert "no face in 15 sampled frames (in 1 of 8 utterances)" in page.everything()


@EVERY
def test_timeline_stays_inside(make):
    page = Page(drawn(make()) or "<p></p>")
    for _, name, v in page.attributes:
        if name in {"x", "width", "x1", "x2"} and v.endswith("%"):
            assert 0 <= float(v[:-1]) <= 100


def test_stacked_probabilities_fill_the_block():
    svg = drawn(replace(factory.video(), utterances=factory.video().utterances[:1]))
    fused = svg[svg.index('class="tv-fused"') :]
    heights = re.findall(r'#tv-p-(?:negative|neutral|positive)\)" x[^>]* height="([\d.]+)"', fused)[:3]
    assert sum(map(float, heights)) == pytest.approx(52, abs=0.05)


def test_a_text_has_no_timeline():
    assert drawn(factory.text()) == ""
    assert "Over the recording" not in report.to_html([factory.text()])


def test_recording_without_a_known_length():
    base = factory.video()
    unknown = replace(base, source=replace(base.source, duration_s=None))
    assert recording_length(unknown) == base.utterances[-1].end_s
    assert drawn(unknown)


# -- style --------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_meets_wcag_aa(theme):
    folder = files("trivalent") / "data" / "templates"
    css = "".join((folder / name).read_text("utf-8") for name in ("pieces.css", "page.css"))
    colours = dict(re.findall(r"--(?:tv-)?([a-z-]+): (#[0-9a-fA-F]{6})", css))
    both = re.findall(r"--(?:tv-)?([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", css)
    colours |= {name: light if theme == "light" else dark for name, light, dark in both}
    for ground in ("card", "paper", "warn"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5
    for ground in ("card", "paper"):
        assert contrast(colours["soft"], colours[ground]) >= 4.5
        assert contrast(colours["accent"], colours[ground]) >= 4.5
    for label, colour in COLOURS.items():
        assert colours[label].lower() == colour.lower()
        assert contrast(colours["on-fill"], colour) >= 4.5
    assert contrast(colours["on-fill"], colours["plain"]) >= 4.5


# -- files --------------------------------------------------------------------------------


def test_writing_replaces_at_once_and_leaves_nothing_behind(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    write_text_atomic(target, "old")
    write_text_atomic(target, "new\r\n")
    assert target.read_bytes() == b"new\r\n"

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(TrivalentError, match="No space left"):
        write_text_atomic(target, "half")
    assert target.read_bytes() == b"new\r\n"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["absent/a.txt", ".", "nul\x00"])
def test_unwritable_places_are_named(name, tmp_path):
    with pytest.raises(TrivalentError, match="expected a place to write"):
        write_bytes_atomic(tmp_path / name, b"x")


def test_a_link_keeps_pointing_where_it_points(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to("real.txt")
    write_text_atomic(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_esc_is_safe_in_an_attribute():
    assert '"' not in esc('"><img src=x onerror=alert(1)>')
