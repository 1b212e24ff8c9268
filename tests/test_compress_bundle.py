"""`trivalent compress`: a bundle in, a smaller bundle and a report out; and the bundle `fast`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import write_bundle
from conftest import REPOSITORY
from trivalent import Analyzer
from trivalent.bundle.fusion import Opinion
from trivalent.bundle.loading import INSTALLED, load_bundle
from trivalent.bundle.spec import ExpertSpec, Inputs
from trivalent.core.errors import BundleError, RecipeError
from trivalent.core.types import Modality
from trivalent.features.frames import CHANNELS, columns_of_channels

torch = pytest.importorskip("torch", reason="needs the extra train")

from trivalent.cli.main import main  # noqa: E402
from trivalent.lab.compress import bundling, text, voice  # noqa: E402
from trivalent.lab.compress.distillation import DistillationConfig  # noqa: E402
from trivalent.lab.compress.reading import read_weights  # noqa: E402
from trivalent.lab.compress.recipe import load_compression, parse_compression  # noqa: E402
from trivalent.lab.compress.student import StudentConfig  # noqa: E402
from trivalent.lab.compress.transfer import TransferConfig  # noqa: E402
from trivalent.lab.compress.voice import DistilledFrames, read_members  # noqa: E402
from trivalent.lab.datasets.ravdess import SENTIMENTS, TRAIN_ACTORS  # noqa: E402
from trivalent.lab.datasets.text import TextData  # noqa: E402
from trivalent.lab.datasets.voice_takes import TakeData  # noqa: E402
from trivalent.lab.experts.frames_task import FramesTaskConfig, logits_of_takes, pad_frames  # noqa: E402
from trivalent.lab.fit.training import TrainingConfig  # noqa: E402
from trivalent.lab.fusion.bundle_pool import PooledExperts  # noqa: E402
from trivalent.lab.fusion.pool_fit import START, Recordings  # noqa: E402
from trivalent.lab.graphs.experts import export_frames  # noqa: E402
from trivalent.lab.networks.temporal import TemporalNetwork  # noqa: E402
from trivalent.lab.recipes import build  # noqa: E402

EMOTIONS = [int(s) for s in SENTIMENTS.values()]
FAST = REPOSITORY / "recipes" / "fast.yaml"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))


def takes() -> TakeData:
    """One take of each emotion by every training actor, of the channels of the default bundle."""
    rng = np.random.default_rng(3)
    copies, emotions, actors = [], [], []
    for actor in TRAIN_ACTORS:
        for emotion in range(len(EMOTIONS)):
            x = rng.normal(size=(int(rng.integers(12, 25)), 24))
            x[:, emotion] += 2
            copies.append([x.astype(np.float32)])
            emotions.append(emotion)
            actors.append(actor)
    return TakeData(
        copies=copies,
        levels=np.zeros((len(copies), 24)),
        voiced=np.full(len(copies), 50.0),
        labels=np.array(EMOTIONS)[emotions],
        emotions=np.array(emotions),
        speakers=np.array([f"ravdess/{actor:02d}" for actor in actors]),
        sources=np.full(len(copies), "ravdess"),
        folds=(np.array(actors) - 1) // 2 % 4,
        ids=[f"{a}-{e}" for a, e in zip(actors, emotions, strict=True)],
    )


def corpus(name: str, split: str, *, root: Path) -> TextData:
    texts = tuple(f"{word} {name} {split}" for word in ("I love this", "awful, I hate the", "it is the"))
    return TextData(texts, np.array([2, 0, 1]), np.full(3, np.nan, np.float32), ("g",) * 3, (name,) * 3)


# The voice.


def test_members_are_read_back_with_their_normalisation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks = []
    for _ in range(2):
        network = TemporalNetwork(4, width=8, dropout=0.2, sentiments=EMOTIONS)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                torch.nn.init.normal_(module.running_mean, 0, 0.3)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.normal_(module.weight, 1, 0.2)
        networks.append(network.eval())
    export_frames(networks, tmp_path / "audio.onnx", channels=4)
    read = read_members(read_weights((tmp_path / "audio.onnx").read_bytes(), where="a"), where="a")
    x = [np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32) for n in (5, 30)]
    assert len(read) == 2
    for own, wanted in zip(read, networks, strict=True):
        np.testing.assert_allclose(logits_of_takes(own, x), logits_of_takes(wanted, x), atol=1e-4)


def test_only_a_voice_over_frames_has_members() -> None:
    graph = (INSTALLED / "default" / "face.onnx").read_bytes()
    with pytest.raises(BundleError, match=r"members of a voice over frames in face\.onnx"):
        read_members(read_weights(graph, where="face.onnx"), where="face.onnx")


def voice_task(data: TakeData, teachers: list[TemporalNetwork], **changes: Any) -> DistilledFrames:
    return DistilledFrames(
        FramesTaskConfig("ravdess", width=8, mixup_rate=1.0),
        teachers=teachers,
        **{"temperature": 2.0, "hard": 0.25, **changes},
        train=data,
        val=data.take(np.arange(5)),
        batch_size=8,
    )


def test_the_loss_of_the_voice_equals_its_formula() -> None:
    torch.manual_seed(0)
    one, two, own = (
        TemporalNetwork(24, width=8, dropout=0.0, sentiments=EMOTIONS).eval() for _ in range(3)
    )
    task = voice_task(takes(), [one, two])
    batch = next(task.batches(np.random.default_rng(0)))
    frames = batch.share * batch.frames + (1 - batch.share) * batch.frames[batch.partner]
    mask = torch.maximum(batch.mask, batch.mask[batch.partner])
    with torch.inference_mode():
        said = ((one.fine(frames, mask) + two.fine(frames, mask)) / 4).softmax(1)
        soft = (said * (said.log() - (own.fine(frames, mask) / 2).log_softmax(1))).sum(1).mean()
        labels = super(DistilledFrames, task).loss(own, batch)
        expected = 0.75 * 4 * soft + 0.25 * labels
        assert float(task.loss(own, batch)) == pytest.approx(float(expected), rel=1e-4)


def test_students_of_the_voice_are_cross_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student hears no actor of its fold, nor do its teachers."""
    data, seen = takes(), []
    spec = ExpertSpec(
        "covarep",
        "2",
        columns_of_channels(CHANNELS),
        "audio.onnx",
        temperature=1.0,
        prior=np.full(3, 1 / 3),
        mean=np.zeros(len(CHANNELS)),
        scale=np.ones(len(CHANNELS)),
        inputs=Inputs.FRAMES,
        channels=CHANNELS,
    )
    members = [TemporalNetwork(24, width=8, dropout=0.0, sentiments=EMOTIONS).eval() for _ in range(8)]
    monkeypatch.setattr(voice, "load_takes", lambda *_, **__: data)

    class Watched(DistilledFrames):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            positions = [members.index(teacher) for teacher in self.teachers]
            seen.append((positions, len(self.train)))

    monkeypatch.setattr(voice, "DistilledFrames", Watched)
    recipe = load_compression(None, overrides=["voice.training.epochs=1", "voice.task.width=8"])
    found = voice.distill_voice(members, spec, config=recipe.voice_config(), root=tmp_path, out=tmp_path)
    assert seen == [([0, 1], 84), ([2, 3], 84), ([4, 5], 84), ([6, 7], 84), (list(range(8)), 112)]
    assert found.logits.shape == (112, 3)
    scaled = data.normalized(spec.mean, spec.scale, spec.clip)
    held = np.flatnonzero(data.folds == 1)
    expected = np.mean([logits_of_takes(m, scaled.clean(held)) for m in members[2:4]], 0)
    np.testing.assert_allclose(found.teacher_logits[held], expected, atol=1e-5)
    with pytest.raises(BundleError, match="as many members for each of 4 folds, got 7"):
        voice.distill_voice(members[:7], spec, config=recipe.voice_config(), root=tmp_path, out=tmp_path)


def test_padding_of_the_teachers_is_that_of_the_student() -> None:
    x, mask = pad_frames(takes().clean(np.arange(4)))
    assert x.shape[:2] == mask.shape


# The bundle.


def pooled(experts: dict[Modality, ExpertSpec], graphs: dict[str, bytes], *, root: Path) -> PooledExperts:
    """Stand in for the analysis of talking clips: what two experts said of three of them."""
    said = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
    opinions = {m: Opinion(said, np.ones(3)) for m in Modality}
    clips = Recordings(np.arange(3), np.array(["a", "b", "b"]), np.arange(3), np.ones(3), opinions)
    specs = {m: replace(spec, strength=START.strengths[m]) for m, spec in experts.items()}
    return PooledExperts(specs, START, clips, said)


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundling, "pool_experts", pooled)
    monkeypatch.setattr(text, "load_corpus", corpus)
    monkeypatch.setattr(voice, "load_takes", lambda *_, **__: takes())
    monkeypatch.setattr("trivalent.lab.compress.sessions.WARM_UP", 1)


SMALL = [
    "name=mine",
    "text.student={layers: [0], width: 32, embedding: 16, vocabulary: 1200}",
    "text.transfer.copies=1",
    "text.importance=3",
    "text.training.epochs=1",
    "voice.training.epochs=1",
    "voice.task.width=8",
]


@pytest.mark.usefixtures("small_world")
def test_the_default_bundle_is_compressed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    sets = [word for override in SMALL for word in ("--set", override)]
    assert main(["compress", "default", "-o", str(out), "--root", str(tmp_path), *sets]) == 0
    told = capsys.readouterr().out
    for row in ("text before: graph", "text after: meld"):
        assert f"| {row} |" in told
    bundle, source = load_bundle(out, threads=1), load_bundle("default", threads=1)
    manifest = json.loads((out / "bundle" / "bundle.json").read_text())
    assert (bundle.name, manifest["compressed_from"]["sha256"]) == ("mine", source.sha256)
    assert manifest["metrics"]["text"]["size_bytes"]["after"] < 1e6
    assert manifest["metrics"]["text"]["validation"]["semaine"]["n"] == 3
    voice = source.experts[Modality.AUDIO].spec
    assert bundle.experts[Modality.AUDIO].spec.pooling == voice.pooling, "kept"
    assert "convolution of 1 layers, width 32" in manifest["card"]["compression"]["text"]
    assert manifest["card"]["limits"]["text"].startswith("loses ")
    assert {"sst5 train", "semaine val"} <= set(manifest["experts"]["text"]["seen"])
    assert manifest["card"]["licence"] == source.card["licence"]
    assert bundle.fusion.beside == START.pool.beside
    assert manifest["metrics"]["fusion"]["validation"]["b"]["n"] == 2
    face = replace(source.experts[Modality.FACE].spec, strength=START.strengths[Modality.FACE])
    assert bundle.experts[Modality.FACE].spec.to_dict() == face.to_dict()
    assert Analyzer(out).analyze_text("I love it").overall.label
    content = json.loads((out / "compression.json").read_text())
    sizes = {row["name"]: row["metrics"].get("size_mb") for row in content["rows"]}
    assert sizes["text after: graph"]["mean"] < sizes["text before: graph"]["mean"] / 20
    assert "sst5, tweeteval, meld, mosi, semaine" in content["data"]


@pytest.mark.usefixtures("small_world")
def test_pruning_alone(tmp_path: Path) -> None:
    overrides = [
        "text.technique=prune",
        "voice.technique=keep",
        "text.student.layers=[0]",
        "text.importance=3",
    ]
    recipe = load_compression(
        None, overrides=[*overrides, "text.student.vocabulary=1200", "text.int8=false"]
    )
    lines = bundling.compress("default", recipe, root=tmp_path, out=tmp_path / "out")
    assert "full precision" in lines[0]
    kept = {m: e.spec.temperature for m, e in load_bundle(tmp_path / "out").experts.items()}
    source = load_bundle("default").experts
    assert kept[Modality.AUDIO] == source[Modality.AUDIO].spec.temperature
    assert kept[Modality.TEXT] != source[Modality.TEXT].spec.temperature
    assert load_bundle(tmp_path / "out").name == "default-small"


def test_what_cannot_be_compressed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = write_bundle(tmp_path / "faces", modalities=("face",))
    pooled = write_bundle(tmp_path / "pooled", modalities=("audio",))
    distilled = ["--set", "voice.technique=distill"]
    for bundle, sets, message in (
        (faces, [], "a text or voice expert"),
        (pooled, [], "a text or voice expert"),
        (pooled, distilled, "voice.technique=keep"),
    ):
        given = ["compress", str(bundle), "-o", str(tmp_path / "o"), "--root", str(tmp_path), *sets]
        assert main(given) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "o" / "bundle").exists()


def test_recipes_are_checked_before_anything_is_computed() -> None:
    for override, message in (
        ("text.student.layer=[0]", "did you mean 'layers'"),
        ("text.training=3", "expected keys under 'training'"),
        ("voice.technique=shrink", "a technique among distill, keep"),
        ("kind=text", "a recipe of kind compression"),
        ("texts.int8=true", "did you mean 'text'"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_compression(None, overrides=[override])
    changed = load_compression(None, overrides=["text.training.epochs=1"]).text_config()
    assert changed.training["batch_size"] == 32, "the other defaults stay"


def test_without_a_recipe_it_is_the_one_of_the_fast_bundle() -> None:
    fast, plain = load_compression(FAST), parse_compression({}, where="none")
    assert fast.voice_config() == plain.voice_config()
    text, other = fast.text_config(), plain.text_config()
    assert (text.technique, text.int8, text.seeds) == (other.technique, other.int8, other.seeds)
    for name, kind in (
        ("student", StudentConfig),
        ("transfer", TransferConfig),
        ("distillation", DistillationConfig),
        ("training", TrainingConfig),
    ):
        one, two = (build(kind, getattr(own, name), where=name) for own in (text, other))
        assert one == two


# The bundle that ships.


def test_the_fast_bundle_is_smaller_and_complete() -> None:
    fast = json.loads((INSTALLED / "fast" / "bundle.json").read_text())
    size = {n: sum(p.stat().st_size for p in (INSTALLED / n).glob("*.onnx")) for n in ("fast", "default")}
    assert size["fast"] < size["default"] / 3
    assert set(fast["experts"]) == set(Modality)
    assert fast["compressed_from"]["sha256"] == load_bundle("default").sha256
    for key in ("licence", "limits", "validation", "data", "compression", "summary"):
        assert fast["card"][key]
    assert fast["metrics"]["text"]["scores"]["score"] > 0.6
    assert fast["metrics"]["text"]["seeds"]


def test_the_fast_bundle_answers_like_the_default_one() -> None:
    texts = ["I love how this turned out.", "This is the worst day of my life.", "The meeting is at noon."]
    fast = [a.overall.label for a in Analyzer("fast", threads=1).analyze_texts(texts)]
    assert fast == ["positive", "negative", "neutral"]
