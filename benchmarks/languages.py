"""The text expert of other languages: per language and corpus, beside constants and the frozen encoder.

Usage: python benchmarks/languages.py FOLDER [--root DIR]

FOLDER is what `trivalent train recipes/text-multilingual.yaml -o FOLDER` wrote. Writes results/languages.*.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from experts import BOOTSTRAP, constant, scored
from results_file import Result
from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import Expert, ExpertSpec, load_pool
from trivalent.core.types import FloatArray
from trivalent.features.minilm import MINILM
from trivalent.features.text import TOKENS, Vocabulary, encode, pad, stored_vocabulary
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.text import load_corpus
from trivalent.lab.datasets.text_languages import LANGUAGES
from trivalent.lab.experts.text import VOCABULARY, logits_of
from trivalent.lab.experts.text_corpora import CORPORA
from trivalent.lab.experts.text_task import load_teaching
from trivalent.lab.experts.trained import FILE
from trivalent.lab.networks.encoders import pretrained_encoder

ENGLISH = ("sst5", "meld", "mosi", "semaine")
TAUGHT = 2_000  # texts of the frozen encoder's classifier at most
TESTED = 1_000  # of a test part at most: of a larger one every second, every third, ...
OFFERED = 0.55  # validation macro-F1 from which a language is offered


def frozen(vocabulary: Vocabulary) -> Callable[[Sequence[str]], FloatArray]:
    """Mean vectors (n, 384) of the encoder as published, but for the bits and the vocabulary."""
    network, width = pretrained_encoder("e5-small", vocabulary)
    network.eval()

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> FloatArray:
        ids = encode(texts, max_tokens=48, vocabulary=vocabulary)
        out, order = np.empty((len(ids), width)), np.argsort([len(own) for own in ids], kind="stable")
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            table, mask = map(torch.from_numpy, pad([ids[i] for i in rows]))
            with torch.autocast("cpu", torch.bfloat16):
                states = network(input_ids=table, attention_mask=mask).last_hidden_state.float()
            out[rows] = ((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    return embed


def tell_languages(result: Result, told: dict[str, dict[str, float]]) -> None:
    """Add the validation figures that decide which languages are offered."""
    for language, figures in told.items():
        kept = {name: figures[name] for name in ("n", "macro_f1", "ece", "temperature")}
        offered = "yes" if figures["macro_f1"] >= OFFERED else "no"
        result.add(f"validation, {language}: text expert", notes={"offered": offered}, **kept)


def tell_english(result: Result, told: dict[str, dict[str, float]]) -> None:
    """Compare the validation figures of English corpora with those of the expert of English alone."""
    experts = {"text expert": told, "English expert": load_pool("default").metrics["text"]["validation"]}
    for name in ENGLISH:
        for expert, figures in experts.items():
            kept = {key: figures[name][key] for key in ("n", "macro_f1", "ece")}
            result.add(f"{CORPORA[name].title} (en), validation: {expert}", **kept)


def tell_corpora(
    result: Result, expert: Expert, folder: Path, *, told: dict[str, dict[str, float]], root: Path
) -> None:
    """Score the test parts."""
    vocabulary = stored_vocabulary((folder / VOCABULARY).read_bytes())
    embed = frozen(vocabulary)
    for name in LANGUAGES:
        data = load_corpus(name, "test", root=root)
        data = data.take(np.arange(len(data))[:: -(-len(data) // TESTED)])
        groups, language = np.array(data.groups), CORPORA[name].language
        where = f"{CORPORA[name].title} ({language}), test"
        started = time.perf_counter()
        logits = logits_of(expert, data.texts, vocabulary=vocabulary)
        spent = 1e3 * (time.perf_counter() - started) / len(data)
        p = softmax(logits / told[language]["temperature"])
        result.add(f"{where}: text expert", **scored(data.labels, p, groups), ms=spent)
        taught = load_teaching(name, root=root)
        result.add(f"{where}: constant", **scored(data.labels, constant(taught.labels, len(data)), groups))
        taught = taught.take(np.random.default_rng(0).permutation(len(taught))[:TAUGHT])
        if len(np.unique(taught.labels)) < 3:
            continue
        floor = LogisticRegression(max_iter=300, C=10.0, class_weight="balanced")
        floor.fit(embed(taught.texts), taught.labels)
        p = floor.predict_proba(embed(data.texts))
        result.add(f"{where}: frozen encoder + logistic regression", **scored(data.labels, p, groups))


def main() -> None:
    """Ask about everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    written = json.loads((given.folder / FILE).read_text(encoding="utf-8"))
    told = written["metrics"]["languages"]
    spec = ExpertSpec(MINILM.name, MINILM.version, TOKENS, "text.onnx", 1.0, np.full(3, 1 / 3))
    expert = Expert(spec, (given.folder / "text.onnx").read_bytes, threads=1)
    result = Result("languages", ", ".join(CORPORA[name].title for name in (*LANGUAGES, *ENGLISH)))
    tell_languages(result, told)
    tell_english(result, written["metrics"]["validation"])
    tell_corpora(result, expert, given.folder, told=told, root=data_root(given.root))
    result.caveats += [
        BOOTSTRAP,
        f"A language is offered from a macro-F1 of {OFFERED} on validation data on, of its spoken corpora "
        "if there are any; the epoch and the temperatures were chosen on the same data.",
        "CPED: the six series of its published test part; train and validation are other series.",
        "CH-SIMS v2: test by video; no clip of an official test part teaches. Its labels are of voice and "
        "face as well, and its neutral is a score of 0.",
        "XLM-T: its published val is the test; its Hindi is mostly written in Latin letters.",
        f"Of a part of more than {TESTED:,} texts every second, every third, ... was asked; the frozen "
        f"encoder's classifier learnt from {TAUGHT:,} texts of the corpus at most.",
        "Reviews have two classes, the expert three.",
        "One training run, one seed. ms: milliseconds a text, one thread, on a busy machine.",
    ]
    result.write()


if __name__ == "__main__":
    main()
