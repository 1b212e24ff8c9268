"""`trivalent evaluate`: figures as by hand, foreign columns refused with their difference, caveats told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra train")
metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra train")

from fusion_bundles import (  # noqa: E402
    COLUMNS,
    EXTRACTORS,
    save_small,
    small_bundle,
    small_network,
)
from fusion_bundles import answers as ask  # noqa: E402
from trivalent.bundle.decision import Answers  # noqa: E402
from trivalent.bundle.encoder import EncoderSpec  # noqa: E402
from trivalent.bundle.network import DataSpec, ModalitySpec  # noqa: E402
from trivalent.cli.main import main  # noqa: E402
from trivalent.core.errors import DataError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.features.cleaning import Cleaner  # noqa: E402
from trivalent.lab.bundles import export_bundle  # noqa: E402
from trivalent.lab.datasets.dataset import Dataset, Features  # noqa: E402
from trivalent.lab.datasets.entry import Entry  # noqa: E402
from trivalent.lab.datasets.mosei_922 import BLOCKS  # noqa: E402
from trivalent.lab.datasets.protocols import Protocol  # noqa: E402
from trivalent.lab.measure import evaluate as module  # noqa: E402
from trivalent.lab.measure.evaluate import evaluate, render_text  # noqa: E402
from trivalent.lab.measure.evaluation import TITLES, by_class, figures, intervals, report  # noqa: E402
from trivalent.lab.measure.metrics import bootstrap_interval, macro_f1  # noqa: E402


def predictions(n: int = 120, seed: int = 0) -> tuple[np.ndarray, Answers, list[str]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    p = rng.dirichlet(np.ones(3), size=n) * 0.6 + 0.4 * np.eye(3)[labels]
    decisions = (p / [0.3, 0.5, 0.5]).argmax(1)
    confidence = p[np.arange(n), decisions]
    answers = Answers(p, decisions, confidence, confidence > 0.5, p > 0.2)
    return labels, answers, [f"v{i // 5}" for i in range(n)]


def dataset(name: str = "made-up", *, n: int = 60, synthetic: bool = False, seen: bool = False) -> Dataset:
    rng = np.random.default_rng(3)
    blocks = {
        m: Features(EXTRACTORS[m], c, rng.normal(size=(n, len(c))).astype(np.float32))
        for m, c in COLUMNS.items()
    }
    groups = np.array([f"v{i // 3}" for i in range(n)], dtype="<U8")
    groups[:6] = "seen" if seen else "v0"
    empty = np.full(n, np.nan)
    ids, split, labels = np.arange(n).astype(str), np.full(n, "test"), rng.integers(3, size=n)
    return Dataset(name, "all", ids, groups, split, labels, empty, empty, blocks, synthetic=synthetic)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save_small(tmp_path)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch):
    """Register a data set under its name."""

    def register(data: Dataset) -> Dataset:
        entry = Entry(data.name, "", "", "", (Protocol("all", ""),), lambda *_: data)
        monkeypatch.setattr(module, "find_dataset", lambda name, **_: entry)
        return data

    return register


def test_figures_equal_those_of_scikit_learn() -> None:
    labels, answers, _ = predictions()
    found = figures(labels, answers.decisions, probabilities=answers.probabilities)
    said = answers.decisions
    expected = {
        "accuracy": metrics.accuracy_score(labels, said),
        "macro_f1": metrics.f1_score(labels, said, average="macro"),
        "weighted_f1": metrics.f1_score(labels, said, average="weighted"),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, said),
        "mcc": metrics.matthews_corrcoef(labels, said),
        "nll": metrics.log_loss(labels, answers.probabilities),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert list(found) == list(TITLES)
    table = metrics.precision_recall_fscore_support(labels, said)
    for i, own in enumerate(by_class(labels, said).values()):
        assert list(own.values()) == pytest.approx([float(column[i]) for column in table])


def test_intervals_equal_the_bootstrap_of_one_metric() -> None:
    labels, answers, groups = predictions()
    found = intervals(
        labels, answers.decisions, probabilities=answers.probabilities, groups=groups, rounds=50, seed=4
    )
    alone = bootstrap_interval(
        lambda y, said: macro_f1(y, said.astype(int)),
        labels,
        probabilities=answers.decisions.astype(float),
        groups=groups,
        rounds=50,
        seed=4,
    )
    assert found["macro_f1"] == pytest.approx(alone)


def test_report_by_hand() -> None:
    labels, answers, groups = predictions()
    prior = np.array([0.2, 0.5, 0.3])
    content = report(labels, answers, groups=groups, prior=prior, coverage=0.9, rounds=0)
    assert (content["n"], content["groups"]) == (120, 24)
    assert content["figures"]["accuracy"]["low"] is None
    assert content["baselines"]["always neutral"]["accuracy"] == (labels == 1).mean()
    assert content["baselines"]["always neutral"]["nll"] == pytest.approx(-np.log(prior)[labels].mean())
    assert content["sets"]["coverage"] == answers.sets[np.arange(120), labels].mean()
    assert content["abstention"]["answered"] == answers.answered.mean()
    right = (labels == answers.decisions)[answers.answered].mean()
    assert content["abstention"]["accuracy_of_answers"] == right
    nobody = replace(answers, answered=np.zeros(120, bool))
    content = report(labels, nobody, groups=groups, prior=prior, coverage=0.9, rounds=0)
    assert content["abstention"]["accuracy_of_answers"] is None
    json.dumps(content, allow_nan=False)


def test_evaluation_of_a_bundle(bundle: Path, use) -> None:
    data = use(dataset())
    content = evaluate(bundle, data="made-up", root=Path(), rounds=30)
    features = {m: (f.values, f.columns) for m, f in data.features.items()}
    said = ask(small_bundle(), features).decisions
    assert content["figures"]["accuracy"]["value"] == (said == data.labels).mean()
    assert (content["split"], content["protocol"], content["modalities"]) == (
        "test",
        "all",
        ["text", "face"],
    )
    assert content["caveats"] == []
    text = render_text(content)
    for title in [*TITLES.values(), "precision", "always negative", "stated: 90 %", "answered"]:
        assert title in text


def test_a_zip_is_judged_as_its_folder(bundle: Path, use, tmp_path: Path) -> None:
    use(dataset())
    packed = export_bundle(bundle, tmp_path / "small.zip")
    found = [evaluate(where, data="made-up", root=Path(), rounds=0) for where in (bundle, packed)]
    assert found[0] == found[1]


def test_modalities_may_be_left_out(bundle: Path, use) -> None:
    data = use(dataset())
    use(replace(data, features={Modality.TEXT: data.features[Modality.TEXT]}))
    with pytest.raises(DataError, match="face: openface2 against no features"):
        evaluate(bundle, data="made-up", root=Path())
    content = evaluate(bundle, data="made-up", root=Path(), modalities=["text"], rounds=0)
    assert content["modalities"] == ["text"]
    for names, message in ((["smell"], "modality of small, got 'smell'"), ([], "one modality or more")):
        with pytest.raises(UsageError, match=message):
            evaluate(bundle, data="made-up", root=Path(), modalities=names)


def test_other_columns_and_extractors_are_listed(bundle: Path, use) -> None:
    data = dataset()
    text, face = (data.features[m] for m in COLUMNS)
    use(
        replace(
            data,
            features={
                Modality.TEXT: replace(text, extractor="glove"),
                Modality.FACE: replace(face, columns=("f0", "AU01_r", "AU02_r")),
            },
        )
    )
    message = (
        r"expected the features of small, trained on made-up, got others in made-up: "
        r"text: bert against glove; face: 2 of 3 columns are absent \(f1, f2\), 2 are others "
        r"\(AU01_r, AU02_r\); choose"
    )
    with pytest.raises(DataError, match=message):
        evaluate(bundle, data="made-up", root=Path())


def test_caveats(bundle: Path, use) -> None:
    use(dataset(seen=True))
    (caveat,) = evaluate(bundle, data="made-up", root=Path(), rounds=0)["caveats"]
    assert "6 of 60 samples are of videos or speakers with names that occur" in caveat
    use(dataset("other", synthetic=True))
    caveats = evaluate(bundle, data="other", root=Path(), rounds=0)["caveats"]
    assert [c.split(":")[0] for c in caveats] == ["features drawn at random", "another data set"]
    data = dataset()
    use(replace(data, split=np.full(60, "val")))
    (caveat,) = evaluate(bundle, data="made-up", root=Path(), split="val", rounds=0)["caveats"]
    assert "val is no test" in caveat


def test_usage(bundle: Path, use, capsys: pytest.CaptureFixture[str]) -> None:
    use(dataset())
    with pytest.raises(UsageError, match="expected a known split, got 'tset'; did you mean 'test'"):
        evaluate(bundle, data="made-up", root=Path(), split="tset")
    with pytest.raises(DataError, match=r"expected samples in train of made-up.*splits with samples: test"):
        evaluate(bundle, data="made-up", root=Path(), split="train")
    with pytest.raises(UsageError, match="0 or more rounds"):
        evaluate(bundle, data="made-up", root=Path(), rounds=-1)
    assert main(["evaluate", str(bundle / "no"), "--data", "made-up", "--root", str(bundle)]) == 1
    assert main(["evaluate", str(bundle), "--data", "made-up", "--root", str(bundle), "--split", "x"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2
    assert "a folder or .zip with bundle.json" in error[0]


def test_command_on_real_videos(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle over two columns of each real block, here with the graph of the small one."""
    modalities = {
        m: ModalitySpec(
            EncoderSpec(BLOCKS[m][1]), Cleaner(columns, *(np.ones((3, len(columns))) * [[0], [0], [9]]))
        )
        for m, columns in ((m, BLOCKS[m][2][3 : 3 + len(c)]) for m, c in COLUMNS.items())
    }
    data = DataSpec("mosei-922", "video-mean", "research", (0.3, 0.1, 0.6))
    save_small(tmp_path, fusion=small_network(modalities=modalities, data=data))
    command = ["evaluate", str(tmp_path), "--data", "mosei-922", "--root", str(real_data), "--rounds", "20"]
    assert main([*command, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["schema"], content["protocol"], content["n"]) == (
        "trivalent.evaluation/1",
        "video-mean",  # the bundle's own
        180,
    )
    assert sum(map(sum, content["confusion"])) == 180
    assert main([*command, "--protocol", "sdk-subset", "--modalities", "text"]) == 0
    printed = capsys.readouterr()
    assert "protocol sdk-subset, test; text\n" in printed.out
    assert printed.err == ""
    assert main([*command[:3], "mosi", *command[4:]]) == 1
    assert "text: bert against no features" in capsys.readouterr().err
