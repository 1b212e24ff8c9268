"""`trivalent compress`: a bundle, a recipe and data to a smaller bundle and a report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trivalent.bundle.files import BundleFiles
from trivalent.bundle.fusion import Pool
from trivalent.bundle.loading import Bundle, load_pool, open_bundle
from trivalent.bundle.manifest import parse
from trivalent.bundle.spec import ExpertSpec, Inputs
from trivalent.core.errors import BundleError
from trivalent.core.types import Modality
from trivalent.features.text import MAX_TOKENS
from trivalent.lab.bundles import write_bundle
from trivalent.lab.compress.judging import (
    Judged,
    judge_logits,
    judge_text,
    text_latency_ms,
    voice_latency_ms,
)
from trivalent.lab.compress.reading import read_weights
from trivalent.lab.compress.recipe import CompressionRecipe
from trivalent.lab.compress.text import (
    TextConfig,
    TextParts,
    distill_text,
    prune_text,
)
from trivalent.lab.compress.voice import VoiceConfig, distill_voice, read_members
from trivalent.lab.datasets.ravdess import SOURCE
from trivalent.lab.experts.text_corpora import seen_of
from trivalent.lab.fusion.bundle_pool import card_of_pool, pool_experts, told_metrics
from trivalent.lab.graphs.experts import export_frames, export_text
from trivalent.lab.measure.result_files import Result

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Compressed:
    """One expert after compression.

    Attributes
    ----------
    spec : ExpertSpec
    graph : bytes
    before, after : Judged
        On validation data.
    technique : str
        In words, for the card.
    latency_ms : pair of float
        Of the graph on one thread, before and after.
    size : pair of int
        Bytes of the graph, before and after.
    seeds : dict of str to float
        Validation score of the student of each seed.
    """

    spec: ExpertSpec
    graph: bytes
    before: Judged
    after: Judged
    technique: str
    latency_ms: tuple[float, float]
    size: tuple[int, int]
    seeds: dict[str, float] = field(default_factory=dict)


def compress(where: str | Path, recipe: CompressionRecipe, *, root: Path, out: Path) -> list[str]:
    """Write `out`/bundle, `out`/compression.json and .md; returns the report's lines.

    Parameters
    ----------
    where : str or Path
        Installed name, folder or .zip of a bundle with a text expert, a voice expert over frames, or both.
    recipe : CompressionRecipe
    root : Path
        Data: training parts teach, validation parts choose and calibrate; test parts are not read.
    out : Path
        A killed run goes on from the checkpoints in there.

    Raises
    ------
    BundleError
        The bundle cannot be used, or nothing in it can be compressed.
    DataError
        Data are absent.
    """
    bundle, files = load_pool(where), open_bundle(where)
    done: dict[Modality, Compressed] = {}
    for m, expert in bundle.experts.items():
        spec = expert.spec
        if m is Modality.TEXT and recipe.text_config().technique != "keep":
            done[m] = _text(spec, files.read(spec.model), recipe.text_config(), root=root, out=out)
        elif m is Modality.AUDIO and recipe.voice_config().technique != "keep":
            done[m] = _voice(spec, files.read(spec.model), recipe.voice_config(), root=root, out=out)
    if not done:
        raise BundleError("compress.nothing", where=files.where)
    _write(files, bundle, recipe, done=done, root=root, folder=out / "bundle")
    result = report(bundle.name, done)
    return [path.read_text(encoding="utf-8") for path in result.write(out) if path.suffix == ".md"]


def _text(spec: ExpertSpec, graph: bytes, config: TextConfig, *, root: Path, out: Path) -> Compressed:
    parts, path, seeds = TextParts.load(config.corpora, root=root), out / "work" / spec.model, {}
    path.parent.mkdir(parents=True, exist_ok=True)
    if config.technique == "distill":
        students = distill_text(graph, config, parts, out=path.parent, where=spec.model)
        seeds = {str(student.seed): student.scores["score"] for student in students}
        network = max(students, key=lambda student: student.scores["score"]).network
    else:
        network = prune_text(graph, config, parts, where=spec.model)
    export_text(network, path, int8=config.int8, tokens=MAX_TOKENS)
    new = path.read_bytes()
    before, after = judge_text(graph, parts.val), judge_text(new, parts.val)
    shape, kind = network.config, "int8" if config.int8 else "full precision"
    words = (
        f"{config.technique}: {shape.family} of {len(shape.layers)} layers, width {shape.width}, table of "
        f"{network.embedding.num_embeddings:,} x {shape.embedding}, {kind}"
    )
    seen = tuple(dict.fromkeys([*spec.seen, *seen_of(config.corpora)]))
    return Compressed(
        replace(spec, temperature=after.temperature, prior=after.prior, seen=seen),
        new,
        before,
        after,
        words,
        (text_latency_ms(graph), text_latency_ms(new)),
        (len(graph), len(new)),
        seeds,
    )


def _voice(spec: ExpertSpec, graph: bytes, config: VoiceConfig, *, root: Path, out: Path) -> Compressed:
    if spec.inputs is not Inputs.FRAMES:
        raise BundleError("compress.pooled_voice")
    members, path = (
        read_members(read_weights(graph, where=spec.model), where=spec.model),
        out / "work" / spec.model,
    )
    student = distill_voice(members, spec, config=config, root=root, out=path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    export_frames([student.network], path, channels=len(spec.channels))
    new = path.read_bytes()
    before = judge_logits(student.teacher_logits, student.labels, name=SOURCE)
    after = judge_logits(student.logits, student.labels, name=SOURCE)
    channels = len(spec.channels)
    return Compressed(
        replace(spec, temperature=after.temperature, prior=after.prior),
        new,
        before,
        after,
        f"distill: {len(members)} members into one",
        (voice_latency_ms(graph, channels=channels), voice_latency_ms(new, channels=channels)),
        (len(graph), len(new)),
    )


def _write(
    files: BundleFiles,
    bundle: Bundle[Pool],
    recipe: CompressionRecipe,
    *,
    done: Mapping[Modality, Compressed],
    root: Path,
    folder: Path,
) -> None:
    """Write the new bundle: what was not compressed is copied, the pool is fitted anew."""
    graphs = {name: files.read(name) for name in parse(files)["files"]}
    graphs |= {expert.spec.model: expert.graph for expert in done.values()}
    specs = {m: done[m].spec if m in done else expert.spec for m, expert in bundle.experts.items()}
    pooled, rule = pool_experts(specs, graphs, root=root), bundle.fusion
    metrics = {str(m): _metrics(expert) for m, expert in done.items()} | {"fusion": pooled.metrics()}
    card = _card(bundle, recipe, done) | {"fusion": card_of_pool(pooled, rule.prior.tolist())}
    card["validation"]["fusion"] = "; ".join(told_metrics(pooled.metrics()))
    write_bundle(
        folder,
        name=recipe.name or f"{bundle.name}-small",
        version=recipe.version,
        experts=pooled.experts,
        fusion=replace(rule, beside=pooled.fitted.pool.beside),
        decision=bundle.decision,
        card=card,
        metrics={**bundle.metrics, **metrics},
        graphs=graphs,
        compressed_from={"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
    )


def _metrics(expert: Compressed) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "technique": expert.technique,
        "before": expert.before.parts,
        "size_bytes": {"before": expert.size[0], "after": expert.size[1]},
    }
    if expert.after.scores:
        protocol = "validation parts, which chose epoch and seed; their spoken part fitted the temperature"
        scores = {"scores_before": expert.before.scores, "seeds": expert.seeds}
        return {"protocol": protocol, **expert.after.to_metrics(), **metrics, **scores}
    protocol = "out of fold: a student of each fold of actors, taught by members that had not heard them"
    return {"protocol": protocol, "out_of_fold": expert.after.parts, **metrics}


def _card(
    bundle: Bundle[Pool], recipe: CompressionRecipe, done: Mapping[Modality, Compressed]
) -> dict[str, Any]:
    card = {key: dict(v) if isinstance(v, dict) else v for key, v in bundle.card.items()}
    source = f"{bundle.name} {bundle.version}"
    card["summary"] = recipe.summary or f"{source}, compressed"
    card["compression"] = {key: f"from {source}; {expert.technique}" for key, expert in done.items()}
    validation, limits = dict(card.get("validation", {})), dict(card.get("limits", {}))
    for key, expert in done.items():
        validation[key] = "; ".join(
            f"{name} macro-F1 {m['macro_f1']:.3f} (before {expert.before.parts[name]['macro_f1']:.3f}), "
            f"ECE {m['ece']:.3f}"
            for name, m in expert.after.parts.items()
        )
        lost = [expert.before.parts[n]["macro_f1"] - m["macro_f1"] for n, m in expert.after.parts.items()]
        stated = f"; {limits[key]}" if key in limits else ""
        limits[key] = (
            f"loses {sum(lost) / len(lost):.3f} of macro-F1 to {source} on validation data{stated}"
        )
    return {**card, "validation": validation, "limits": limits}


def report(name: str, done: Mapping[Modality, Compressed]) -> Result:
    """Make the table of sizes, times and validation figures, before and after."""
    parts = {key: ", ".join(expert.after.parts) for key, expert in done.items()}
    told = "; ".join(f"{key}: {names}" for key, names in parts.items())
    result = Result("compression", f"validation parts, out of fold for the voice ({told})")
    for key, expert in done.items():
        for i, (state, judged) in enumerate((("before", expert.before), ("after", expert.after))):
            result.add(
                f"{key} {state}: graph", size_mb=expert.size[i] / 1e6, latency_ms=expert.latency_ms[i]
            )
            for part, m in judged.parts.items():
                result.add(f"{key} {state}: {part}", macro_f1=m["macro_f1"], ece=m["ece"], nll=m["nll"])
    result.caveats += [
        *(f"{key} of {name}: {expert.technique}." for key, expert in done.items()),
        "Latency: median of one call of the graph on one thread (23 tokens; three seconds of voice), "
        "without tokens, features and fusion.",
        "Validation data chose the epoch and the temperature, so they flatter by some thousandths.",
    ]
    return result
