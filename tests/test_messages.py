"""Every message in every language: the catalogue, what asks for it, and what becomes of values."""

from __future__ import annotations

import ast
import json
import pickle
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trivalent
from trivalent.core import errors
from trivalent.core.messages import VARIABLE, Language, Message, area, chosen_language, said

ROOT = Path(trivalent.__file__).parent
CATALOGUE = {
    f"{file.stem}.{name}": text
    for file in sorted((ROOT / "data" / "messages").glob("*.toml"))
    for name, text in area(file.stem).items()
}
HAN = re.compile("[\u4e00-\u9fff]")


def fields(template: str) -> dict[str, tuple[str | None, str | None]]:
    return {name: (how, spec) for _, name, spec, how in string.Formatter().parse(template) if name}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Everything in the source that makes a message or an error."""
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type)} - {
        "MissingExtraError"
    }
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            makes = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
            if makes and node.func.id in kinds:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_a_message_is_there_in_every_language_with_the_same_values() -> None:
    for code, text in CATALOGUE.items():
        assert set(text) == {"en", "zh"}, code
        assert set(fields(text["zh"])) == set(fields(text["en"])), code
        assert all(name.isidentifier() for name in fields(text["en"])), code
        letters = re.search("[A-Za-z]", re.sub("{[^}]*}", "", text["en"]))
        assert HAN.search(text["zh"]) or not letters, code
        assert not HAN.search(text["en"]), code


def test_an_error_says_what_to_do() -> None:
    for code, text in CATALOGUE.items():
        if text["en"].startswith("expected "):
            assert re.search("[;:{]", text["en"]), code
            assert re.search("[；：{]", text["zh"]), code


def test_what_is_asked_for_exists_with_its_values_and_what_exists_is_asked_for() -> None:
    wrong = []
    for place, node in calls():
        first = node.args[0]
        if isinstance(first, ast.JoinedStr):
            starts = str(getattr(first.values[0], "value", ""))
            if not any(code.startswith(starts) for code in CATALOGUE if "." in starts):
                wrong.append(f"{place}: a sentence without a code")
        if not isinstance(first, ast.Constant):
            continue
        if first.value not in CATALOGUE:
            wrong.append(f"{place}: {first.value!r} has no code")
            continue
        given = {k.arg for k in node.keywords} - {"retry_after_s"}
        wanted = set(fields(CATALOGUE[first.value]["en"]))
        if None not in given and given != wanted:
            wrong.append(f"{place}: {first.value}: {sorted(map(str, given ^ wanted))}")
    assert not wrong
    source = "\n".join(f.read_text(encoding="utf-8") for f in ROOT.rglob("*.py"))
    starts = tuple(re.findall(r'"([a-z_]+\.[a-z_]*){', source))
    idle = [c for c in CATALOGUE if f'"{c}"' not in source and not c.startswith(starts)]
    assert not idle


VALUES = st.recursive(
    st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(path=VALUES, reason=VALUES)
def test_a_message_survives_json_and_pickle_and_never_takes_a_value_for_a_template(
    path: object, reason: object
) -> None:
    message = Message("media.unreadable", path=path, reason=reason)
    again = Message.from_dict(json.loads(json.dumps(message.to_dict())))
    copied = pickle.loads(pickle.dumps(message))
    for language in Language:
        assert said(again, language) == said(message, language) == said(copied, language)
    assert Message("media.absent", path="{0.__class__}{path!r}") == (
        "expected a recording, found no file {0.__class__}{path!r}; check the path"
    )


def test_messages_within_messages_are_said_in_the_same_language() -> None:
    kind = Message("media.kind_picture", format="PNG")
    error = errors.MediaError("media.foreign", kind=kind, name="a.png")
    assert str(error) == "expected sound or video, got a picture (PNG): a.png; name a recording instead"
    assert error.said(Language.CHINESE) == "需要音频或视频，但 a.png 是图片（PNG）；请改选录制文件"
    again = errors.rebuilt(json.loads(json.dumps(errors.taken_apart(error))))
    assert (type(again), str(again)) == (errors.MediaError, str(error))
    assert again.said(Language.CHINESE) == error.said(Language.CHINESE)


def test_lists_are_listed_as_the_language_does() -> None:
    message = Message("cli.action", action=["a", "b"], only="c")
    assert message == "expected an action among a, b, got 'c'; choose one"
    assert "a、b" in message.said(Language.CHINESE)


def test_a_file_is_called_by_another_name() -> None:
    inner = Message("media.unreadable", path="/home/spool/1234", reason="1234")
    message = Message("own.line", error=inner, line=1, name="/home/spool/1234/a.csv 1234")
    assert message.renamed(Path("/home/spool/1234"), "talk.mp4") == (
        "expected a readable recording, got talk.mp4: talk.mp4; check its rights "
        "(line 1 of talk.mp4/a.csv 1234)"
    )


def test_somebody_elses_sentence_is_itself() -> None:
    error = errors.InputError("their {words}")
    assert str(error) == error.said(Language.CHINESE) == "their {words}"
    with pytest.raises(KeyError, match="add it there"):
        Message("nowhere.such", name=1)
    with pytest.raises(KeyError):
        Message("media.absent")


def test_the_command_line_speaks_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from trivalent.cli.main import main

    monkeypatch.setenv(VARIABLE, "zh")
    assert chosen_language() is Language.CHINESE
    assert main(["analyze", "no such file.mp4"]) == 1
    assert capsys.readouterr().err == "trivalent: 需要录制文件，但找不到 no such file.mp4；请检查路径\n"
