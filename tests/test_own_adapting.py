"""An expert adapted to one's own table: the layer, its graph, the command, and what tables lack."""

from __future__ import annotations

import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

for package in ("torch", "yaml"):
    pytest.importorskip(package, reason="needs the extra train")

from bundles import (  # noqa: E402  # noqa: E402
    FACE_WEIGHTS,
    VOICE_WEIGHTS,
    frames_graph,
    frames_spec,
    linear_graph,
    text_graph,
    write_bundle,
)
from conftest import REPOSITORY  # noqa: E402
from trivalent.analyzer import Analyzer  # noqa: E402
from trivalent.bundle.decision import Decision, ratio  # noqa: E402
from trivalent.bundle.fusion import Pool, softmax  # noqa: E402
from trivalent.bundle.graphs import Graph  # noqa: E402
from trivalent.bundle.loading import Inputs, load_pool  # noqa: E402
from trivalent.cli.main import main  # noqa: E402
from trivalent.core.types import Modality, Utterance, Word  # noqa: E402
from trivalent.experts.text import read_texts  # noqa: E402
from trivalent.lab import bundles  # noqa: E402
from trivalent.lab.datasets.own import TRAIN_ALONE, OwnOptions, own_entry  # noqa: E402
from trivalent.lab.datasets.own_features import OwnFeatures  # noqa: E402
from trivalent.lab.experts import own_adapter  # noqa: E402
from trivalent.lab.experts.own_adapter import Heard, cross_validate, fit_adapter, held_out  # noqa: E402
from trivalent.lab.experts.own_expert import alone  # noqa: E402
from trivalent.lab.experts.own_readings import hear, plan_for  # noqa: E402
from trivalent.lab.graphs.adapted import adapt_graph  # noqa: E402
from trivalent.speech.transcripts import parse_transcript  # noqa: E402

pytestmark = pytest.mark.usefixtures("tones_are_voices")

RECIPES = REPOSITORY / "recipes"
WORDS = {"negative": "That was awful.", "neutral": "It is a table.", "positive": "I love it so much."}


def heard(count: int = 40, *, signal: float = 2.0, seed: int = 0) -> Heard:
    """Recordings, some of several utterances, whose encodings tell the label and whose answers do not."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    owners = np.sort(np.concatenate([np.arange(count), rng.integers(count, size=count // 4)]))
    seconds = rng.uniform(1, 3, len(owners))
    encodings = rng.normal(size=(len(owners), 6)) + signal * np.eye(6)[labels[owners]]
    log_p = np.log(softmax(rng.normal(size=(len(owners), 3))))
    return Heard(log_p, encodings, owners, seconds / np.bincount(owners, seconds)[owners], labels)


def test_strength_nothing_is_the_expert_itself() -> None:
    data = heard()
    np.testing.assert_array_equal(fit_adapter(data, 0.0).logits(data), data.log_p)
    near = fit_adapter(data, 1e-3)
    np.testing.assert_allclose(near.logits(data), data.log_p, atol=1e-3)


def test_the_layer_is_where_the_posterior_is_flat() -> None:
    """Against its definition, written anew and derived numerically."""
    data, strength = heard(24), 0.7
    found = fit_adapter(data, strength)
    centre = data.encodings.mean(0)
    size = np.sqrt(((data.encodings - centre) ** 2).sum(1).mean())
    x = (data.encodings - centre) / size

    def minus_log_posterior(parameters: np.ndarray) -> float:
        log_slope, weights, bias = parameters[0], parameters[1:19].reshape(3, 6), parameters[19:]
        p = softmax(np.exp(log_slope) * data.log_p + x @ weights.T + bias)
        total = 0.0
        for recording, label in enumerate(data.labels):
            mine = data.owners == recording
            total -= np.log((data.shares[mine] * p[mine, label]).sum())
        squares = (parameters[1:] ** 2).sum() + (2 * log_slope) ** 2
        return total + squares / (2 * strength**2)

    bias = found.bias + found.weights @ centre
    best = np.concatenate([[np.log(found.slope)], (found.weights * size).ravel(), bias])
    assert np.abs(approx_fprime(best, minus_log_posterior, 1e-6)).max() < 0.02


def test_a_fold_is_judged_by_what_never_saw_it() -> None:
    data = heard()
    folds = np.arange(40) % 4
    logits = held_out(data, folds, 1.0)
    swapped = Heard(*{**vars(data), "labels": np.where(folds == 2, 2 - data.labels, data.labels)}.values())
    mine = folds[data.owners] == 2
    again = held_out(swapped, folds, 1.0)
    np.testing.assert_array_equal(logits[mine], again[mine])
    assert not np.allclose(logits[~mine], again[~mine])
    np.testing.assert_array_equal(
        *(cross_validate(one, folds, (0.5, 1.0))[0][mine] for one in (data, swapped))
    )


def test_what_the_table_tells_is_learnt_and_what_it_does_not_is_left() -> None:
    telling, silent = heard(60), heard(60, signal=0.0)
    folds = np.arange(60) % 5
    logits, strengths = cross_validate(telling, folds, (0.0, 0.25, 2.0))
    assert telling.loss(logits) < 0.8 * telling.loss(telling.log_p)
    assert min(strengths) >= 1
    logits, _ = cross_validate(silent, folds, (0.0, 0.5))
    assert silent.loss(logits) < silent.loss(
        silent.log_p
    )  # its answers are worth nothing: slope and bias say so
    assert 0.8 < own_adapter.temperature_of(silent, np.zeros_like(logits) + 0.1) < 4


@pytest.mark.parametrize("takes", list(Inputs))
def test_the_graph_is_the_layer_on_the_expert(takes: Inputs) -> None:
    rng = np.random.default_rng(1)
    if takes is Inputs.TOKENS:
        content, inputs = (
            text_graph(),
            {"ids": np.array([[5, 9, 3], [7, 1, 0]]), "mask": np.array([[1, 1, 1], [1, 1, 0]])},
        )
        encoding = Graph(lambda: content, name="x").run(inputs, ["sentence"])[0]
    elif takes is Inputs.POOLED:
        content, inputs = (
            linear_graph(FACE_WEIGHTS),
            {"features": rng.normal(size=(4, 2)).astype(np.float32)},
        )
        encoding = inputs["features"]
    else:
        content = frames_graph(VOICE_WEIGHTS)
        inputs = {"frames": rng.normal(size=(2, 11, 3)).astype(np.float32)}
        encoding = np.concatenate([inputs["frames"].mean(1), inputs["frames"].std(1)], axis=1)
    before = Graph(lambda: content, name="x").logits(inputs)
    expected, adapted = before, content
    for slope in (0.7, 1.2):  # an adapted expert is adapted again
        weights, bias = rng.normal(size=(3, encoding.shape[1])), rng.normal(size=3)
        adapted = adapt_graph(adapted, takes, slope=slope, weights=weights, bias=bias)
        expected = slope * expected + encoding @ weights.T + bias
    found = Graph(lambda: adapted, name="x").logits(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4)


# --- the command


def write_voice(path: Path, *, hertz: float, seconds: float) -> None:
    """Write a buzz in noise, which has a pitch and a spectrum."""
    time = np.arange(round(16000 * seconds)) / 16000
    noise = np.random.default_rng(0).normal(size=len(time))
    samples = 0.3 * (2 * (time * hertz % 1) - 1) + 0.01 * noise
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, 16000, 0, "NONE", ""))
        stream.writeframes((samples * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sounds of four people, with what was said, and two small bundles."""
    place = tmp_path_factory.mktemp("adapting")
    lines = ["path,label,speaker,transcript"]
    for i in range(12):
        name, label = f"{i}.wav", list(WORDS)[i % 3]
        write_voice(place / name, hertz=110 + 10 * i, seconds=0.5 + 0.02 * i)
        lines.append(f"{name},{label},p{i // 3},{WORDS[label]}")
    (place / "mine.csv").write_text("\n".join([*lines, "gone.wav,neutral,p0,Gone."]) + "\n")
    write_bundle(place / "tiny")
    spec = frames_spec()
    bundles.write_bundle(
        place / "frames",
        name="frames",
        experts={Modality.AUDIO: spec},
        fusion=Pool(),
        decision=Decision(ratio()),
        card={},
        metrics={},
        graphs={spec.model: frames_graph(VOICE_WEIGHTS)},
    )
    return place


def train(recipe: str, folder: Path, out: Path, *changes: str) -> int:
    sets = [f"data={folder / 'mine.csv'}", "rounds=20", "features.recognize=false", *changes]
    return main(
        ["train", str(RECIPES / recipe), *(x for one in sets for x in ("--set", one)), "-o", str(out)]
    )


@pytest.mark.parametrize(
    ("recipe", "bundle", "modality"),
    [
        ("own-text.yaml", "tiny", "text"),
        ("own-voice.yaml", "tiny", "audio"),
        ("own-voice.yaml", "frames", "audio"),
    ],
)
def test_an_adapted_expert_is_analysed_with_the_others_as_they_were(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recipe: str,
    bundle: str,
    modality: str,
) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(folder / "cache"))
    out, m = folder / f"{bundle}-{modality}", Modality(modality)
    assert train(recipe, folder, out, f"bundle={folder / bundle}", "strengths=[1.0]") == 0
    assert "out of fold, adapted: macro-F1" in capsys.readouterr().out
    assert "12 recordings, fewer than 20: no temperature" in caplog.text
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["left_out"] == {"recordings that are not there": 1}
    assert metrics["out_of_fold"]["adapted"]["n"] == metrics["out_of_fold"]["installed"]["n"] == 12
    assert metrics["out_of_fold"]["adapted"]["groups"] == 4

    before, after = load_pool(folder / bundle), load_pool(out)
    assert after.modalities == before.modalities
    assert after.fusion.to_dict() == before.fusion.expecting(np.full(3, 1 / 3)).to_dict()
    for other in set(before.modalities) - {m}:
        assert after.experts[other].spec.to_dict() == before.experts[other].spec.to_dict()
    np.testing.assert_allclose(after.experts[m].spec.prior.sum(), 1)
    check_as_analysed(folder, out, m, bundle=folder / bundle)
    if modality == "text":  # the three texts are told apart by every speaker
        assert metrics["out_of_fold"]["adapted"]["figures"]["accuracy"]["value"] == 1
        capsys.readouterr()
        options = ["--rounds", "0", "--json", "--modalities", "text"]
        assert main(["evaluate", str(out), "--data", str(folder / "mine.csv"), *options]) == 0
        content = json.loads(capsys.readouterr().out)
        assert content["left_out"] == {"recordings that are not there": 1}
        assert "12 of 12 samples are of videos or speakers" in content["caveats"][0]


@pytest.mark.parametrize(
    "words",
    [
        ("Stop! Now", 0.9),
        ("It's red? Is it?", 0.6),
        ("Stop! Now", None),  # typed
        ("Well. " * 90 + "Done!", 0.8),  # in pieces
        ("?!", 0.9),
        ("", None),
        ("\u0e01", 0.9),  # not of the vocabulary
    ],
)
def test_an_expert_of_words_is_adapted_to_what_an_analysis_reads(
    folder: Path, words: tuple[str, float | None]
) -> None:
    text, probability = words
    said = Utterance(0, 0.0, 1.0, text, (Word(text, 0.0, 1.0, probability),) if text else ())
    expert = load_pool(folder / "tiny").experts[Modality.TEXT]
    (extraction,) = plan_for(str(folder / "tiny"), Modality.TEXT, OwnFeatures()).extractions().values()
    (analysed,), (adapted,) = read_texts(expert, [said]), read_texts(extraction.reader(), [said])
    if adapted.features is None:
        assert analysed.opinion is None
        assert adapted.reason == analysed.reason
        return
    assert analysed.opinion is not None
    again = expert.opinion(np.exp(adapted.features[:3]), adapted.reliability)
    np.testing.assert_allclose(analysed.opinion.probabilities, again.probabilities, rtol=1e-12)


def test_a_pool_is_moved_from_what_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words tell all and the voice nothing: the one is believed at least as before, the other less."""
    monkeypatch.setenv("TRIVALENT_CACHE", str(folder / "cache"))
    start, out = folder / "tiny-text", folder / "pool"
    if not start.is_dir():
        assert train("own-text.yaml", folder, start, f"bundle={folder / 'tiny'}", "strengths=[1.0]") == 0
    table = folder / "uneven.csv"  # four of them negative, two neutral
    lines = (folder / "mine.csv").read_text().splitlines()
    table.write_text("\n".join(line for line in lines if line[:2] not in ("1.", "4.")) + "\n")
    sets = [f"data={table}", f"bundle={start}", "rounds=20"]
    options = [x for one in sets for x in ("--set", one)]
    assert main(["train", str(RECIPES / "own-fusion.yaml"), *options, "-o", str(out)]) == 0
    assert "out of fold, adapted: macro-F1" in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    before, after = load_pool(start), load_pool(out)
    assert metrics["left_out"] == {"recordings that are not there": 1}
    assert metrics["fusion"] == after.fusion.to_dict()
    assert metrics["strengths"]["audio"] < 1
    for m, expert in after.experts.items():
        earlier, factor = before.experts[m].spec, metrics["strengths"].get(m, 1.0)
        changed = replace(earlier, strength=earlier.strength * factor)
        assert expert.spec.to_dict() == changed.to_dict()
    nll = {who: found["figures"]["nll"]["value"] for who, found in metrics["out_of_fold"].items()}
    assert nll["adapted"] < nll["installed, expecting the classes of the table"]
    # Each is judged as it would answer: where classes are equally frequent, or as in the table.
    assert nll["installed"] != nll["installed, expecting the classes of the table"]
    np.testing.assert_allclose(after.fusion.prior, np.array([5, 3, 5]) / 13)
    # The last one fitted says of a recording what an analysis by the bundle says.
    said = parse_transcript(WORDS["negative"].encode(), name="test")
    result = Analyzer(out).analyze(folder / "3.wav", transcript=said)
    assert result.overall.label == "negative"


def check_as_analysed(folder: Path, out: Path, modality: Modality, *, bundle: Path) -> None:
    """An analysis says what the layer does, fitted here anew on what the expert makes of the table."""
    table = folder / "mine.csv"
    plan = plan_for(str(bundle), modality, OwnFeatures(recognize=False))
    data = own_entry(table, OwnOptions(plan=plan, fractions=TRAIN_ALONE)).read(Path())
    expert = load_pool(bundle).experts[modality]
    made, _ = hear(expert, data, modality)
    made = alone(expert.spec, made, np.full(3, 1 / 3))
    p = softmax(fit_adapter(made, 1.0).logits(made))
    after = load_pool(out).experts[modality]
    analyzer = Analyzer(out, modalities=[modality])
    for i in (3, 7):
        said = parse_transcript(list(WORDS.values())[i % 3].encode(), name="test")
        result = analyzer.analyze(folder / f"{i}.wav", transcript=said)
        row = data.ids.tolist().index(f"{i}.wav#1")
        evidence = result.utterances[0].modalities[modality]
        expected = after.opinion(p[row], evidence.reliability).probabilities
        np.testing.assert_allclose(evidence.probabilities, expected, atol=2e-4)


def test_tables_that_cannot_adapt(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(folder / "cache"))
    (tmp_path / "one.csv").write_text(
        f"path,label\n{folder / '0.wav'},neutral\n{folder / '1.wav'},neutral\n"
    )
    (tmp_path / "few.csv").write_text(
        f"path,label\n{folder / '0.wav'},neutral\n{folder / '1.wav'},positive\n"
    )
    (tmp_path / "gone.csv").write_text("path,label\ngone.wav,neutral\n")
    bundle, out = f"bundle={folder / 'tiny'}", tmp_path / "out"
    for change, message in (
        (
            f"data={tmp_path / 'one.csv'}",
            "two classes or more in one.csv, got 2 of which all are neutral; add",
        ),
        (f"data={tmp_path / 'few.csv'}", "3 speakers or more in few.csv, or that many recordings"),
        (f"data={tmp_path / 'gone.csv'}", "decoded in gone.csv, got none of 1; line 2, gone.wav: no such"),
        ("data=meld", "a table of your own recordings (.csv) as data of own-voice, got meld; give it by"),
        ("features.text=glove", "expected a known key of features, got 'text'"),
        ("strengths=[2, 1]", "in ascending order in own-voice, got 2, 1; correct"),
        ("folds=2", "expected 3 folds or more in own-voice, got 2; raise"),
        ("modality=smell", "expected a known modality, got 'smell'"),
        (f"data={tmp_path / 'none.csv'}", "expected a readable CSV"),
    ):
        assert train("own-voice.yaml", folder, out, bundle, change) in (1, 2)
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("trivalent:")]
        assert message in line
        assert not out.exists()
    assert train("own-text.yaml", folder, out, bundle, f"data={tmp_path / 'few.csv'}") == 1
    assert "few.csv that have what is used, got none of 2; line 2" in capsys.readouterr().err
    assert not out.exists()
    assert train("own-text.yaml", folder, out, f"bundle={folder / 'frames'}") == 2
    assert "frames" in capsys.readouterr().err
