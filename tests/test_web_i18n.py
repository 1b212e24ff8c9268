"""Texts of the app: complete in both languages, used, and nowhere but in the tables of texts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import analyses
import trivalent
from trivalent.core.analysis import Analysis
from trivalent.core.errors import UsageError
from trivalent.core.messages import Message
from trivalent.core.types import Modality
from trivalent.web.i18n import Language, catalogue, speaking, t, translate

PACKAGE = Path(trivalent.__file__).parent
WEB = PACKAGE / "web"
SOURCES = sorted(WEB.rglob("*.py"))
REPORT = sorted((PACKAGE / "report").rglob("*.py"))
TEMPLATES = sorted((PACKAGE / "data" / "templates").glob("*.html"))
PLACEHOLDER = re.compile(r"{(\w+)}")
HAN = re.compile("[\u4e00-\u9fff]")
SAME_IN_BOTH = {"common.product", "result.download_json", "result.download_csv", "report.sha256"}


def literals(tree: ast.AST) -> Iterator[ast.Constant]:
    """Strings of a module but for docstrings, errors and logs."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.Assert) or (
            isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("log.", "re.", "print"))
        ):
            skipped |= {id(n) for n in ast.walk(node)}
        elif isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr):
                skipped |= {id(n) for n in ast.walk(body[0])}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node


def keys_of(tree: ast.AST) -> tuple[set[str], set[str]]:
    """Keys that a module names in full, and starts of those that it puts together."""
    whole, starts = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            starts.add(str(node.values[0].value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            whole.add(node.value)
    return whole, {s for s in starts if "." in s}


def problems(key: str, text: dict[str, str]) -> Iterator[str]:
    if not {"en", "zh"} <= set(text) <= {"en", "zh", "one"} or not all(text.values()):
        yield "expected en, zh and at most `one`"
        return
    names = {code: set(PLACEHOLDER.findall(words)) for code, words in text.items()}
    if names["zh"] != names["en"]:
        yield "placeholders differ"
    if "one" in text and names["one"] | {"count"} != names["en"] | {"count"}:
        yield "placeholders of the singular differ"
    if key not in SAME_IN_BOTH and not key.startswith("examples."):
        if re.search("[A-Za-z]", PLACEHOLDER.sub("", text["en"])) and not HAN.search(text["zh"]):
            yield "the Chinese text is not Chinese"
        if HAN.search(text["en"]):
            yield "the English text is not English"


def test_texts_are_complete() -> None:
    found = {key: told for key, text in catalogue().items() if (told := list(problems(key, text)))}
    assert not found


def test_english_has_a_singular() -> None:
    assert t("result.utterances", count=1) == "1 utterance"
    assert t("result.utterances", count=2) == "2 utterances"
    with speaking(Language.CHINESE):
        assert t("result.utterances", count=1) == "1 个语段"


def test_values_are_not_templates() -> None:
    assert t("analyze.cancelled", name="{name} {count}") == "The analysis of {name} {count} was cancelled."


def test_unknown_text_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"nothing\.here"):
        t("nothing.here")


def test_every_text_that_is_asked_for_exists_and_every_text_is_asked_for() -> None:
    whole: set[str] = set()
    starts: set[str] = set()
    for template in TEMPLATES:
        whole |= set(re.findall(r'"(\w+\.\w+)"', template.read_text(encoding="utf-8")))
    for source in [*SOURCES, *REPORT]:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        found, begun = keys_of(tree)
        whole |= found
        starts |= begun
        for node in ast.walk(tree):
            asks = (
                isinstance(node, ast.Call) and ast.unparse(node.func) in {"t", "say", "self"} and node.args
            )
            if asks and isinstance(node.args[0], ast.Constant):
                assert node.args[0].value in catalogue(), f"{source.name}:{node.lineno}"
    unused = [k for k in catalogue() if k not in whole and not any(k.startswith(s) for s in starts)]
    assert not unused


def test_no_words_of_the_page_outside_the_texts() -> None:
    two_words = re.compile(r"[A-Za-z]{3,}[,;:]? [A-Za-z]{2,}")
    allowed = re.compile(
        r"'self'|sans-serif|^[a-z_. -]+=self|patternTransform|^\.st-key|self\)|[{<>]|no-store"
    )
    found = []
    for source in SOURCES:
        for node in literals(ast.parse(source.read_text(encoding="utf-8"))):
            shown = re.sub(r"<[^>]*>?|^[^<]*>|:material/\w+:|\w[\w-]*=\"[^\"]*\"?", " ", node.value)
            one_liner = node.value.count(" ") and two_words.search(shown)
            if one_liner and not allowed.search(shown) and not _is_list_of_names(node.value):
                found.append(f"{source.relative_to(WEB)}:{node.lineno}: {node.value!r}")
    assert not found


def _is_list_of_names(text: str) -> bool:
    """CSS classes and the like: lower case with hyphens, at least one of them ours."""
    return bool(re.fullmatch(r"[a-z0-9 _:;.%()-]+", text)) and ("tv-" in text or ":" in text)


def test_no_literal_is_given_to_a_widget() -> None:
    widgets = {
        "title", "header", "subheader", "caption", "markdown", "write", "text", "button", "checkbox",
        "radio", "selectbox", "slider", "text_input", "text_area", "file_uploader", "expander", "info",
        "warning", "error", "success", "toast", "metric", "link_button", "popover", "pills",
        "segmented_control", "toggle", "number_input", "date_input", "download_button",
        "form_submit_button", "dialog",
    }  # fmt: skip
    found = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            first = node.args[0]
            if (
                node.func.attr in widgets
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                words = re.sub(r":material/\w+:", "", first.value)
                if re.search("[A-Za-z]{2}", words) and ast.unparse(node.func.value) != "log":
                    found.append(f"{source.relative_to(WEB)}:{node.lineno}: {first.value!r}")
    assert not found


def test_scripts_hold_no_words() -> None:
    for script in sorted(WEB.rglob("*.js")):
        code = re.sub(r"//[^\n]*", "", script.read_text(encoding="utf-8"))
        said = re.findall(r"(?:textContent|innerText|title|label) *[=:] *[\"']([^\"']+)", code)
        assert not said, script.name


def test_what_the_library_says_is_said_in_the_language_of_the_page() -> None:
    inner = Message("reason.language_other", language="de")
    message = Message("reason.text_unread", reason=inner, count=1, total=2)
    with speaking(Language.CHINESE):
        assert translate(message) == "2 个语句中有 1 个未使用文字：语种为 'de'，文字模型不支持"
        assert translate("a sentence of tomorrow") == "a sentence of tomorrow"
    assert (
        translate(message)
        == "text not used in 1 of 2 utterances: the language is 'de', which the text expert does not read"
    )


def test_a_stored_analysis_knows_the_codes_of_its_sentences() -> None:
    analysis = analyses.video()
    utterance = analysis.utterances[0]
    silent = replace(
        utterance.modalities[Modality.FACE], reason=Message("reason.no_face", count=15), probabilities=None
    )
    changed = replace(
        analysis,
        utterances=(replace(utterance, modalities={**utterance.modalities, Modality.FACE: silent}),),
        warnings=(Message("media.no_sound"), "a sentence of yesterday"),
    )
    extras = json.loads(json.dumps(changed.extras_to_dict()))
    again = Analysis.from_dict(json.loads(json.dumps(changed.to_dict())), extras)
    with speaking(Language.CHINESE):
        said = [translate(w) for w in again.warnings]
        assert said == ["录制内容没有声音：缺少文字和语音通道", "a sentence of yesterday"]
        reason = again.utterances[0].modalities[Modality.FACE].reason
        assert reason is not None
        assert translate(reason) == "在抽取的 15 帧中未发现人脸"
    assert again.warnings == changed.warnings
