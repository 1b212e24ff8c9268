"""Teachers answer what they have not learnt; students hear them about all texts."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from trivalent.bundle.loading import load_bundle  # noqa: E402
from trivalent.core import assets as registry  # noqa: E402
from trivalent.core.errors import AssetError, DataError, RecipeError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.features.text import encode  # noqa: E402
from trivalent.lab.datasets import unlabelled  # noqa: E402
from trivalent.lab.datasets.text import TextData, fold_of  # noqa: E402
from trivalent.lab.experts import text_task, text_teachers  # noqa: E402
from trivalent.lab.experts.text_task import TextTask, TextTaskConfig  # noqa: E402
from trivalent.lab.experts.trained import TrainedExpert  # noqa: E402
from trivalent.lab.fit.losses import distillation_loss, soft_cross_entropy  # noqa: E402
from trivalent.lab.networks import encoders  # noqa: E402
from trivalent.lab.networks.encoders import _BertIds, pretrained_encoder  # noqa: E402
from trivalent.lab.recipes import Recipe  # noqa: E402

WORDS = ("good", "bad", "table", "lovely", "awful", "chair", "nice", "sad", "door", "fine", "poor", "cup")
N = 3 * len(WORDS)
MORE = tuple(f"so {word} today" for word in WORDS[:7])


def corpus(name: str) -> TextData:
    groups = tuple(f"{name}/{i // 2}" for i in range(N))
    valence = np.full(N, np.nan, np.float32)
    return TextData(
        tuple(f"{name} {w} {k}" for k in range(3) for w in WORDS),
        np.arange(N) % 3,
        valence,
        groups,
        (name,) * N,
    )


class Tiny(torch.nn.Module):  # type: ignore[misc]
    """Logits from the mean of embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.ModuleDict({"layer": torch.nn.ModuleList([torch.nn.Embedding(30522, 8)])})
        self.head = torch.nn.Linear(8, 4)

    def forward_all(self, ids: Any, mask: Any) -> tuple[Any, Any]:
        states = self.encoder["layer"][0](ids) * mask.unsqueeze(-1)
        out = self.head(states.sum(1) / mask.sum(1, keepdim=True))
        return out[:, :3], torch.tanh(out[:, 3])

    def forward(self, ids: Any, mask: Any) -> Any:
        return self.forward_all(ids, mask)[0]


@pytest.fixture(autouse=True)
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_task, "load_corpus", lambda name, split, root: corpus(name))
    for module in (text_task, text_teachers):
        monkeypatch.setattr(module, "load_unlabelled", lambda name: MORE)
    monkeypatch.setattr(text_teachers, "new_network", lambda encoder: Tiny())


def config(**changes: Any) -> TextTaskConfig:
    base: dict[str, Any] = {"corpora": {"sst5": 1.0, "meld": 2.0}, "unlabelled": {"chitchat": 1.0}}
    return TextTaskConfig(**{**base, "strip_punctuation": 0.0, "mask_tokens": 0.0, **changes})


def answers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=(n, 3)) for name, n in (("sst5", N), ("meld", N), ("chitchat", len(MORE)))
    }


def task(**options: Any) -> TextTask:
    return TextTask(config(), batch_size=5, root=Path(), **options)


@given(st.lists(st.text(max_size=5), max_size=30), st.integers(1, 7))
def test_folds_keep_groups_whole(groups: list[str], folds: int) -> None:
    found = fold_of(groups, folds)
    assert found.shape == (len(groups),)
    assert set(found.tolist()) <= set(range(folds))
    assert all(len({f for g, f in zip(groups, found, strict=True) if g == own}) == 1 for own in groups)


def test_a_fold_is_left_out() -> None:
    whole = corpus("meld")
    folds = fold_of(whole.groups, 2)
    assert 0 < (folds == 0).sum() < len(whole)
    left = [task(held_out=(k, 2)).train["meld"].texts for k in (0, 1)]
    assert sorted(left[0] + left[1]) == sorted(whole.texts)
    assert set(left[0]) == {t for t, f in zip(whole.texts, folds, strict=True) if f != 0}


def test_every_text_comes_with_its_own_answer() -> None:
    said = answers()
    own = task(answers=said)
    batches = list(own.batches(np.random.default_rng(0)))
    assert len(batches) == own.batches_per_epoch() == -(-(N + 2 * N + 7) // 5)
    texts = {name: [*corpus(name).texts] for name in ("sst5", "meld")} | {"chitchat": [*MORE]}
    expected = {
        tuple(ids): (name, said[name][i])
        for name, own_texts in texts.items()
        for i, ids in enumerate(encode(own_texts))
    }
    for batch in batches:
        for ids, mask, weights, teacher in zip(
            batch.ids, batch.mask, batch.weights, batch.teacher, strict=True
        ):
            name, logits = expected[tuple(ids[mask == 1].tolist())]
            np.testing.assert_allclose(teacher, logits, rtol=1e-6)
            assert (float(weights.sum()) == 0) == (name == "chitchat")


def test_without_teachers_no_text_without_label_takes_part() -> None:
    batches = list(task().batches(np.random.default_rng(0)))
    assert sum(len(b.ids) for b in batches) == 3 * N
    assert all(bool(b.teacher.isnan().all()) for b in batches)


def test_answers_to_other_texts_are_refused() -> None:
    said = answers()
    with pytest.raises(UsageError, match=r"all 36 texts of meld, got 35; ask them anew"):
        task(answers={**said, "meld": said["meld"][1:]})
    del said["chitchat"]
    with pytest.raises(UsageError, match="all 7 texts of chitchat, got 0"):
        task(answers=said)


def test_the_mixed_loss_equals_its_formula() -> None:
    rng = np.random.default_rng(1)
    z, teacher = rng.normal(size=(2, 6, 3))
    targets = np.eye(3)[rng.integers(0, 3, 6)]
    weights = rng.uniform(0.5, 2, (6, 3)) * (np.arange(6) < 4)[:, None]

    def logs(x: np.ndarray, t: float) -> np.ndarray:
        return x / t - np.log(np.exp(x / t).sum(1, keepdims=True))

    p = np.exp(logs(teacher, 2))
    soft = (p * (np.log(p) - logs(z, 2))).sum(1)
    known = np.arange(6) < 4
    hard = -(weights * targets * logs(z, 1)).sum(1)
    tensors = [torch.from_numpy(x) for x in (z, teacher, targets, weights)]
    found = distillation_loss(
        tensors[0], tensors[1], targets=tensors[2], weights=tensors[3], temperature=2, hard=0.3
    )
    assert float(found) == pytest.approx(np.mean(4 * soft * (1 - 0.3 * known) + 0.3 * hard))
    alone = distillation_loss(
        tensors[0], tensors[0], targets=tensors[2], weights=tensors[3], temperature=2, hard=1.0
    )
    assert float(alone) == pytest.approx(float(soft_cross_entropy(tensors[0], tensors[2], tensors[3])))


def recipe(**teachers: Any) -> Recipe:
    return Recipe(
        "text",
        "text",
        teachers={"folds": 2, "seeds": [0, 1], **teachers},
        task={"corpora": {"sst5": 1.0, "meld": 1.0}, "unlabelled": {"chitchat": 1.0}},
        training={"epochs": 1.0, "batch_size": 8},
    )


def test_nobody_is_asked_about_what_he_has_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher that answers with its fold and seed shows whose answer is whose."""

    def says(recipe: Recipe, fold: int, *, seed: int, root: Path, out: Path) -> dict[str, np.ndarray]:
        logits = np.log([[0.2 + 0.4 * fold, 0.1 + 0.2 * seed, 0.7 - 0.4 * fold - 0.2 * seed]])
        said = {f"val-{name}": np.repeat(logits, N, 0) for name in ("sst5", "meld")}
        for name in ("sst5", "meld"):
            said[f"train-{name}"] = np.repeat(logits, (fold_of(corpus(name).groups, 2) == fold).sum(), 0)
        return {**said, "more-chitchat": np.repeat(logits, len(MORE), 0)}

    monkeypatch.setattr(text_teachers, "ask_teacher", says)
    found, scores = text_teachers.ask_teachers(recipe(), root=Path(), out=Path())
    for name in ("sst5", "meld"):
        folds = fold_of(corpus(name).groups, 2)
        np.testing.assert_allclose(np.exp(found[name][:, 0]), 0.2 + 0.4 * folds)
        np.testing.assert_allclose(np.exp(found[name][:, 1]), 0.2)  # mean over the seeds
    np.testing.assert_allclose(np.exp(found["chitchat"]), [[0.4, 0.2, 0.4]] * len(MORE))
    assert 0 <= scores["score"] <= 1


def test_a_teacher_is_trained_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = text_teachers.ask_teacher(recipe(), 0, seed=3, root=Path(), out=tmp_path)
    own = fold_of(corpus("meld").groups, 2) == 0
    assert first["train-meld"].shape == (own.sum(), 3)
    assert (first["val-sst5"].shape, first["more-chitchat"].shape) == ((N, 3), (len(MORE), 3))
    monkeypatch.setattr(text_teachers, "fit", lambda *_, **__: pytest.fail("trained again"))
    again = text_teachers.ask_teacher(recipe(), 0, seed=3, root=Path(), out=tmp_path)
    assert all(np.array_equal(first[key], again[key]) for key in first)


def test_one_fold_teaches_nothing() -> None:
    with pytest.raises(RecipeError, match="at least two folds and one seed"):
        text_teachers.teachers_of(recipe(folds=1))


def test_ids_of_the_other_vocabulary() -> None:
    """[CLS] great [SEP] [PAD] and [MASK] by the marks of MPNet; words move up by four."""
    seen = []
    whole = _BertIds(torch.nn.Identity())
    whole.encoder.forward = lambda input_ids, attention_mask: seen.append(input_ids)
    whole(torch.tensor([[101, 2307, 103, 102, 0]]), torch.tensor([[1, 1, 1, 1, 0]]))
    assert seen[0].tolist() == [[0, 2311, 30526, 2, 1]]


def test_an_unknown_encoder() -> None:
    with pytest.raises(UsageError, match="did you mean 'minilm-l6'"):
        pretrained_encoder("minilm-l7")


def test_weights_are_joined_from_their_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("all-mpnet-base-v2/model.safetensors", b"weights " * 100)
    raw = content.getvalue()
    pieces = [raw[:50], raw[50:300], raw[300:301], raw[301:900], raw[900:]]
    for number, piece in enumerate(pieces, 1):
        (tmp_path / f"all-mpnet-base-v2.zip.00{number}").write_bytes(piece)
    monkeypatch.setattr(encoders, "find", lambda name: None if name == encoders.MPNET else name)
    monkeypatch.setattr(encoders, "cache_folder", lambda: tmp_path / "cache")
    joined = tmp_path / "cache" / encoders.MPNET

    def place(name: str) -> Path:
        return joined if name == encoders.MPNET else tmp_path / Path(name).name

    monkeypatch.setattr(encoders, "asset_path", place)
    assert encoders._mpnet_weights().read_bytes() == b"weights " * 100
    (tmp_path / "all-mpnet-base-v2.zip.005").write_bytes(b"")
    joined.unlink()
    with pytest.raises(AssetError, match=r"in the joined parts, got: .*; reinstall them"):
        encoders._mpnet_weights()
    assert not joined.exists()


def test_without_the_parts_one_error_names_them_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path))
    monkeypatch.setattr(encoders, "find", lambda _: None)
    monkeypatch.setattr(registry, "find", lambda _: None)
    registry.asset_path.cache_clear()
    with pytest.raises(AssetError, match=r"run: pip install all-mpnet-.*part-001==0.0.1 .*part-005==0.0.1"):
        pretrained_encoder("mpnet-base")


def conversations(path: Path, *texts: str) -> Path:
    turns = [[{"text": text, "sender": "a"}] for text in texts]
    path.write_text(json.dumps({"one": {"messages": turns, "ratings": {}}}), encoding="utf-8")
    return path


def test_messages_of_a_conversation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = "word " * 41
    path = conversations(tmp_path / "d.json", "hi there", "that is  so\nnice", "that is so nice", long)
    monkeypatch.setattr(unlabelled, "asset_path", lambda _: path)
    unlabelled.load_unlabelled.cache_clear()
    assert unlabelled.load_unlabelled("chitchat") == ("that is so nice",)
    path.write_text('{"one": {"messages": [[{"words": "?"}]]}}', encoding="utf-8")
    unlabelled.load_unlabelled.cache_clear()
    with pytest.raises(DataError, match="expected conversations with messages"):
        unlabelled.load_unlabelled("chitchat")
    with pytest.raises(UsageError, match="did you mean 'chitchat'"):
        unlabelled.load_unlabelled("chit-chat")


def test_an_expert_of_an_installed_bundle() -> None:
    bundle = load_bundle("default")
    expert = TrainedExpert.from_installed("default", "audio")
    assert expert.spec.temperature == bundle.experts[Modality.AUDIO].spec.temperature
    assert expert.spec.strength == bundle.experts[Modality.AUDIO].spec.strength
    assert expert.graph.is_file()
    assert set(expert.card) == {"data", "licence", "limits"}
    with pytest.raises(DataError, match="expected an expert for smell in the bundle default"):
        TrainedExpert.from_installed("default", "smell")
