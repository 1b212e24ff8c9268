"""The calibration plot: share of right answers over confidence, both from 0 to 100 %."""

from __future__ import annotations

from trivalent.core.types import Modality
from trivalent.report.renderer import esc
from trivalent.web.figures import FUSED, Bin, Reliability
from trivalent.web.i18n import t, wording

_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)


def reliability_of(of: str) -> str:
    """Name an expert by its modality, or all of them together."""
    return t("models.together") if of == FUSED else wording().modality(Modality(of))


def plot(reliability: Reliability) -> str:
    """Draw one test set: a bar per bin, as high as its share of right answers; the diagonal is the ideal.

    The bar's opacity tells how many answers it stands for, and its title says it.
    """
    most = max(b.count for b in reliability.bins)
    bars = "".join(_bar(b, most) for b in reliability.bins)
    down = "".join(f'<span style="bottom:{tick:.0%}">{tick:.0%}</span>' for tick in _TICKS)
    along = "".join(f'<span style="left:{tick:.0%}">{tick:.0%}</span>' for tick in _TICKS)
    title = t("models.plot_alt", corpus=reliability.corpus, ece=str(reliability.ece))
    caption = t("models.plot_caption", n=f"{reliability.count:,}", ece=str(reliability.ece))
    return (
        f'<figure class="tv-reliability"><div class="tv-plot" role="img" aria-label="{esc(title)}">'
        f'<span class="tv-plot-y">{esc(t("models.axis_right"))}</span><div class="tv-ticks-y">{down}</div>'
        f'<div class="tv-plot-area">{bars}</div><div class="tv-ticks-x">{along}</div>'
        f'<span class="tv-plot-x">{esc(t("models.axis_confidence"))}</span></div>'
        f"<figcaption><b>{esc(reliability.corpus)}</b>{esc(caption)}</figcaption></figure>"
    )


def _bar(b: Bin, most: int) -> str:
    values = {
        "low": f"{b.low:.0%}",
        "high": f"{b.high:.0%}",
        "n": f"{b.count:,}",
        "right": f"{b.right:.0%}",
    }
    shade = 0.25 + 0.6 * (b.count / most) ** 0.5
    return (
        f'<span class="tv-bin" title="{esc(t("models.bin", **values))}" style="left:{b.low:.2%};'
        f'width:{b.high - b.low:.2%};height:{b.right:.2%};opacity:{shade:.2f}"></span>'
        f'<span class="tv-dot" style="left:{b.confidence:.2%};bottom:{b.right:.2%}"></span>'
    )
