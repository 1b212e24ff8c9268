"""A factory of realistic `Analysis` objects for the tests of every face."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations

import cv2
import numpy as np

from trivalent.core.analysis import (
    STAGES,
    Analysis,
    Evidence,
    KeyFrame,
    Model,
    Overall,
    Source,
    Timing,
    UtteranceResult,
    Verdict,
)
from trivalent.core.messages import Message
from trivalent.core.types import LABELS, Modality, Sentiment, Status
from trivalent.experts.whole import shares_of

MODEL = Model("default", "1.0", "9f2c7d1ab0e84c55a1f2e3d4c5b6a798" * 2)
NO_FACE = Message("reason.no_face", count=15)
HOSTILE = (
    "<script>alert('x')</script> \"quoted\" & 'single' </title></style>\n"
    '=HYPERLINK("http://evil.example") 😀 \x1b[31mred\x1b[0m \x00 [bold]markup[/bold] ${body} \u202eabc'
)

TALK = [
    # start, end, text, words, voice, face (negative, neutral, positive); None = missing
    (0.4, 3.1, "Thank you all for coming.", (0.04, 0.21, 0.75), (0.10, 0.40, 0.50), (0.05, 0.25, 0.70)),
    (
        3.3,
        7.2,
        "I had been waiting for this film for two years.",
        (0.12, 0.58, 0.30),
        (0.2, 0.5, 0.3),
        (0.15, 0.5, 0.35),
    ),
    (
        7.9,
        11.0,
        "And honestly, the first half hour is a mess.",
        (0.86, 0.10, 0.04),
        (0.55, 0.30, 0.15),
        (0.48, 0.38, 0.14),
    ),
    (11.2, 13.0, "Right.", (0.2, 0.6, 0.2), (0.38, 0.42, 0.20), None),
    (
        13.4,
        17.9,
        "Oh yes, brilliant, yet another love story that nobody asked for.",
        (0.08, 0.14, 0.78),
        (0.74, 0.18, 0.08),
        (0.69, 0.23, 0.08),
    ),
    (
        19.0,
        23.2,
        "But then the music starts, and she walks across that bridge.",
        (0.09, 0.49, 0.42),
        (0.1, 0.35, 0.55),
        (0.08, 0.3, 0.62),
    ),
    (
        23.4,
        26.5,
        "It is the most beautiful scene I have seen this year.",
        (0.02, 0.06, 0.92),
        (0.12, 0.28, 0.60),
        (0.05, 0.15, 0.80),
    ),
    (27.1, 30.6, "Go and see it, and take somebody you love.", (0.03, 0.17, 0.80), None, (0.06, 0.2, 0.74)),
]


def fused(parts: dict[Modality, tuple[float, ...] | None]) -> tuple[np.ndarray, dict[Modality, float]]:
    """Weighted log-linear pool, so that the invented numbers hang together."""
    base = {Modality.TEXT: 0.55, Modality.AUDIO: 0.2, Modality.FACE: 0.25}
    used = {m: base[m] for m, p in parts.items() if p is not None}
    if not used:
        return np.full(3, 1 / 3), {}
    total = sum(used.values())
    weights = {m: w / total for m, w in used.items()}
    logs = sum(weights[m] * np.log(np.asarray(parts[m])) for m in used)
    p = np.exp(logs)
    return p / p.sum(), weights


def verdict(p: np.ndarray | tuple[float, ...], *, minimum: float = 0.0) -> Verdict:
    """Most probable label, abstaining below `minimum`."""
    p = np.asarray(p, dtype=np.float64)
    best = int(p.argmax())
    return Verdict(Sentiment(best).label, float(p[best]), p, abstained=bool(p[best] < minimum))


def whole(p: tuple[float, ...], results: tuple[UtteranceResult, ...], *, minimum: float = 0.0) -> Overall:
    """The verdict of the whole, which speaks for all of it."""
    v = verdict(p, minimum=minimum)
    shares = shares_of(results)
    return Overall(v.label, v.confidence, v.probabilities, abstained=v.abstained, shares=shares)


def evidence(
    m: Modality, parts: dict, weights: dict, p: np.ndarray, reason: str, status: Status
) -> Evidence:
    """What modality `m` said, or why it was silent."""
    if parts[m] is None:
        return Evidence(status, reason, None, 0.0)
    rest, _ = fused({k: (None if k is m else v) for k, v in parts.items()})
    quality = {
        Modality.TEXT: {"words": 8.0},
        Modality.AUDIO: {"voiced_s": 1.92},
        Modality.FACE: {"frames_with_face": 14.0},
    }[m]
    return Evidence(Status.OK, None, np.asarray(parts[m], dtype=np.float64), weights[m], p - rest, quality)


def utterance(
    index: int,
    start_s: float,
    end_s: float,
    text: str,
    parts: dict,
    *,
    reasons: dict[Modality, str] | None = None,
    status: Status = Status.MISSING,
    minimum: float = 0.5,
    conflict: float = 0.05,
) -> UtteranceResult:
    """One utterance whose experts said `parts`."""
    p, weights = fused(parts)
    given = reasons or {}
    default = {
        Modality.TEXT: "no words",
        Modality.AUDIO: "0.1 s of voice, 0.3 s needed",
        Modality.FACE: NO_FACE,
    }
    said = {m: evidence(m, parts, weights, p, given.get(m, default[m]), status) for m in parts}
    return UtteranceResult(
        index,
        start_s,
        end_s,
        text,
        verdict(p, minimum=minimum),
        said,
        conflict=conflict,
        mixed=conflict > 0.25,
    )


def timing(*seconds: float) -> Timing:
    """Seconds of each stage, of all of them, and the real-time factor."""
    *spent, total_s, factor = seconds
    return Timing(dict(zip(STAGES, spent, strict=True)), total_s=total_s, realtime_factor=factor)


def picture(seed: int) -> bytes:
    """A drawn face as JPEG bytes."""
    image = np.full((120, 160, 3), (205 - 9 * seed, 200, 190 + 6 * seed), np.uint8)
    cv2.circle(image, (80, 60), 42, (170, 200, 235), -1)
    for x in (66, 94):
        cv2.circle(image, (x, 50), 5, (60, 50, 40), -1)
    cv2.ellipse(image, (80, 70), (20, 12), 0, 10, 170, (60, 50, 140), 3)
    return cv2.imencode(".jpg", image)[1].tobytes()


@cache
def video() -> Analysis:
    """Three modalities, one gap in the face, one in the voice, one mixed signal, one unsure."""
    results = tuple(
        utterance(
            i,
            a,
            b,
            text,
            dict(zip(Modality, said, strict=True)),
            conflict=0.41 if i == 4 else 0.04 + i / 100,
        )
        for i, (a, b, text, *said) in enumerate(TALK)
    )
    frames = tuple(
        KeyFrame(
            t,
            u,
            picture(k),
            {"mouthSmileLeft": 0.71, "mouthSmileRight": 0.68, "browInnerUp": 0.31, "jawOpen": 0.12},
        )
        for k, (t, u) in enumerate([(1.8, 0), (9.2, 2), (15.1, 4), (25.0, 6), (28.8, 7)])
    )
    return Analysis(
        Source("film-review.mp4", "video", 31.2),
        MODEL,
        whole((0.11, 0.18, 0.71), results),
        results,
        ("utterance 4 was recognised with a low word probability (0.41)",),
        timing(0.12, 1.24, 0.02, 0.41, 1.92, 0.01, 3.72, 0.119),
        frames,
    )


@cache
def audio() -> Analysis:
    """Two experts; a recording has no face."""
    results = tuple(
        utterance(
            i,
            a,
            b,
            text,
            {Modality.TEXT: said[0], Modality.AUDIO: said[1], Modality.FACE: None},
            reasons={Modality.FACE: "an audio file has no picture"},
        )
        for i, (a, b, text, *said) in enumerate(TALK)
    )
    return Analysis(
        Source("phone-call.wav", "audio", 31.2),
        MODEL,
        whole((0.58, 0.3, 0.12), results),
        results,
        (),
        timing(0.03, 1.2, 0.02, 0.4, 0.0, 0.01, 1.66, 0.053),
    )


@cache
def text() -> Analysis:
    """Sentences of a text; zero times, no timeline."""
    results = tuple(
        utterance(i, 0.0, 0.0, words, {Modality.TEXT: said[0]})
        for i, (_, _, words, *said) in enumerate(TALK)
    )
    return Analysis(
        Source("text", "text", None),
        MODEL,
        whole((0.2, 0.3, 0.5), results),
        results,
        (),
        Timing({"text": 0.06}, total_s=0.06),
    )


@cache
def mixed() -> Analysis:
    """Praise and complaint take turns."""
    base = video()
    results = tuple(
        replace(u, verdict=verdict((0.8, 0.1, 0.1) if u.index % 2 else (0.1, 0.1, 0.8)))
        for u in base.utterances
    )
    overall = replace(whole((0.42, 0.1, 0.48), results), mixed_by="parts")
    return replace(base, overall=overall, utterances=results)


@cache
def tie() -> Analysis:
    """A text whose two most probable labels are nearly as probable."""
    base = text()
    overall = replace(whole((0.34, 0.32, 0.34), base.utterances), mixed_by="tie")
    return replace(base, overall=overall)


@cache
def abstained() -> Analysis:
    """Nothing reaches the confidence asked for."""
    parts = {Modality.TEXT: (0.34, 0.36, 0.30), Modality.AUDIO: (0.3, 0.3, 0.4), Modality.FACE: None}
    results = tuple(utterance(i, 2.0 * i, 2.0 * i + 1.7, f"Well, part {i}.", parts) for i in range(4))
    return Analysis(
        Source("mumble.mp4", "video", 8.4),
        MODEL,
        whole((0.33, 0.36, 0.31), results, minimum=0.5),
        results,
        ("every utterance lies below the confidence of 0.5 that was asked for",),
        Timing(total_s=1.0, realtime_factor=0.119),
    )


@cache
def faceless() -> Analysis:
    """A video whose face expert failed everywhere, and whose voice was switched off."""
    reasons = {Modality.FACE: "face model is not installed", Modality.AUDIO: "switched off by --modalities"}
    results = tuple(
        utterance(
            i,
            a,
            b,
            words,
            {Modality.TEXT: said[0], Modality.AUDIO: None, Modality.FACE: None},
            reasons=reasons,
            status=Status.OFF,
        )
        for i, (a, b, words, *said) in enumerate(TALK)
    )
    return replace(video(), source=Source("window.mp4", "video", 31.2), utterances=results, keyframes=())


@cache
def silent() -> Analysis:
    """Fixed windows over a recording without speech; a long one, to see the clock."""
    results = tuple(
        utterance(
            i,
            600.0 * i,
            600.0 * (i + 1),
            "",
            {Modality.TEXT: None, Modality.AUDIO: None, Modality.FACE: (0.2, 0.6, 0.2) if i % 2 else None},
        )
        for i in range(7)
    )
    return Analysis(
        Source("waiting-room.mkv", "video", 4200.0), MODEL, whole((0.2, 0.6, 0.2), results), results
    )


@cache
def long(n: int = 200) -> Analysis:
    """A lecture of `n` utterances."""
    rng = np.random.default_rng(3)
    results = []
    for i in range(n):
        lean = np.array([0.8, 1.4, 1.0]) + np.roll([1.5, 0, 0], int(2 + 2 * np.sin(i / 15)))
        parts = {m: tuple(rng.dirichlet(2 * lean)) for m in Modality}
        if i % 9 == 0:
            parts[Modality.FACE] = None
        results.append(
            utterance(
                i,
                4.0 * i,
                4.0 * i + 3.6,
                f"This is sentence number {i} of a long lecture about sound.",
                parts,
                conflict=float(rng.uniform(0, 0.3)),
            )
        )
    return Analysis(
        Source("lecture.mp4", "video", 4.0 * n),
        MODEL,
        whole((0.2, 0.45, 0.35), tuple(results), minimum=0.5),
        tuple(results),
        (),
        timing(2.0, 40.0, 3.0, 20.0, 50.0, 0.2, 115.2, 0.144),
    )


@cache
def network() -> Analysis:
    """The same video by an attention network of two heads, with prediction sets, one of them empty."""
    base = video()
    results = tuple(_by_network(u, kept=LABELS[: u.index % 4]) for u in base.utterances)
    return replace(base, model=Model("joined", "1", MODEL.sha256), utterances=results)


def _by_network(u: UtteranceResult, *, kept: tuple[str, ...]) -> UtteranceResult:
    heard = [m for m in u.modalities if u.modalities[m].status is Status.OK]
    parts = [part for size in range(2, len(heard) + 1) for part in combinations(heard, size)]
    first = {m: 0.5 ** (i + 1) for i, m in enumerate(heard)}
    first[heard[-1]] *= 2  # so that they sum to 1
    return replace(
        u,
        verdict=replace(u.verdict, prediction_set=kept),
        joint={"+".join(part): u.verdict.probabilities for part in parts},
        attention={m: (share, 1 / len(heard)) for m, share in first.items()},
    )


@cache
def hostile() -> Analysis:
    """Text, names and reasons that try to break out of every format."""
    base = video()
    worst = tuple(
        replace(
            u,
            text=HOSTILE,
            modalities=u.modalities | {Modality.FACE: Evidence(Status.FAILED, HOSTILE, None, 0.0)},
        )
        for u in base.utterances
    )
    return replace(
        base,
        source=Source(HOSTILE + "\udcff.mp4", "video", 31.2),
        model=Model(HOSTILE, HOSTILE, HOSTILE),
        utterances=worst,
        warnings=(HOSTILE,),
        keyframes=(KeyFrame(1.0, 99, picture(0), {HOSTILE: 0.5}),),
    )


_MADE = (video, audio, text, mixed, tie, abstained, faceless, silent, long, network, hostile)
ALL = {f.__name__: f for f in _MADE}
CARD = {
    "data": ["CREMA-D voice and face clips (ODbL)", "4,000 labelled sentences (CC BY 4.0)"],
    "licence": "MIT",
    "metrics": {
        "protocol": "speaker-independent test split, 3 seeds",
        "macro_f1": {"mean": 0.641, "low": 0.612, "high": 0.668},
        "expected_calibration_error": 0.031,
    },
    "limits": [
        "English words only; voice and face were learned from actors.",
        "Irony is a coin toss when the voice is missing.",
    ],
}
