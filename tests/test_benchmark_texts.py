"""The benchmarks on text corpora: transfer between them, and GloVe against a transformer."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import LABELS, Modality
from trivalent.features.glove import GloVe
from trivalent.lab.benchmarks import corpora as corpora_module
from trivalent.lab.benchmarks import text_encoder, transfer
from trivalent.lab.benchmarks.corpora import (
    GLOVE_FILE,
    classifier,
    join,
    nested_order,
    read_corpora,
    read_glove,
    repeated_texts,
    with_glove,
)
from trivalent.lab.benchmarks.registry import BENCHMARKS, run_benchmark
from trivalent.lab.benchmarks.text_encoder import (
    ALL,
    BERT,
    GLOVE,
    LOGISTIC,
    MINILM,
    NETWORK,
    run_text_encoder,
)
from trivalent.lab.benchmarks.text_encoder import draw as draw_curves
from trivalent.lab.benchmarks.transfer import CHANCE, OTHERS, POOLED, run_transfer
from trivalent.lab.benchmarks.transfer import draw as draw_matrix
from trivalent.lab.datasets import embedding
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.fusion.seed_training import System, train_system
from trivalent.lab.problems.classification import make_problem

SIZES = {"train": 60, "val": 24, "test": 30}


def corpus(name: str, *, seed: int, flip: bool = False, width: int = 6) -> Dataset:
    """Three classes that lie apart in the first columns; `flip` swaps negative and positive."""
    rng = np.random.default_rng(seed)
    n = sum(SIZES.values())
    labels = rng.permutation(np.arange(n) % 3)
    values = rng.normal(size=(n, width)).astype(np.float32)
    values[np.arange(n), 2 - labels if flip else labels] += 6
    ids = np.array([f"{name}{i}" for i in range(n)])
    return Dataset(
        name=name,
        protocol="made",
        ids=ids,
        groups=ids,
        split=np.repeat(list(SIZES), list(SIZES.values())),
        labels=labels.astype(np.int64),
        scores=np.full(n, np.nan),
        seconds=np.full(n, np.nan),
        features={Modality.TEXT: Features("made", tuple(f"x{i}" for i in range(width)), values)},
        texts=tuple(f"text {i % 100}" for i in range(n)),
    )


@pytest.fixture(scope="module")
def three() -> dict[str, Dataset]:
    return {"a": corpus("a", seed=0), "b": corpus("b", seed=1), "c": corpus("c", seed=2, flip=True)}


def test_nested_order_is_nested_stratified_and_differs_by_seed():
    labels = np.random.default_rng(0).choice(3, 500, p=(0.1, 0.6, 0.3))
    first, second = (nested_order(labels, seed=seed) for seed in (0, 1))
    assert sorted(first.tolist()) == list(range(500))
    assert set(first[:50].tolist()) != set(second[:50].tolist())
    assert np.array_equal(first, nested_order(labels, seed=0))
    shares = np.bincount(labels) / 500
    for n in (10, 50, 237):
        assert np.abs(np.bincount(labels[first[:n]], minlength=3) - n * shares).max() <= 1


def test_rows_of_each_seed_are_all_that_it_sees(three):
    problem = make_problem(three["a"])
    rows = [np.arange(20), np.arange(20, 40)]
    system = classifier(20, epochs=1)
    trained = train_system(system, problem, (0, 1), rows=rows)
    again = train_system(system, problem, (0, 1), rows=rows[::-1])
    test = problem.parts.test
    assert trained.logits(test).shape == (2, 30, 3)
    assert not np.allclose(trained.logits(test), again.logits(test))
    with pytest.raises(UsageError, match="rows or a resampler"):
        train_system(System(network="single", resampling="random_over"), problem, (0, 1), rows=rows)


def test_join_keeps_train_of_some_and_test_of_all(three):
    joined = join(three, train=["a", "c"], test=list("abc"), name="a+c")
    assert {split: int((joined.split == split).sum()) for split in SIZES} == {
        "train": 120,
        "val": 48,
        "test": 90,
    }
    moved = replace(three["a"], split=np.where(three["a"].split == "train", "test", ""))
    with pytest.raises(DataError, match="in one split"):
        join({"a": three["a"], "other": moved}, train=["a"], test=["other"], name="a")


def test_transfer_matrix_has_every_pair_constants_and_claims(three, tmp_path):
    result, table = run_transfer(three, seeds=range(2), epochs=8)
    assert [row.name for row in result.rows] == [
        *three,
        POOLED,
        OTHERS,
        *(f"always {label}" for label in LABELS),
        CHANCE,
    ]
    assert all(list(row.metrics) == list(three) for row in result.rows)
    found = {row.name: {k: v.mean for k, v in row.metrics.items()} for row in result.rows}
    # b is as a, c has negative and positive swapped.
    assert found["a"]["a"] > 0.8
    assert found["a"]["b"] > 0.8
    assert found["a"]["c"] < 0.5
    assert found["always neutral"]["a"] < 0.3
    assert len(result.extra["claims"]) == 9
    assert table.values("a")["b"].shape == (2,)
    assert result.write(tmp_path)[0].is_file()
    (picture,) = draw_matrix(table, tmp_path)
    assert picture.stat().st_size > 1000
    with pytest.raises(DataError, match="two corpora"):
        run_transfer({"a": three["a"]}, seeds=range(2))


def test_each_pair_is_scored_once_on_the_same_test_part(three):
    _, table = run_transfer({n: three[n] for n in "ab"}, seeds=range(2), epochs=1)
    scored = table.own["a"].parts.test._scored
    assert {name for name, _ in scored} >= {"a -> a", "b -> a", f"{POOLED} -> a", f"{OTHERS} -> a"}
    assert {seed for _, seed in scored} == {0, 1}


def test_a_corpus_without_training_part_only_measures(three):
    measured = replace(three["c"], split=np.full(len(three["c"]), "test"))
    corpora = {"c": measured, "a": three["a"], "b": three["b"]}
    result, table = run_transfer(corpora, seeds=range(2), epochs=1)
    assert table.taught == ("a", "b")
    assert [row.name for row in result.rows][:3] == ["a", "b", POOLED]
    assert all(set(row.metrics) == set("abc") for row in result.rows)
    assert len(table.own["c"].parts.test) == len(measured)
    assert len(result.extra["claims"]) == 7
    with pytest.raises(DataError, match="two corpora"):
        run_transfer({"c": measured, "a": three["a"]}, seeds=range(2))


def test_learning_curves_verdicts_and_constants(three, tmp_path):
    weak = corpus("a", seed=0)
    noise = np.random.default_rng(3).normal(size=(114, 4)).astype(np.float32)
    blind = replace(weak, features={Modality.TEXT: Features("noise", tuple("abcd"), noise)})
    data = {"a": {GLOVE: blind, MINILM: weak}, "v": {BERT: three["b"]}}
    result, table = run_text_encoder(data, seeds=range(2), sizes=(15, 30, 5000), epochs=4)
    names = [row.name for row in result.rows]
    assert names[:2] == [f"a: {GLOVE}, {NETWORK}", f"a: {GLOVE}, {LOGISTIC}"]
    assert f"v: {BERT}, {NETWORK}" in names
    assert {f"{c}: always {label}" for c in "av" for label in LABELS} <= set(names)
    assert list(result.rows[0].metrics) == ["n=15", "n=30", ALL]
    assert all(values.shape == (2,) for curve in table.curves.values() for values in curve.values())
    judged = {claim["claim"]: claim["verdict"] for claim in result.extra["claims"]}
    assert len(judged) == 2 * 3 + 3
    assert "holds" not in judged.values()
    json.dumps(result.extra, allow_nan=False)
    (picture,) = draw_curves(table, data, tmp_path)
    assert picture.stat().st_size > 1000


def test_subsets_are_the_same_for_every_encoder(three, monkeypatch):
    seen: list[list[list[int]]] = []

    def train(system, problem, seeds, *, rows=None):
        seen.append([] if rows is None else [own.tolist() for own in rows])
        return train_system(system, problem, seeds, rows=rows)

    monkeypatch.setattr(text_encoder, "train_system", train)
    run_text_encoder(
        {"a": {GLOVE: three["a"], MINILM: three["a"]}}, seeds=range(2), sizes=(10, 20), epochs=1
    )
    glove, minilm = seen[:3], seen[3:]
    assert glove == minilm
    small, large, whole = glove
    assert whole == []
    assert [own[:10] for own in large] == small
    assert small[0] != small[1]


def test_glove_of_the_data_root_and_its_means(tmp_path, three):
    path = tmp_path / GLOVE_FILE
    path.parent.mkdir()
    vectors = np.array([[1, 0], [0, 2]], np.float16)
    np.savez(path, words=np.array(["text", "good"]), vectors=vectors)
    glove = read_glove(tmp_path)
    assert (glove.dimensions, len(glove), glove.source) == (2, 2, "glove-6b-2d")
    data = with_glove(three["a"], glove)
    assert data.features[Modality.TEXT].values[0].tolist() == [0.5, 0]  # "text 0"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="get it anew"):
        read_glove(tmp_path)


def test_repeated_texts_counts_test_texts_of_train(three):
    # Texts repeat after 100: rows 100 to 113 of test are rows 0 to 13 of train.
    assert repeated_texts(three["a"]) == 14


def test_embeddings_are_computed_once_and_damage_is_mended(tmp_path, monkeypatch):
    calls: list[int] = []

    def compute(texts: Sequence[str]) -> np.ndarray:
        calls.append(len(texts))
        return np.array([[len(text), 1] for text in texts], np.float32)

    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding, "_minilm", compute)
    first = embedding.embed_texts(["ab", "c"])
    assert np.array_equal(embedding.embed_texts(["ab", "c"]), first)
    assert calls == [2]
    assert embedding.embed_texts(["a", "bc"])[0, 0] == 1  # other texts, though joined they are the same
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(b"")
    assert np.array_equal(embedding.embed_texts(["ab", "c"]), first)
    assert calls == [2, 2, 2]
    with pytest.raises(UsageError, match="expected an encoder"):
        embedding.embed_texts(["ab"], encoder="bert")


def test_minilm_embeds_in_the_order_of_the_texts(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path))
    texts = ["a long sentence about a very good film", "awful", "a really good movie"]
    found = embedding.embed_texts(texts)
    assert found.shape == (3, 384)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[2] > found[0] @ found[1]


def _write_tables(root, rows: int = 60) -> None:
    """MELD, SST-5 and MOSEI in small; published counts do not fit, so the protocol check is off."""
    words = ("awful", "table", "lovely")
    (root / "meld").mkdir(parents=True)
    for i, name in enumerate(("train", "dev", "test")):
        with (root / "meld" / f"{name}_sent_emo.csv").open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(
                ["Utterance", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime"]
            )
            for k in range(rows):
                text = f"{words[k % 3]} {name} {k}"
                table.writerow([text, LABELS[k % 3], k, i, "00:00:01,000", "00:00:02,000"])
    (root / "sst5").mkdir()
    for name in ("train", "dev", "test"):
        lines = [f"{(0, 2, 4)[k % 3]},{words[k % 3]} film {name} {k}" for k in range(rows)]
        (root / "sst5" / f"{name}.csv").write_text("\n".join(["label,text", *lines]), encoding="utf-8")
    (root / "cmu_mosei").mkdir()
    with (root / "cmu_mosei" / "segments.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["video_id", "sentiment", "text"])
        for k in range(3 * rows):
            table.writerow([f"v{k}", (-1, 0, 1)[k % 3], f"sp {words[k % 3]} {k}"])


@pytest.fixture
def small_root(tmp_path, monkeypatch):
    from trivalent.lab.datasets import entry

    def embed(texts: Sequence[str], *, encoder: str = "minilm") -> np.ndarray:
        found = [[float(w in text) for w in ("awful", "table", "lovely")] for text in texts]
        noise = np.random.default_rng(0).normal(0, 0.1, (len(texts), 3))
        return (np.array(found) + noise).astype(np.float32)

    monkeypatch.setattr(entry, "check_counts", lambda data, protocol: None)
    monkeypatch.setattr(corpora_module, "embed_texts", embed)
    for module in (transfer, text_encoder):
        monkeypatch.setattr(module, "classifier", lambda samples, *, epochs: classifier(samples, epochs=1))
    words = {"awful": 0, "table": 1, "lovely": 2}
    glove = GloVe(words, np.eye(3, dtype=np.float32), source="made")
    monkeypatch.setattr("trivalent.lab.benchmarks.text_encoder.read_glove", lambda root: glove)
    _write_tables(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["transfer", "text-encoder"])
def test_benchmarks_run_from_tables_to_pictures(name, small_root, tmp_path):
    out = tmp_path / "out"
    result, written = run_benchmark(name, root=small_root, out=out, seeds=2)
    assert {path.suffix for path in out.iterdir()} == {".json", ".md", ".png"}
    content = json.loads(written[0].read_text(encoding="utf-8"))
    assert content["benchmark"] == name
    assert content["seeds"] == [0, 1]
    assert any("left out" in caveat for caveat in result.caveats)
    assert any("always" in row["name"] for row in content["rows"])
    assert str(small_root) not in written[0].read_text(encoding="utf-8")


def test_absent_corpora_are_named_or_refused(small_root, tmp_path):
    found, absent = read_corpora(small_root, ("meld", "tweeteval", "mosei"))
    assert list(found) == ["meld", "mosei"]
    assert absent == ("tweeteval",)
    assert "sp" not in found["mosei"].texts[0].split()
    assert set(found["mosei"].split) == {"test"}, "of the official test fold: nothing of it teaches"
    with pytest.raises(DataError, match="expected sst5 or meld"):
        read_corpora(tmp_path / "nowhere", ("sst5", "meld"))


def test_both_are_registered():
    assert {"transfer", "text-encoder"} <= set(BENCHMARKS)
