"""Where an expert stops being worth its answer, on training parts: the limits of `experts.channels`.

A person of a training part was seen by all members of a shipped ensemble but those of one fold. Only
these answer here, so that the figures are out of fold. The rule: at the limit of a fact the expert has
lost half of its margin in macro-F1 over the constant answer, among the `WINDOW` samples nearest to
the value, on average over the kinds of noise or the collections of pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from experts import macro_f1
from results_file import Result
from robustness_parts import (
    LEAST_ANSWERS,
    RATE,
    Photographer,
    ScoredAnswers,
    Voice,
    changed,
    crowd_of,
    hear,
    noisy,
    portraits,
    together,
    voices,
)
from trivalent.bundle.fusion import Opinion, softmax
from trivalent.bundle.loading import Bundle, Expert, open_bundle
from trivalent.core.types import FloatArray, Modality
from trivalent.experts.channels import CHANNELS
from trivalent.experts.quality import speech_to_noise
from trivalent.lab.datasets.ravdess import TRAIN_ACTORS, actor_folds
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.measure.metrics import expected_calibration_error, negative_log_likelihood
from trivalent.media.sound import AudioTrack
from trivalent.speech.activity import find_speech

log = logging.getLogger("robustness")
SNRS_DB = (20.0, 15.0, 10.0, 5.0, 0.0, -5.0)
STRENGTHS = {
    "face_sharpness": ("blur", (0.01, 0.02, 0.03, 0.04, 0.06)),
    "face_brightness": ("dark", (3.0, 4.0, 5.0, 6.0, 7.0)),
    "face_pixels": ("small", (64.0, 48.0, 32.0, 24.0, 16.0)),
}
SHIPPED = {limit.fact: limit.least for channel in CHANNELS.values() for limit in channel.limits}
WINDOW = 200  # samples: enough for a macro-F1, few enough to be of one quality
GRID = 200  # values that are tried
RAMP_DB = 10.0  # over which a lowered reliability would fall to nothing


def run(model: str, bundle: Bundle, root: Path, *, quick: bool) -> Result:
    """Find the limits, and what lowering the reliability below them would change."""
    result = Result(
        "robustness-limits",
        "RAVDESS actors 1 to 16 (every third take), training people of the face pictures; out of fold",
    )
    _estimator(result, voices(root, TRAIN_ACTORS, every=75 if quick else 9))
    _voice(result, model, bundle, root=root, every=35 if quick else 3)
    _face(result, model, bundle, root=root, every=8 if quick else 1)
    result.caveats += [
        "limit is where the rule puts it, shipped what `experts.channels` has; clean_below is the share "
        "of clean samples that would be warned about.",
        "as_it_is and lowered: the pool of the default bundle (its weight of the modality, the expert's "
        "prior) on the samples below the limit, with q as it is, and with q falling linearly from the "
        "limit to 10 dB below it (SNR) or to zero (the others).",
        "bias_db and sd_db: error of the estimated SNR against the mixed one.",
    ]
    return result


def fold_experts(model: str, expert: Expert, count: int) -> list[Expert]:
    """Split a shipped ensemble into experts that have not seen the people of one fold each."""
    content = open_bundle(model).read(expert.spec.model)
    found = []
    for fold in range(count):
        graph = onnx.load_from_string(content)
        made_by = {output: node for node in graph.graph.node for output in node.output}
        stack = made_by[made_by["logits"].input[0]]  # of the members' logits, fold by fold
        each = len(stack.input) // count
        kept = list(stack.input)[fold * each : (fold + 1) * each]
        del stack.input[:]
        stack.input.extend(kept)
        found.append(Expert(expert.spec, partial(bytes, graph.SerializeToString()), threads=1))
    return found


def _estimator(result: Result, takes: Sequence[Voice]) -> None:
    """Compare estimated with mixed ratios, with pauses around the utterance and without any."""
    crowd = crowd_of(takes)
    for kind in ("white", "babble"):
        for snr_db in SNRS_DB:
            errors: dict[str, list[float]] = {"": [], ", no pauses": []}
            for voice in takes:
                track = noisy(voice, kind, snr_db, crowd=crowd)
                cut = AudioTrack(track.samples[slice(*voice.speech)])
                for name, sound, start in (("", track, voice.speech[0]), (", no pauses", cut, 0)):
                    own = (start / RATE, (start + voice.speech[1] - voice.speech[0]) / RATE)
                    estimate = speech_to_noise(sound, [own], 0, voiced=find_speech(sound))
                    errors[name] += [] if estimate is None else [estimate - snr_db]
            for name, found in errors.items():
                result.add(
                    f"estimated SNR: {kind} noise, {snr_db:g} dB{name}",
                    bias_db=float(np.median(found)),
                    sd_db=float(np.std(found)),
                )


def _voice(result: Result, model: str, bundle: Bundle, *, root: Path, every: int) -> None:
    expert, folds = bundle.experts[Modality.AUDIO], actor_folds()
    parts = list(zip(fold_experts(model, expert, len(folds)), folds, strict=True))
    takes = voices(root, TRAIN_ACTORS, every=every)
    crowd = crowd_of(takes)

    def ask(kind: str, snr_db: float | None) -> ScoredAnswers:
        said = []
        for held_out, actors in parts:
            own = [v for v in takes if v.take.actor in actors]
            said.append(hear(held_out, own, (noisy(v, kind, snr_db, crowd=crowd) for v in own)))
        return together(said)

    clean = ask("", None)
    _tell(result, "voice: clean", clean, "snr_db")
    kinds = {}
    for kind in ("white", "babble"):
        spoilt = [ask(kind, snr_db) for snr_db in SNRS_DB]
        for snr_db, found in zip(SNRS_DB, spoilt, strict=True):
            _tell(result, f"voice: {kind} noise, {snr_db:g} dB", found, "snr_db")
        kinds[f"{kind} noise"] = together(spoilt)
    _limit(result, "snr_db", {kind: (clean, spoilt) for kind, spoilt in kinds.items()})
    _lowered(result, "snr_db", together([clean, *kinds.values()]), bundle, Modality.AUDIO)


def _face(result: Result, model: str, bundle: Bundle, *, root: Path, every: int) -> None:
    expert = bundle.experts[Modality.FACE]
    data, folds, test = load_tabular("faces", pooling=expert.spec.pooling, root=root)
    experts = fold_experts(model, expert, len(np.unique(folds[~test])))
    steps = {"lfw_muxspace": 10, "taiwanese_ntu": 4}  # of thousands of people, and of twenty-nine
    rows = np.concatenate(
        [np.flatnonzero(~test & (data.sources == s))[:: step * every] for s, step in steps.items()]
    )
    photographer = Photographer()
    seen = portraits(photographer, data, rows, root=root)
    own_expert = [experts[int(folds[p.row])] for p in seen]
    labels, groups = np.array([p.label for p in seen]), np.array([p.group for p in seen])
    source = np.array([str(data.sources[p.row]) for p in seen])

    def ask(kind: str, strength: float | None) -> ScoredAnswers:
        pairs = zip(own_expert, seen, strict=True)
        return ScoredAnswers.of(
            [photographer.look(e, changed(p, kind, strength)) for e, p in pairs], labels, groups
        )

    clean = ask("", None)
    for fact, (kind, strengths) in STRENGTHS.items():
        _tell(result, f"face: clean ({fact})", clean, fact)
        spoilt = [ask(kind, strength) for strength in strengths]
        for strength, found in zip(strengths, spoilt, strict=True):
            _tell(result, f"face: {kind}, {strength:g}", found, fact)
        pairs = {
            s: [together([a.take(source == s) for a in part]) for part in ([clean], spoilt)] for s in steps
        }
        _limit(result, fact, {s: (own[0], own[1]) for s, own in pairs.items()})
        _lowered(result, fact, together([clean, *spoilt]), bundle, Modality.FACE)


def _tell(result: Result, name: str, found: ScoredAnswers, fact: str) -> None:
    known = found.known
    figures = {"no_answer": float(1 - known.mean()), fact: found.median(fact)}
    if known.sum() >= LEAST_ANSWERS:
        y, p = found.labels[known], found.probabilities[known]
        figures |= {"macro_f1": macro_f1(y, p), "ece": expected_calibration_error(y, p)}
    result.add(name, notes=None, **{k: v for k, v in figures.items() if np.isfinite(v)})
    log.info("%s: %s", name, {k: round(v, 3) for k, v in figures.items()})


def _limit(result: Result, fact: str, kinds: dict[str, tuple[ScoredAnswers, ScoredAnswers]]) -> None:
    """Find the limit over all kinds (clean and spoilt answers of each), and that of each alone."""
    shipped = SHIPPED[fact]
    measured = together([clean for clean, _ in kinds.values()]).values(fact)
    below = float(np.mean(measured < shipped))
    result.add(f"limit of {fact}", notes=None, **_found(fact, kinds), shipped=shipped, clean_below=below)
    for name, pair in kinds.items():
        result.add(f"limit of {fact}, {name} alone", notes=None, **_found(fact, {name: pair}))


def _found(fact: str, kinds: dict[str, tuple[ScoredAnswers, ScoredAnswers]]) -> dict[str, float]:
    """Return the highest value at which half of the margin is lost; nothing if it never is."""
    everything = np.concatenate([together(pair).values(fact) for pair in kinds.values()])
    grid = np.unique(np.quantile(everything[np.isfinite(everything)], np.linspace(0, 1, GRID)))
    left = np.mean([_margin_left(fact, *pair, grid) for pair in kinds.values()], axis=0)
    found = {} if (left >= 0.5).all() else {"limit": float(grid[left < 0.5].max())}
    log.info("limit of %s, %s: %s", fact, " and ".join(kinds), found)
    return found


def _margin_left(fact: str, clean: ScoredAnswers, spoilt: ScoredAnswers, grid: FloatArray) -> FloatArray:
    """Share of the clean margin over the constant that is left at each value of the grid."""
    y, p = clean.labels[clean.known], clean.probabilities[clean.known]
    constant = macro_f1(y, np.tile(np.bincount(y, minlength=3) / len(y), (len(y), 1)))
    found = together([clean, spoilt])
    values = np.where(found.known, found.values(fact), np.nan)
    scores = []
    for value in grid:
        rows = np.argsort(np.abs(values - value), kind="stable")[:WINDOW]  # NaN comes last
        scores.append(macro_f1(found.labels[rows], found.probabilities[rows]))
    return (np.array(scores) - constant) / (macro_f1(y, p) - constant)


def _lowered(result: Result, fact: str, found: ScoredAnswers, bundle: Bundle, modality: Modality) -> None:
    """Tell what a lower reliability below the limit would change in the default bundle's answers."""
    least = SHIPPED[fact]
    values = found.values(fact)
    rows = np.flatnonzero(found.known & (values < least))
    if len(rows) < LEAST_ANSWERS:
        return
    falling = 1 - (least - values) / RAMP_DB if fact == "snr_db" else values / least
    prior = bundle.experts[modality].spec.prior
    rule = bundle.fusion.expecting(prior)
    for name, factor in (("as it is", np.ones(len(values))), ("lowered", np.clip(falling, 0, 1))):
        said = Opinion(softmax(factor[rows, None] * np.log(np.clip(found.probabilities[rows], 1e-6, 1))))
        p = rule.posterior({modality: said})
        y = found.labels[rows]
        result.add(
            f"below the limit of {fact}: reliability {name}",
            n=float(len(rows)),
            nll=negative_log_likelihood(y, p),
            ece=expected_calibration_error(y, p),
        )
