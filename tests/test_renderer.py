"""One renderer: the report and the app tell the same clip in the same words and numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import analyses
from trivalent.cli.main import main
from trivalent.core.analysis import Analysis, Terms
from trivalent.core.messages import VARIABLE
from trivalent.core.texts import Language
from trivalent.core.types import Modality
from trivalent.report import writers as report
from trivalent.report.renderer import Renderer
from trivalent.report.wording import Wording
from trivalent.web.i18n import t, wording
from trivalent.web.views.transcript import transcript

LANGUAGES = pytest.mark.parametrize("language", list(Language))


class Said(HTMLParser):
    """Collects what a page says: texts, tooltips, and what is read aloud."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []


def said(html: str) -> list[str]:
    return Said(re.sub(r"<style>.*?</style>", "", html, flags=re.S)).words


def app(analysis: Analysis, language: Language) -> list[str]:
    """What the page of a result says of the analysis."""
    draw = Renderer(wording(language), live=True)
    pieces = [draw.verdict(analysis), draw.warnings(analysis), draw.timeline(analysis)]
    return said("".join([*pieces, draw.moments(analysis), transcript(analysis, draw, explained=True)]))


def file(analysis: Analysis, language: Language) -> list[str]:
    """What the downloaded report says between its head and the time it took."""
    say = wording(language)
    words = said(report.to_html([analysis], say=say))
    start, end = words.index(say.source(analysis)) + 1, words.index(say("report.model_card"))
    return words[start : words.index(say("report.timing")) if analysis.timing.total_s else end]


@LANGUAGES
def test_the_sample_is_told_alike(sample: Analysis, language: Language) -> None:
    in_app, in_file = app(sample, language), file(sample, language)
    say = Wording(language)
    heard, read = say("result.thickness_live"), say("result.thickness")
    assert [read if words == heard else words for words in in_app] == in_file
    expected = {
        Language.ENGLISH: ("Pitch", "99 to 490 Hz", "Loudness", "−63 to −22 dB", "smile", "Words"),
        Language.CHINESE: ("音高", "99 至 490 Hz", "响度", "−63 至 −22 dB", "微笑", "文字"),
    }
    assert set(expected[language]) <= set(in_file)


@LANGUAGES
@pytest.mark.parametrize("name", sorted(set(analyses.ALL) - {"long"}))  # the app shows it page by page
def test_every_kind_of_result_is_told_alike(name: str, language: Language) -> None:
    analysis = analyses.ALL[name]()
    say = Wording(language)
    heard, read = say("result.thickness_live"), say("result.thickness")
    in_app = [read if words == heard else words for words in app(analysis, language)]
    assert in_app == file(analysis, language)


def test_a_chinese_report_is_chinese(sample: Analysis) -> None:
    page = report.to_html([sample], say=wording(Language.CHINESE))
    assert '<html lang="zh-Hans">' in page
    spoken = [u.text for u in sample.utterances]
    words = [w for w in said(page) if w not in spoken and sample.source.name not in w]
    names = re.compile(r"Trivalent|default|sha256|[0-9a-f]{64}|Hz|dB|JSON|CSV|\d s")
    english = [w for w in words if re.search("[A-Za-z]{2}", names.sub("", w))]
    assert english == [w for w in english if any(text in w for text in spoken)], "only what was said"


def test_a_reason_is_said_in_the_language_of_the_page() -> None:
    shown = " ".join(file(analyses.video(), Language.CHINESE))
    assert "在抽取的 15 帧中未发现人脸" in shown
    assert analyses.NO_FACE not in shown


def test_what_nobody_translated_is_still_told() -> None:
    say = Wording(Language.CHINESE)
    assert say.measured("frames_on_fire", 12345.0) == "frames on fire 12345"
    assert say.expression("tongueOut") == "tongue out"
    assert [say.modality(m) for m in Modality] == ["文字", "语音", "面部"]


def test_the_verdict_tells_what_was_decided_with() -> None:
    terms = Terms(np.array([0.2, 0.5, 0.3]), np.array([0.21, 0.5, 0.5]), 0.6)
    analysis = replace(analyses.text(), decided_with=terms)
    told = Renderer().verdict(analysis)
    assert "Expected mix: negative 20 %, neutral 50 %, positive 30 %" in told
    assert "Thresholds: negative 0.21, neutral 0.50, positive 0.50 · Unsure below 60 %" in told
    chinese = Renderer(Wording(Language.CHINESE)).verdict(analysis)
    assert "预期比例：消极 20%，中性 50%，积极 30% · 阈值：消极 0.21" in chinese
    assert "Expected" not in Renderer().verdict(analyses.text()), "an older document does not say"


def test_a_file_needs_no_style_of_an_element() -> None:
    draw, p = Renderer(), analyses.video().overall.probabilities
    assert "style=" not in draw.bars(p) + draw.stack(p) + draw.moments(analyses.video())
    assert "style=" in Renderer(live=True).bars(p)


def test_the_command_line_writes_in_the_language_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    command = ["analyze", "--text", "I love this.", "--html", str(target)]
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(command) == 0
    assert '<html lang="en">' in target.read_text("utf-8")
    monkeypatch.setenv(VARIABLE, "zh")
    assert main(command) == 0
    assert '<html lang="zh-Hans">' in target.read_text("utf-8")
    assert t("result.positive") == "Positive"  # the app's own language is another matter


@LANGUAGES
def test_what_a_network_read_stands_apart_from_what_decided(language: Language) -> None:
    analysis, say = analyses.network(), Wording(language)
    found = file(analysis, language)
    assert found.count(say("result.attention_note")) == len(analysis.utterances)
    first = found[found.index(say("result.attention")) :]
    heads = [say("result.head", number=i) for i in (1, 2)]
    channels = [say.modality(m) for m in Modality]
    means = [say.percent(p) for p in (5 / 12, 7 / 24, 7 / 24)]
    assert first[1] == say("result.attention_mean", count=2)
    assert first[2:8] == [word for pair in zip(channels, means, strict=True) for word in pair]
    rows = [[say.percent(p) for p in shares] for shares in ((0.5, 0.25, 0.25), (1 / 3,) * 3)]
    assert first[8:21] == [
        say("result.attention_note"),
        say("result.attention_heads"),
        *channels,
        heads[0],
        *rows[0],
        heads[1],
        *rows[1],
    ]
    assert say("result.weight_of_network") in found
    labels = say.join([say("common.negative"), say("common.neutral")])
    assert say("result.not_excluded", labels=labels) in found
    assert say("result.excluded") in found


@LANGUAGES
def test_experts_have_no_attention_and_another_weight(language: Language) -> None:
    say = Wording(language)
    found = file(analyses.video(), language)
    assert say("result.weight_of_pool") in found
    assert say("result.attention") not in found
    assert say("result.weight_of_pool") not in file(analyses.text(), language)
