"""A network of the lab judges recordings and texts: as any other model does."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recording_networks import HEADS, POOLING, encoder, recording_bundle, recording_network
from trivalent import Analyzer
from trivalent.bundle.decision import DecisionKind, DecisionRule
from trivalent.bundle.fusion import Joint, Opinion, joint_key
from trivalent.bundle.loading import load_bundle, load_pool
from trivalent.core.analysis import Analysis
from trivalent.core.assets import DATA
from trivalent.core.errors import BundleError, UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import Modality, Status
from trivalent.experts.channel import Spoken
from trivalent.experts.channels import CHANNELS
from trivalent.experts.encoder import GLOVE, Encoder
from trivalent.experts.redecide import redecide
from trivalent.media.recording import open_recording
from trivalent.speech.recognizer import Recognizer

SAMPLE = DATA / "samples" / "sample.mp4"
SUBSETS = [part for size in (1, 2, 3) for part in combinations(Modality, size)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording_bundle(tmp_path_factory.mktemp("network") / "b")


@pytest.fixture(scope="module")
def analysis(folder: Path) -> Analysis:
    return Analyzer(folder).analyze(SAMPLE)


def test_a_recording_is_judged_by_all_three(analysis: Analysis) -> None:
    assert analysis.model.name == "joined"
    *whole, last = analysis.utterances
    assert last.modalities[Modality.AUDIO].status is Status.MISSING, "a fifth of a second of voice"
    for utterance in whole:
        evidence = utterance.modalities
        assert {m: e.status for m, e in evidence.items()} == dict.fromkeys(Modality, Status.OK)
        assert sum(e.weight for e in evidence.values()) == pytest.approx(1)
        assert set(utterance.joint) == {joint_key(part) for part in SUBSETS if len(part) > 1}
        np.testing.assert_array_equal(utterance.verdict.probabilities, utterance.joint["text+audio+face"])
        for m, e in evidence.items():
            assert e.probabilities is not None
            without = utterance.joint[joint_key(set(Modality) - {m})]
            assert e.effect is not None
            np.testing.assert_array_equal(e.effect, utterance.verdict.probabilities - without)
        assert {m: len(shares) for m, shares in utterance.attention.items()} == dict.fromkeys(
            Modality, HEADS
        )
        np.testing.assert_allclose(np.sum(list(utterance.attention.values()), axis=0), 1, atol=1e-6)
        assert utterance.verdict.prediction_set is not None
        assert "neutral" in utterance.verdict.prediction_set
    assert analysis.keyframes
    assert analysis.tracks


def test_its_document_is_read_back(analysis: Analysis) -> None:
    text = json.dumps(analysis.to_dict())
    again = Analysis.from_dict(json.loads(text), analysis.extras_to_dict())
    assert json.dumps(again.to_dict()) == text
    assert again.utterances[0].attention == dict(analysis.utterances[0].attention)


def test_documents_of_pools_have_nothing_new() -> None:
    document = Analyzer("fast").analyze_text("I love it.").to_dict()
    assert not {"joint", "attention", "prediction_set"} & document["utterances"][0].keys()


@pytest.mark.parametrize("part", SUBSETS)
def test_deciding_again_is_analysing_again(
    folder: Path, analysis: Analysis, part: tuple[Modality, ...]
) -> None:
    again = redecide(
        analysis, load_bundle(folder), modalities=part, thresholds=(0.2, 0.5, 0.4), min_confidence=0.5
    )
    anew = Analyzer(folder, modalities=part, thresholds=(0.2, 0.5, 0.4), min_confidence=0.5).analyze(SAMPLE)
    for first, second in zip(again.utterances, anew.utterances, strict=True):
        assert first.verdict.label == second.verdict.label
        np.testing.assert_array_equal(first.verdict.probabilities, second.verdict.probabilities)
        assert first.verdict.abstained == second.verdict.abstained
        for m in part:
            np.testing.assert_array_equal(first.modalities[m].effect, second.modalities[m].effect)
            assert first.modalities[m].weight == second.modalities[m].weight
    assert again.overall.confidence == anew.overall.confidence


def test_texts(folder: Path) -> None:
    alone, *beside = Analyzer(folder).analyze_texts(
        ["I love how this turned out.", "It is awful.", "Fine."]
    )
    first = alone.utterances[0]
    assert first.modalities[Modality.TEXT].weight == 1
    assert first.modalities[Modality.FACE].reason == "the source is a text"
    assert first.joint == {}
    again = Analyzer(folder).analyze_text("I love how this turned out.").utterances[0]
    np.testing.assert_array_equal(first.verdict.probabilities, again.verdict.probabilities)
    assert len(beside) == 2


@pytest.mark.parametrize("modality", list(Modality))
def test_features_at_training_are_those_of_the_analysis(folder: Path, modality: Modality) -> None:
    recording = open_recording(SAMPLE)
    speech = Recognizer().recognize(recording.audio, duration_s=recording.duration_s)
    spoken = Spoken(recording, speech)
    options = AnalyzerOptions()
    once = CHANNELS[modality].read(
        Encoder(encoder(modality)), spoken, options=options, begin=lambda: lambda done: None
    )
    analyzer = Analyzer(folder)
    network = analyzer.bundle.fusion
    utterances = analyzer.analyze(SAMPLE).utterances
    last = utterances[-1]
    for utterance, reading in zip(utterances, once.readings, strict=True):
        if modality is Modality.AUDIO and utterance is last:
            assert reading.features is None, "too little of a voice, as in the analysis"
            continue
        assert reading.features is not None
        assert reading.features.shape == (len(POOLING[modality][1]),)
        alone = network.joint({modality: reading.features}).probabilities[modality]
        np.testing.assert_array_equal(alone, utterance.modalities[modality].probabilities)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=7, max_size=7),
    st.sets(st.sampled_from(list(Modality))),
)
def test_one_modality_answers_alone_and_none_leaves_the_prior(
    rows: list[list[float]], shown: set[Modality]
) -> None:
    network, _ = recording_network()
    tables = {joint_key(part): np.array(row) / sum(row) for part, row in zip(SUBSETS, rows, strict=True)}
    opinions = {m: Opinion(tables[m]) for m in Modality if m in shown}
    fused = network.fuse(opinions, Joint(tables))
    expected = tables[joint_key(shown)] if shown else network.prior
    np.testing.assert_array_equal(fused.probabilities, expected)
    assert sum(fused.weights.values()) == pytest.approx(1 if shown else 0)
    if len(shown) == 1:
        (m,) = shown
        np.testing.assert_array_equal(fused.effects[m], tables[m] - network.prior)


def test_a_network_without_attention_and_with_a_threshold(tmp_path: Path) -> None:
    rule = DecisionRule(DecisionKind.THRESHOLD, (0.2,))
    where = recording_bundle(tmp_path / "b", (Modality.AUDIO, Modality.FACE), attends=False, rule=rule)
    result = Analyzer(where).analyze(SAMPLE)
    first = result.utterances[0]
    assert first.attention == {}
    assert first.modalities[Modality.TEXT].reason == "the bundle 'joined' has no text expert"
    with pytest.raises(UsageError, match="text"):
        Analyzer(where, modalities=["text"])
    with pytest.raises(UsageError):
        Analyzer(where).analyze_text("Good.")


def changed(folder: Path, target: Path, **changes: Any) -> Path:
    """Copy a bundle with another entry for the voice."""
    import shutil

    shutil.copytree(folder, target)
    manifest = json.loads((target / "bundle.json").read_text(encoding="utf-8"))
    manifest["fusion"]["modalities"]["audio"].update(changes)
    (target / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "0"}, r"covarep version \d+, got audio features of version 0"),
        ({"extractor": "openpose"}, "an extractor among .* for audio, got 'openpose'"),
        ({"extractor": "glove", "version": "1"}, "sound"),
        ({"pooling": ["F9.mean"]}, "cleaner of audio|columns"),
        ({"pooling": ["F0"]}, "COLUMN|statistic"),
        ({"options": {"creak_weights": "/etc/passwd"}}, "a number or a word, got creak_weights"),
        ({"options": {"seed": "x"}}, "a number or a word, got seed"),
        ({"options": {"seed": [1]}}, "bundle.json|numbers and words|damaged|key"),
        ({"options": {"none": 1}}, "got none"),
    ],
)
def test_features_that_nobody_makes_are_refused(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(changed(folder, tmp_path / "b", **changes))


def test_vectors_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    vectors = tmp_path / "glove.txt"
    vectors.write_text("good 1 2 3\nbad -1 0 1\n", encoding="utf-8")
    sha256 = hashlib.sha256(vectors.read_bytes()).hexdigest()
    spec = replace(
        encoder(Modality.TEXT),
        extractor="glove",
        pooling=("glove_0.mean", "glove_2.mean"),
        options={"sha256": sha256},
    )
    monkeypatch.delenv(GLOVE, raising=False)
    with pytest.raises(BundleError, match=f"set {GLOVE} to that file"):
        Encoder(spec).options()
    monkeypatch.setenv(GLOVE, str(vectors))
    assert Encoder(spec).options().glove_file == vectors
    vectors.write_text("good 1 2 3\n", encoding="utf-8")
    with pytest.raises(BundleError, match="got others"):
        Encoder(spec).options()


def test_trained_on_features_of_a_data_set_it_hears_and_sees(real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from trivalent.cli.main import main

    if not (real_data / "cmu_mosei" / "video_level_922.npz").is_file():
        pytest.skip(f"no features of 922 videos at {real_data}")
    out, recipe = tmp_path / "run", Path(__file__).parents[1] / "recipes" / "attention.yaml"
    settings = ["--set", "training.epochs=1", "--set", "seeds=[0]"]
    assert main(["train", str(recipe), *settings, "-o", str(out), "--root", str(real_data)]) == 0
    first = Analyzer(out / "bundle").analyze(SAMPLE).utterances[0]
    assert first.modalities[Modality.TEXT].status is Status.FAILED
    assert "no extractor makes" in str(first.modalities[Modality.TEXT].reason)
    assert {first.modalities[m].status for m in (Modality.AUDIO, Modality.FACE)} == {Status.OK}
    assert set(first.attention) == {Modality.AUDIO, Modality.FACE}
    assert main(["evaluate", str(out / "bundle"), "--data", "mosei-922", "--root", str(real_data)]) == 0


def test_a_pool_is_no_network_and_a_network_no_pool(folder: Path) -> None:
    with pytest.raises(BundleError):
        load_pool(folder)
    assert load_bundle(folder).modalities == tuple(Modality)
    assert load_bundle("default").modalities == tuple(Modality)
