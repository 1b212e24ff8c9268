"""Results and progress on a terminal; plain text where there is no colour or no UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from trivalent.core.analysis import Analysis, Evidence, UtteranceResult, Verdict
from trivalent.core.outside import clean_line
from trivalent.core.types import LABELS, Modality, Status
from trivalent.report.attention import by_network, shares_read
from trivalent.report.wording import (
    ASCII_GLYPHS,
    COLOURS,
    GLYPHS,
    MIXED,
    UNSURE,
    WHOLE_MIXED,
    Wording,
    clock,
    kind_of,
    modalities_of,
    percent,
    seconds_words,
    top_label,
    typeset,
)

BAR_WIDTH = 24
TITLE_WIDTH = 32  # cells of a source's name beside its progress
SAY = Wording()  # English
SCORE, SET, READ = "score", "set", "read"  # columns that some networks fill
TOLD = {
    SCORE: f"{SCORE}: from -3 to 3",
    SET: f"{SET}: labels that are not excluded",
    READ: f"{READ}: attention in %, mean of the heads, what was read, not what decided",
}
MIN_TEXT = 12  # cells of an utterance's text that are shown however narrow the window is


@dataclass(frozen=True)
class _Signs:
    """Characters that the terminal can show."""

    labels: dict[str, str]
    mixed: str
    whole_mixed: str
    absent: str
    ellipsis: str
    full: str
    rail: str


_UNICODE = _Signs(GLYPHS, MIXED, WHOLE_MIXED, "·", "…", "█", "░")
_ASCII = _Signs(ASCII_GLYPHS, "!", "~", ".", "...", "#", ".")


def print_analysis(analysis: Analysis, *, console: Console) -> None:
    """Print the verdict, one row per utterance, the warnings and the time taken.

    Parameters
    ----------
    analysis : Analysis
    console : rich.console.Console
        Its width, colours and encoding are respected: without colour every label still has
        its sign and its name, and without UTF-8 the signs are ASCII.
    """
    signs = _signs(console)
    _print(console, _header(analysis, console, signs))
    if analysis.utterances:
        console.print(_table(analysis, console, signs))
        _print(console, _key(analysis, console, signs))
    for line in _silence_lines(analysis):
        _print(console, Text(_said(line, console)))
    for warning in analysis.warnings:
        _print(console, Text(_said(f"warning: {warning}", console), style="yellow"))
    if analysis.timing.total_s > 0:
        _print(console, Text(_timing(analysis), style="dim"))


def _signs(console: Console) -> _Signs:
    return _ASCII if console.options.ascii_only else _UNICODE


def _print(console: Console, text: Text) -> None:
    # fold breaks words that are longer than the line, such as a path without spaces
    console.print(text, overflow="fold", highlight=False)


def _said(text: str, console: Console) -> str:
    """One line of the user's text in characters that the terminal can encode."""
    line = clean_line(text)
    if console.encoding.lower().startswith("utf"):
        return line
    return line.encode(console.encoding, "replace").decode(console.encoding)


def _header(analysis: Analysis, console: Console, signs: _Signs) -> Text:
    overall = analysis.overall
    text = Text()
    text.append(_said(analysis.source.name, console), "bold")
    text.append(f"  {_source(analysis)}\n\n", "dim")
    text.append(f" {_sign(overall, signs)} {SAY.headline(overall)} ", _fill(overall))
    text.append(f"  {SAY.basis(analysis.utterances, overall)}\n")
    for label, p in zip(LABELS, overall.probabilities, strict=True):
        done = round(BAR_WIDTH * float(p))
        text.append(f"\n {signs.labels[label]} {label:<9}")
        text.append(signs.full * done, COLOURS[label])
        text.append(signs.rail * (BAR_WIDTH - done), "dim")
        text.append(f" {percent(float(p)):>5}")
    valence = f"{round(overall.valence, 2) + 0.0:+.2f}"  # no minus zero
    text.append(f"\n\n valence {valence} (-1 to +1)\n", "dim")
    if overall.score is not None:
        value, seven = _step(f"{overall.score.value:+.2f}"), _step(f"{overall.score.seven:+d}")
        text.append(f"\n score {value} on the scale from -3 to 3, class {seven} of seven\n")
    return text


def _step(number: str) -> str:
    """Write a signed number in characters that every terminal has."""
    return typeset(number).replace("−", "-")


def _source(analysis: Analysis) -> str:
    """Kind, length and number of utterances: `video, 0:31, 8 utterances`."""
    parts = [analysis.source.kind, SAY.units(analysis.source.kind, len(analysis.utterances))]
    if analysis.source.duration_s is not None:
        parts.insert(1, clock(analysis.source.duration_s))
    return ", ".join(parts)


def _sign(verdict: Verdict, signs: _Signs) -> str:
    return {**signs.labels, "unsure": UNSURE, "mixed": signs.whole_mixed}[kind_of(verdict)]


def _fill(verdict: Verdict) -> str:
    # dark text on the colour: grey or green text alone is unreadable on many themes
    colour = COLOURS.get(kind_of(verdict))
    return f"bold black on {colour}" if colour else "bold reverse"


def _table(analysis: Analysis, console: Console, signs: _Signs) -> Table:
    timed = analysis.source.kind != "text"
    modalities = modalities_of(analysis)
    times = [clock(u.start_s) if timed else str(u.index + 1) for u in analysis.utterances]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("time" if timed else "#", justify="right", no_wrap=True)
    table.add_column("text", no_wrap=True, overflow="crop")
    table.add_column("label", no_wrap=True, min_width=10)
    table.add_column("sure", justify="right", no_wrap=True, min_width=5)
    for modality in modalities:
        table.add_column(str(modality)[0].upper(), no_wrap=True, min_width=4)
    more = _more_columns(analysis, signs)
    for name, cells in more.items():
        table.add_column(name, no_wrap=True, min_width=max(map(len, (name, *cells))))
    table.add_column("", no_wrap=True, width=1)
    # everything but the text has a fixed width, and every column but the outer two two blanks
    taken = max(4, *map(len, times)) + 10 + 5 + 4 * len(modalities) + 1 + 2 * (len(modalities) + 4)
    taken += sum(2 + max(map(len, (name, *cells))) for name, cells in more.items())
    room = max(MIN_TEXT, console.width - taken)
    for i, (u, when) in enumerate(zip(analysis.utterances, times, strict=True)):
        table.add_row(
            when,
            _truncated(_said(u.text, console) or "(no words)", room, signs),
            _label(u, signs),
            percent(u.verdict.confidence),
            *(_opinion(u.modalities.get(m), signs) for m in modalities),
            *(cells[i] for cells in more.values()),
            signs.mixed if u.mixed else "",
        )
    return table


def _more_columns(analysis: Analysis, signs: _Signs) -> dict[str, list[str]]:
    """Say what some networks tell besides: labels that are not excluded, and shares of what was read."""
    kept = [u.verdict.prediction_set for u in analysis.utterances]
    scores = [u.verdict.score for u in analysis.utterances]
    columns = {
        SCORE: ["" if score is None else _step(f"{score.value:+.1f}") for score in scores],
        SET: [
            "" if labels is None else "".join(signs.labels[k] for k in labels) or "none" for labels in kept
        ],
        READ: [_read(shares_read(u), modalities_of(analysis), signs) for u in analysis.utterances],
    }
    return {name: cells for name, cells in columns.items() if any(cells)}


def _read(shares: Mapping[Modality, float], modalities: Sequence[Modality], signs: _Signs) -> str:
    """Shares of the modalities in percent: `41/33/26`."""
    if not shares:
        return ""
    return "/".join(f"{100 * shares[m]:.0f}" if m in shares else signs.absent for m in modalities)


def _truncated(text: str, room: int, signs: _Signs) -> Text:
    if cell_len(text) > room:
        text = set_cell_size(text, room - len(signs.ellipsis)).rstrip() + signs.ellipsis
    return Text(text)


def _label(u: UtteranceResult, signs: _Signs) -> Text:
    if u.verdict.abstained:
        return Text(f"{UNSURE} {u.verdict.label}", "italic")
    return Text(
        f"{signs.labels[u.verdict.label]} {u.verdict.label}", f"black on {COLOURS[u.verdict.label]}"
    )


def _opinion(evidence: Evidence | None, signs: _Signs) -> Text:
    """Sign of the expert's own label and its weight in percent: `+60`."""
    if evidence is None or evidence.status is not Status.OK or evidence.probabilities is None:
        return Text(signs.absent, "dim")
    label = top_label(evidence.probabilities)
    return Text(f"{signs.labels[label]}{100 * evidence.weight:.0f}", f"black on {COLOURS[label]}")


def _key(analysis: Analysis, console: Console, signs: _Signs) -> Text:
    names = ", ".join(f"{str(m)[0].upper()} {SAY.modality(m).lower()}" for m in modalities_of(analysis))
    parts = [f"{names}: own opinion and weight in %", f"{signs.absent} not used"]
    if by_network(analysis):
        parts.append(SAY.weight(True).rstrip(".").lower())
    more = _more_columns(analysis, signs)
    parts += [told for name, told in TOLD.items() if name in more]
    if any(u.verdict.abstained for u in analysis.utterances):
        parts.append(f"{UNSURE} unsure")
    if any(u.mixed for u in analysis.utterances):
        parts.append(f"{signs.mixed} mixed signals")
    return Text("\n" + "; ".join(parts), "dim")


def _silence_lines(analysis: Analysis) -> list[str]:
    total = len(analysis.utterances)
    return [
        f"{SAY.modality(m).lower()} {why} ({'throughout' if n == total else f'in {n} of {total}'})"
        for m, reasons in SAY.silences(analysis).items()
        for why, n in reasons.most_common(2)
    ]


def _timing(analysis: Analysis) -> str:
    t = analysis.timing
    spent = ", ".join(
        f"{name} {seconds_words(s)}" for name, s in t.stages.items() if s > 0 and name != "fusion"
    )
    factor = "" if t.realtime_factor is None else f", {t.realtime_factor:.2g} times its length"
    return f"took {seconds_words(t.total_s)}{factor}" + (f" ({spent})" if spent else "")


class StageProgress:
    """Progress of the stages of one analysis on standard error; silent without a terminal.

    Parameters
    ----------
    title : str
        Shown before each stage, usually the name of the source.
    console : rich.console.Console, optional
        Where to draw; standard error by default, so that `--json` stays alone on stdout.

    Examples
    --------
    >>> with StageProgress("talk.mp4") as progress:
    ...     report = progress.stage("face")
    ...     report(0.5)
    """

    def __init__(self, title: str = "", *, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._title = _said(title, self._console)
        self._bars: Progress | None = None

    def __enter__(self) -> StageProgress:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bars = Progress(
                SpinnerColumn(spinner_name="line" if self._console.options.ascii_only else "dots"),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=BAR_WIDTH),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def stage(self, name: str) -> Callable[[float], None]:
        """Begin a stage; call what comes back with the share done, 0 to 1."""
        bars = self._bars
        if bars is None:
            return lambda fraction: None
        title = _truncated(self._title, TITLE_WIDTH, _signs(self._console)).plain
        task = bars.add_task(f"{title} {name}".strip(), total=1.0)
        return lambda fraction: bars.update(task, completed=min(max(fraction, 0.0), 1.0))


class BatchProgress:
    """Progress over many files on standard error, with the time that is left; silent without a terminal.

    The time left is judged by bytes, since files differ more in length than in number.

    Parameters
    ----------
    files : int
    total_bytes : int
    console : rich.console.Console, optional
    """

    def __init__(self, files: int, *, total_bytes: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._files, self._total = files, total_bytes
        self._done = self._failed = 0
        self._bars: Progress | None = None

    def __enter__(self) -> BatchProgress:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=BAR_WIDTH),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bars.add_task(self._words(), total=max(self._total, 1))
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def done(self, *, failed: bool, size_bytes: int) -> None:
        """Count one file."""
        self._done += 1
        self._failed += failed
        if self._bars is not None:
            self._bars.update(self._task, advance=size_bytes, description=self._words())

    def _words(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done} of {self._files} files{failed}"
