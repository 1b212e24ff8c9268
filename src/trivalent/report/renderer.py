"""Results as HTML: what is shown, put into templates that escape every text."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from trivalent.core.analysis import Analysis, UtteranceResult, Verdict
from trivalent.core.types import LABELS, FloatArray
from trivalent.report import view
from trivalent.report.curves import HEIGHT, WIDTH
from trivalent.report.timeline import timeline
from trivalent.report.wording import GLYPHS, MIXED, UNSURE, Wording, spaced

# C0 and C1 controls but tab and newline, direction overrides, lone surrogates, non-characters
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def _read(item: Any) -> Any:
    """Leave out the characters that act instead of being read."""
    return _ACTING.sub("", item) if isinstance(item, str) and not isinstance(item, Markup) else item


def esc(text: object) -> Markup:
    r"""Escape for an element or a quoted attribute.

    >>> esc('<b title="x">&\x00')
    Markup('&lt;b title=&#34;x&#34;&gt;&amp;')
    """
    return escape(_read(str(text)))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trivalent", "data/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_read,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "LABELS": LABELS,
        "GLYPHS": GLYPHS,
        "MIXED": MIXED,
        "UNSURE": UNSURE,
        "CURVE": (WIDTH, HEIGHT),
    }
    environment.filters["spaced"] = spaced
    return environment


@dataclass(frozen=True)
class Renderer:
    """Draws results for one kind of page.

    Attributes
    ----------
    say : Wording
    live : bool
        For a page of the app, where a script links the pieces; else for a file, which has neither scripts
        nor styles of elements, and links by anchors.
    """

    say: Wording = Wording()  # noqa: RUF009 - frozen
    live: bool = False

    def draw(self, template: str, /, **values: object) -> Markup:
        """Fill a template of `data/templates`; what is no `Markup` is escaped."""
        html = _environment().get_template(template).render(say=self.say, live=self.live, **values)
        return Markup(html.strip())  # noqa: S704 - escaped by the template

    def verdict(self, analysis: Analysis) -> Markup:
        """Card of the verdict: seal, headline, confidence, three bars and a tally."""
        return self.draw("verdict.html", verdict=view.verdict_view(analysis, self.say))

    def warnings(self, analysis: Analysis) -> Markup:
        """Card of what to keep in mind; nothing when there is nothing."""
        return self.draw("warnings.html", warnings=view.warnings(analysis, self.say))

    def timeline(
        self,
        analysis: Analysis,
        *,
        prefix: str = "",
        anchors: Container[int] | None = None,
        heard: bool = False,
    ) -> Markup:
        """Card of the recording over time; nothing for a text.

        Parameters
        ----------
        analysis : Analysis
        prefix : str
            In a file: start of the anchors of the utterances, `prefix` + index.
        anchors : container of int, optional
            Indices of the utterances that are in the file; all of them if not given.
        heard : bool
            Whether a player beside it plays the recording.
        """
        laid_out = timeline(analysis, self.say)
        return self.draw("timeline.html", timeline=laid_out, prefix=prefix, anchors=anchors, heard=heard)

    def moments(
        self, analysis: Analysis, *, prefix: str = "", anchors: Container[int] | None = None
    ) -> Markup:
        """Card of the key frames, linked as the blocks of the timeline are; nothing without any."""
        found = view.moments(analysis, self.say)
        return self.draw("moments.html", moments=found, prefix=prefix, anchors=anchors)

    def utterances(self, analysis: Analysis, *, prefix: str = "", explained: bool = False) -> Utterances:
        """Return what draws utterances of an analysis, one at a time."""
        return Utterances(self, analysis, prefix, explained=explained)

    def transcript(
        self, analysis: Analysis, items: Sequence[Markup], *, name: str = "", folded: str = ""
    ) -> Markup:
        """Card of the utterances under their filters.

        Parameters
        ----------
        analysis : Analysis
            With the utterances that are drawn, which the filters count.
        items : sequence of Markup
            Drawn utterances.
        name : str
            In a file: start of the identifiers of the filters.
        folded : str
            What to say above about utterances that are not drawn in full.
        """
        title = "result.transcript" if analysis.source.kind != "text" else "result.by_sentence"
        return self.draw(
            "transcript.html",
            title=self.say(title),
            filters=view.filters(analysis.utterances, self.say),
            items=items,
            name=name,
            folded=folded,
        )

    def bars(self, probabilities: FloatArray) -> Markup:
        """One row per class: sign, name, bar, share."""
        return self._piece("bars", view.shares(probabilities, self.say))

    def stack(self, probabilities: FloatArray) -> Markup:
        """One bar of three parts, negative on the left, positive on the right."""
        return self._piece("stack", probabilities.tolist(), self.say.spoken(probabilities))

    def label(self, label: str) -> Markup:
        """Pill with the sign and name of a class."""
        return self._piece("pill", view.badge(label, self.say))

    def badge(self, verdict: Verdict) -> Markup:
        """Pill of a verdict; only outlined when it should not be relied on."""
        return self._piece("pill", view.verdict_badge(verdict, self.say))

    def _piece(self, macro: str, *values: object) -> Markup:
        module = (
            _environment().get_template("pieces.html").make_module({"say": self.say, "live": self.live})
        )
        return Markup(getattr(module, macro)(*values))  # noqa: S704 - escaped by the template


class Utterances:
    """Draws utterances of one analysis.

    Parameters
    ----------
    renderer : Renderer
    analysis : Analysis
    prefix : str
        In a file: start of the anchors.
    explained : bool
        Whether the app can tell what each word changed.
    """

    def __init__(self, renderer: Renderer, analysis: Analysis, prefix: str, *, explained: bool) -> None:
        self._renderer, self._prefix, self._explained = renderer, prefix, explained
        self._timed = analysis.source.kind != "text"
        self._silent = view.always_silent(analysis, renderer.say)

    def full(self, u: UtteranceResult) -> Markup:
        """One utterance with its evidence."""
        return self._draw(u, brief=False)

    def line(self, u: UtteranceResult) -> Markup:
        """One utterance without its evidence."""
        return self._draw(u, brief=True)

    def _draw(self, u: UtteranceResult, *, brief: bool) -> Markup:
        told = view.utterance_view(
            u, self._renderer.say, timed=self._timed, silent=self._silent, explained=self._explained
        )
        return self._renderer.draw("utterance.html", u=told, brief=brief, prefix=self._prefix)
