"""A comparison of runs as Markdown, CSV or LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from trivalent.core.errors import UsageError
from trivalent.core.messages import Message
from trivalent.core.spreadsheet import guarded
from trivalent.core.texts import Language
from trivalent.lab.measure.comparison import (
    LIMITS,
    LOWER_IS_BETTER,
    Comparison,
    Difference,
    Run,
    Table,
)
from trivalent.lab.measure.evaluation import TITLES
from trivalent.lab.measure.result_files import Value

_TITLES = TITLES | {"nll": "log-loss"}
_COLUMNS = (
    *("part", "data", "protocol", "synthetic", "samples", "groups", "run", "row", "against", "seeds"),
    *("figure", "value", "low", "high", "p_value", "verdict"),
)
_TEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # after the end of a row a bracket would be an option of it
    "[": "{[}",
    "↓": r"$\downarrow$",
    "−": "$-$",
}

Words = Callable[[Message], str]
Cells = list[str]


def render(comparison: Comparison, target: Path, language: Language) -> str:
    """Lay a comparison out as the ending of a file says.

    Raises
    ------
    UsageError
        The ending is none of .md, .csv and .tex.
    """
    kinds = {".md": markdown, ".csv": lambda c, _: csv_text(c), ".tex": latex}
    suffix = target.suffix.lower()
    if suffix not in kinds:
        raise UsageError("compare.target", target=target)
    return kinds[suffix](comparison, language)


def markdown(comparison: Comparison, language: Language) -> str:
    """Write tables with headings and what is to be known beside them."""

    def words(message: Message) -> str:
        return message.said(language)

    parts = [f"# {words(_title(comparison))}", *map(words, _notices(comparison))]
    for table in comparison.tables:
        parts += [f"## {_plain(words(_samples(table)))}"]
        parts += [_marked([["", words(Message("compare.of")), *_heads()], *_rows(table, words)])]
        if table.pairs:
            parts += [_plain(words(_against(table)))]
            parts += [_marked([_test_heads(table, words), *_tests(table, words)])]
            parts += [words(Message("compare.what_it_tells"))]
            parts += _marked_groups(table, words)
    return "\n\n".join(parts) + "\n"


def latex(comparison: Comparison, language: Language) -> str:
    """Write a `table` for each set of samples, to be put into a document that uses booktabs."""

    def words(message: Message) -> str:
        return message.said(language)

    lines = ["% \\usepackage{booktabs}"]
    lines += [f"% {words(notice)}" for notice in _notices(comparison)]
    for table in comparison.tables:
        caption = f"{words(_title(comparison))}. {words(_samples(table))}."
        if comparison.part == "test":
            caption += f" {words(Message('compare.notice_test'))}"
        body = [["", words(Message("compare.of")), *_heads()], *_rows(table, words)]
        lines += ["\\begin{table}", "\\centering\\footnotesize", f"\\caption{{{_tex(caption)}}}"]
        lines += _tabular(body, left=2)
        if table.pairs:
            tests = [_test_heads(table, words), *_tests(table, words)]
            lines += ["", "\\medskip", _tex(words(_against(table))), "", *_tabular(tests, left=2)]
            lines += ["", "\\medskip", _tex(words(Message("compare.what_it_tells")))]
            lines += _tabular_groups(table, words)
        lines += ["\\end{table}", ""]
    return "\n".join(lines)


def csv_text(comparison: Comparison) -> str:
    """Write a row for each figure, with full precision and English keys."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for table in comparison.tables:
        first = table.runs[0]
        about = [comparison.part, guarded(first.data), guarded(first.protocol)]
        about += [str(first.synthetic).lower(), str(first.samples), str(first.groups)]
        for row in _plain_rows(table):
            writer.writerow([*about, *row])
    return text.getvalue()


def _plain_rows(table: Table) -> Iterator[Cells]:
    for run in table.runs:
        seeds = " ".join(map(str, run.seeds))
        for kind, values in (("seeds", run.mean), ("ensemble", run.ensemble)):
            for name, value in values.items():
                yield [guarded(run.label), kind, "", seeds, name, *_numbers(value), "", ""]
    for constant, values in table.runs[0].constants.items():
        for name, value in values.items():
            yield [guarded(constant), "constant", "", "", name, *_numbers(value), "", ""]
    for pair in table.pairs:
        head = [guarded(table.runs[0].label), "difference", guarded(pair.run.label)]
        seeds = " ".join(map(str, pair.run.seeds))
        for name, own in pair.differences.items():
            numbers = [*_numbers(Value(own.difference, own.low, own.high)), f"{own.p_value:.6g}"]
            yield [*head, seeds, name, *numbers, _verdict(name, own)]
        if pair.reason is not None:
            yield [*head, "", "", "", "", "", "", "not tested"]
        head[1] = "difference over groups"
        for name, own in pair.over_groups.items():
            numbers = [*_numbers(Value(own.difference, own.low, own.high)), f"{own.p_value:.6g}"]
            yield [*head, "", name, *numbers, _verdict(name, own)]


def _numbers(value: Value) -> Cells:
    return ["" if x is None else f"{x:.6f}" for x in (value.mean, value.low, value.high)]


def _title(comparison: Comparison) -> Message:
    return Message(f"compare.title_{comparison.part}")


def _notices(comparison: Comparison) -> list[Message]:
    """Tell what must be known before a figure is read."""
    found = [Message(f"compare.notice_{comparison.part}"), Message("compare.intervals")]
    if len(comparison.tables) > 1:
        found.append(Message("compare.apart"))
    if any(table.runs[0].synthetic for table in comparison.tables):
        found.append(Message("compare.synthetic"))
    return found


def _samples(table: Table) -> Message:
    run = table.runs[0]
    return Message(
        "compare.samples", data=run.data, protocol=run.protocol, samples=run.samples, groups=run.groups
    )


def _against(table: Table) -> Message:
    return Message("compare.against", first=table.runs[0].label)


def _heads() -> Cells:
    return [_TITLES[name] + (" ↓" if name in LOWER_IS_BETTER else "") for name in LIMITS]


def _rows(table: Table, words: Words) -> Iterator[Cells]:
    for run in table.runs:
        if len(run.seeds) > 1:
            of = words(Message("compare.mean", count=len(run.seeds)))
            yield [run.label, of, *(_shown(run.mean[name]) for name in LIMITS)]
        yield [run.label, words(_whole(run)), *(_shown(run.ensemble[name]) for name in LIMITS)]
    for name, values in table.runs[0].constants.items():
        yield [name, words(Message("compare.constant")), *(_shown(values[key]) for key in LIMITS)]


def _whole(run: Run) -> Message:
    """Name what the bundle is: the ensemble of its seeds, or the only one."""
    if len(run.seeds) == 1:
        return Message("compare.seed", seed=next(iter(run.seeds)))
    return Message("compare.ensemble")


def _test_heads(table: Table, words: Words) -> Cells:
    keys = ("figure", "difference", "interval", "p", "verdict")
    return ["", *(words(Message(f"compare.head_{key}")) for key in keys)]


def _tests(table: Table, words: Words) -> Iterator[Cells]:
    for pair in table.pairs:
        if pair.reason is not None:
            yield [pair.run.label, "", "", "", "", words(pair.reason)]
        yield from _test_rows(pair.run, pair.differences, words)


def _marked_groups(table: Table, words: Words) -> list[str]:
    """Tell the tests over videos or speakers in Markdown, or that no two runs kept what they said."""
    rows = _group_tests(table, words)
    if not rows:
        return [words(Message("compare.no_groups"))]
    told = words(Message("compare.what_groups_tell"))
    return [
        _plain(words(Message("compare.against_groups", first=table.runs[0].label))),
        _marked([_test_heads(table, words), *rows]),
        told,
    ]


def _tabular_groups(table: Table, words: Words) -> list[str]:
    """Do the same in LaTeX."""
    rows = _group_tests(table, words)
    if not rows:
        return ["", "\\medskip", _tex(words(Message("compare.no_groups")))]
    head = _tex(words(Message("compare.against_groups", first=table.runs[0].label)))
    lines = ["", "\\medskip", head, "", *_tabular([_test_heads(table, words), *rows], left=2)]
    return [*lines, "", "\\medskip", _tex(words(Message("compare.what_groups_tell")))]


def _group_tests(table: Table, words: Words) -> list[Cells]:
    return [row for pair in table.pairs for row in _test_rows(pair.run, pair.over_groups, words)]


def _test_rows(run: Run, differences: Mapping[str, Difference], words: Words) -> Iterator[Cells]:
    for name, own in differences.items():
        interval = f"[{_signed(own.low)}, {_signed(own.high)}]"
        verdict = words(Message(f"compare.verdict_{_verdict(name, own)}"))
        title = _TITLES[name]
        yield [run.label, title, _signed(own.difference), interval, _p(own.p_value), verdict]


def _verdict(name: str, difference: Difference) -> str:
    """Say of the first run: better, worse, or undecided where the interval covers zero."""
    if difference.undecided:
        return "undecided"
    return "better" if (difference.difference > 0) != (name in LOWER_IS_BETTER) else "worse"


def _shown(value: Value) -> str:
    interval = "" if value.low is None else f" [{value.low:.3f}, {value.high:.3f}]"
    return f"{value.mean:.3f}{interval}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _marked(rows: list[Cells]) -> str:
    head, *body = [f"| {' | '.join([_plain(row[0]), *row[1:]])} |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def _plain(text: str) -> str:
    """Escape what Markdown or HTML would act on."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _tabular(rows: list[Cells], *, left: int) -> list[str]:
    head, *body = [" & ".join(map(_tex, row)) + r" \\" for row in rows]
    columns = "l" * left + "c" * (len(rows[0]) - left)
    return [
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        head,
        "\\midrule",
        *body,
        "\\bottomrule",
        "\\end{tabular}",
    ]


def _tex(text: str) -> str:
    r"""Escape what LaTeX would act on.

    >>> _tex("50 % of a_b [1]")
    '50 \\% of a\\_b {[}1]'
    """
    return "".join(_TEX.get(c, c) for c in text)


__all__ = ["csv_text", "latex", "markdown", "render"]
