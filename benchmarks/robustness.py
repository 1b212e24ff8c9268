"""How macro-F1 and calibration of the default bundle fall with noise, blur, darkness and misheard words.

Usage: python benchmarks/robustness.py [voice] [face] [words] [modalities] [--root DIR] [--quick]
       python benchmarks/robustness.py limits   (training parts only: robustness-limits.*)
       python benchmarks/robustness.py figure   (draws robustness.png again from robustness.json)

Writes results/robustness.* and a figure. Test parts of experts.py; nothing is chosen by these figures.
The limits of `trivalent.experts.channels`, from where on an analysis warns, are chosen by `limits`.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import robustness_limits
from disturbances import Mishearing, word_error_rate
from results_file import FOLDER, Result
from robustness_figure import draw
from robustness_parts import (
    Photographer,
    ScoredAnswers,
    changed,
    crowd_of,
    hear,
    noisy,
    portraits,
    seeded,
    voices,
)
from robustness_speech import SYNTHESIZER, recognized
from trivalent.bundle.fusion import heard
from trivalent.bundle.loading import Bundle, load_bundle
from trivalent.core.types import Modality, Utterance
from trivalent.experts.text import read_texts
from trivalent.lab.datasets.ravdess import TEST_ACTORS, TRAIN_ACTORS
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.text import TextData, load_corpus
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.fusion.mosei_posteriors import load_mosei_videos, out_of_fold

log = logging.getLogger("robustness")
SNRS_DB = (20.0, 15.0, 10.0, 5.0, 0.0)
NOISES = {"white": "white noise", "babble": "babble of six people"}
PICTURES = {  # name, axis, how a strength is shown, strengths
    "blur": ("blur", "deviation over face", "{:g} of the face", (0.01, 0.02, 0.03, 0.04)),
    "dark": ("dark picture", "light halved, times", "light halved {:g} times", (2.0, 3.0, 4.0, 5.0, 6.0)),
    "small": ("small face", "size of the face, pixels", "{:g} pixels", (96.0, 64.0, 48.0, 32.0, 24.0)),
}
FACE_FACTS = ("face_pixels", "face_brightness", "face_sharpness")
WORD_ERROR_RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
CAVEATS = [
    "Macro-F1 and ECE are of what was answered; no_answer is the share without an answer, which the fusion "
    "leaves out. Intervals are 95 % bootstrap intervals over actors (only four), people, dialogues or "
    "videos; they do not cover the variation between training runs.",
    "Voice: the noise is added to the whole take, at a ratio to the mean power of its speech; where that "
    "lies is told on the clean take. Babble: six other people (actors 1 to 16) at equal power. The expert "
    "was trained with pink to white noise down to 10 dB, and never with babble.",
    "Face: a blur is given by its deviation over the longer side of the face; a dark picture keeps its "
    "exposure and has the photon and read-out noise of a small sensor; small faces stand in a plain frame "
    "of 640 x 480. Pictures without a face when clean (12 of 5,699) are left out.",
    "Words: of the simulated errors 60 % are substitutions by one of the five words of MELD's training "
    "part with most pairs of letters in common, 25 % deletions, 15 % insertions by frequency.",
    "Words, recognised: 150 sentences of at least four words, spoken by eSpeak NG and heard by Whisper "
    "tiny.en. A synthetic voice is harder to recognise than a person, and white noise easier than babble.",
    "Modalities: discriminants on MOSEI's own features (video means), which are not our experts, under the "
    "default rule with weight 1 each.",
]


@dataclass
class Study:
    """What all parts need."""

    bundle: Bundle
    root: Path
    result: Result
    quick: bool

    @property
    def rounds(self) -> int:
        """Bootstrap rounds."""
        return 30 if self.quick else 300

    def some(self, strengths: Sequence[float]) -> Sequence[float]:
        """All strengths, or a few of them."""
        return strengths[1::2] if self.quick else strengths

    def add(self, name: str, found: ScoredAnswers, **more: float) -> None:
        """Append a row and tell about it."""
        scored = found.scored(self.rounds)
        self.result.add(name, notes=None, **scored, **{k: v for k, v in more.items() if np.isfinite(v)})
        log.info("%s: %s", name, {k: round(v.mean, 3) for k, v in scored.items()})

    def curve(self, panel: str, name: str, axis: str, rows: Sequence[tuple[str, str]]) -> None:
        """Remember which rows make a line of the figure, each with the label of its tick."""
        line = {"panel": panel, "name": name, "axis": axis, "rows": [list(row) for row in rows]}
        line["constant"] = f"{rows[0][1].partition(':')[0]}: constant"
        self.result.extra.setdefault("curves", []).append(line)

    def constant(self, whose: str, found: ScoredAnswers, train: Sequence[int] | np.ndarray) -> None:
        """Add the row of a guess that never looks: the classes of the training part."""
        shares = np.bincount(np.asarray(train), minlength=3) / len(train)
        guess = np.tile(shares, (len(found.labels), 1))
        self.add(f"{whose}: constant", ScoredAnswers(found.labels, guess, found.groups))


def voice(study: Study) -> None:
    """Noise and babble behind the takes of actors 17 to 20."""
    expert, every = study.bundle.experts[Modality.AUDIO], 7 if study.quick else 1
    takes = voices(study.root, TEST_ACTORS, every=every)
    crowd = crowd_of(voices(study.root, TRAIN_ACTORS, every=5))
    clean = hear(expert, takes, (noisy(v, "", None, crowd=crowd) for v in takes))
    study.add("voice: clean", clean, snr_db=clean.median("snr_db"))
    for kind, name in NOISES.items():
        rows = [("clean", "voice: clean")]
        for snr_db in study.some(SNRS_DB):
            found = hear(expert, takes, (noisy(v, kind, snr_db, crowd=crowd) for v in takes))
            rows.append((f"{snr_db:g}", f"voice: {name}, {snr_db:g} dB"))
            study.add(rows[-1][1], found, snr_db=found.median("snr_db"))
        study.curve("voice", name, "speech over noise, dB", rows)
    train = [int(v.take.label or 0) for v in voices(study.root, TRAIN_ACTORS, every=every)]
    study.constant("voice", clean, train)


def face(study: Study) -> None:
    """Blur, darkness and distance in the pictures of held-out people."""
    expert = study.bundle.experts[Modality.FACE]
    data, _, test = load_tabular("faces", pooling=expert.spec.pooling, root=study.root)
    photographer, rows = Photographer(), np.flatnonzero(test)[:: 8 if study.quick else 1]
    seen = portraits(photographer, data, rows, root=study.root)
    labels, groups = np.array([p.label for p in seen]), np.array([p.group for p in seen])
    source = np.array([str(data.sources[p.row]) for p in seen])

    def look(kind: str, strength: float | None) -> dict[str, ScoredAnswers]:
        readings = [photographer.look(expert, changed(p, kind, strength)) for p in seen]
        found = ScoredAnswers.of(readings, labels, groups)
        return {str(name): found.take(source == name) for name in np.unique(source)}

    def add(shown: str, found: dict[str, ScoredAnswers]) -> None:
        for name, own in found.items():
            study.add(f"face, {name}: {shown}", own, **{fact: own.median(fact) for fact in FACE_FACTS})

    clean = look("", None)
    add("clean", clean)
    for kind, (name, axis, shown, strengths) in PICTURES.items():
        ticks = {"clean": "clean"}
        for strength in study.some(strengths):
            ticks[f"{strength:g}"] = f"{name}, {shown.format(strength)}"
            add(ticks[f"{strength:g}"], look(kind, strength))
        for whose in clean:
            line = [(tick, f"face, {whose}: {row}") for tick, row in ticks.items()]
            study.curve(f"face: {name}", whose, axis, line)
    for whose, own in clean.items():
        study.constant(f"face, {whose}", own, data.labels[~test & (data.sources == whose)])


def words(study: Study) -> None:
    """Add errors of recognition to MELD, simulated and, where a synthesizer is installed, real."""
    data = load_corpus("meld", "test", root=study.root)
    data = data.take(np.arange(0, len(data), 20 if study.quick else 1))
    train = load_corpus("meld", "train", root=study.root)
    mishearing = Mishearing(train.texts)
    clean = read(study.bundle, data.texts, data)
    study.add("words: clean", clean)
    rows = [("clean", "words: clean")]
    for rate in study.some(WORD_ERROR_RATES):
        heard = [mishearing.mishear(t, rate, seeded(rate, i)) for i, t in enumerate(data.texts)]
        rows.append((f"{100 * rate:g}", f"words: simulated errors, {rate:.0%}"))
        study.add(
            rows[-1][1], read(study.bundle, heard, data), word_error_rate=word_error_rate(data.texts, heard)
        )
    study.curve("words: simulated errors", "", "word error rate, %", rows)
    study.constant("words", clean, train.labels)
    if shutil.which(SYNTHESIZER):
        recognized(study, data)


def read(bundle: Bundle, texts: Sequence[str], data: TextData) -> ScoredAnswers:
    """Put texts to the text expert."""
    said = [Utterance(i, 0.0, 0.0, text) for i, text in enumerate(texts)]
    readings = read_texts(bundle.experts[Modality.TEXT], said)
    return ScoredAnswers.of(readings, data.labels, np.array(data.groups))


def modalities(study: Study) -> None:
    """Every subset of modalities, on MOSEI's own features out of fold."""
    videos = load_mosei_videos(study.root)
    known, opinions = out_of_fold(videos)
    labels, groups = videos.labels[known], np.arange(known.sum())
    prior = np.bincount(labels, minlength=3) / len(labels)
    rule = study.bundle.fusion.expecting(prior)
    for subset in subsets():
        p = rule.posterior({m: heard(opinions[m], prior=prior) for m in subset})
        study.add(f"modalities: {' + '.join(subset)}", ScoredAnswers(labels, p, groups))
    names = [f"modalities: {' + '.join(subset)}" for subset in subsets()]
    study.curve("modalities", "", "", [(name.partition(": ")[2], name) for name in names])
    study.constant("modalities", ScoredAnswers(labels, np.tile(prior, (len(labels), 1)), groups), labels)


def subsets() -> list[tuple[Modality, ...]]:
    """All non-empty subsets, the full set first."""
    every = [
        tuple(m for i, m in enumerate(Modality) if mask >> i & 1) for mask in range(1, 2 ** len(Modality))
    ]
    return sorted(every, key=lambda s: (-len(s), [list(Modality).index(m) for m in s]))


PARTS: dict[str, Callable[[Study], None]] = {
    "voice": voice,
    "face": face,
    "words": words,
    "modalities": modalities,
}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[*PARTS, "limits", "figure", []], default=[])
    parser.add_argument("--root", type=Path, default=None, help="data root; $TRIVALENT_DATA by default")
    parser.add_argument("--model", default="default", help="bundle")
    parser.add_argument(
        "--quick", action="store_true", help="an eighth of the samples, into a temporary folder"
    )
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    folder = Path(tempfile.gettempdir()) / "trivalent-robustness" if arguments.quick else FOLDER
    which = arguments.which or list(PARTS)
    if which == ["figure"]:
        draw(folder)
        return
    bundle, root = load_bundle(arguments.model, threads=1), data_root(arguments.root)
    if which == ["limits"]:
        robustness_limits.run(arguments.model, bundle, root, quick=arguments.quick).write(folder)
        return
    result = Result("robustness", "test parts of expert-voice, expert-face, MELD; MOSEI out of fold")
    result.extra["bundle"] = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    for part in which:
        PARTS[part](Study(bundle, root, result, arguments.quick))
    result.caveats += CAVEATS
    for path in result.write(folder):
        print(path)
    draw(folder)


if __name__ == "__main__":
    main()
