"""The scikit-learn face: its contract, modalities in three forms, absent ones, choices on validation."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("sklearn", reason="needs the extra train")

import pandas as pd  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.metrics import f1_score  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from trivalent import lab  # noqa: E402
from trivalent.core.errors import RecipeError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab import TrivalentClassifier  # noqa: E402
from trivalent.lab.fit.losses import LOSSES  # noqa: E402
from trivalent.lab.fusion.classifier_inputs import column_groups, join_blocks, validation_rows  # noqa: E402

LAYOUT = {"text": 4, "audio": 3, "face": 2}
# None is expected to fail. Not applicable, and therefore not run by scikit-learn: NaN (the tag
# allow_nan, for NaN rows are absent modalities), sample weights, sparse input, multiple outputs.
EXPECTED_FAILURES: dict[str, str] = {}


def fast(**parameters) -> TrivalentClassifier:
    return TrivalentClassifier(**{"epochs": 4, "modalities": LAYOUT} | parameters)


def samples(
    n: int = 150, *, classes: int = 3, seed: int = 0, spread: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.normal(size=(n, 9)) + spread * y[:, None], np.array(list("abcdefg"))[y]


@parametrize_with_checks(
    [TrivalentClassifier(epochs=8)], expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_the_contract_of_scikit_learn(estimator, check) -> None:
    check(estimator)


def test_torch_is_imported_on_use_only() -> None:
    code = "import trivalent.lab, sys; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    with pytest.raises(AttributeError, match="no attribute 'Classifier'"):
        _ = lab.Classifier


def test_three_forms_of_input_agree() -> None:
    X, y = samples()
    blocks = {"face": X[:, 7:], "text": X[:, :4], "audio": X[:, 4:7]}
    names = [f"{m}_{i}" for m, n in LAYOUT.items() for i in range(n)]
    frame = pd.DataFrame(X, columns=names)
    expected = fast().fit(X, y).predict_proba(X)
    of_blocks = fast(modalities=None).fit(blocks, y)
    of_frame = fast(modalities=None).fit(frame, y)
    assert np.allclose(of_blocks.predict_proba(blocks), expected)
    assert np.allclose(of_blocks.predict_proba(X), expected)
    assert np.allclose(of_frame.predict_proba(frame), expected)
    assert of_frame.feature_names_in_.tolist() == names
    assert [str(m) for m in of_frame.modalities_] == ["text", "audio", "face"]
    by_name = {"text": names[:4], "audio": slice(4, 7), "face": [7, 8]}
    assert np.allclose(fast(modalities=by_name).fit(frame, y).predict_proba(frame), expected)


def test_absent_modalities() -> None:
    X, y = samples()
    gaps = X.copy()
    gaps[::3, :4] = np.nan  # no text
    gaps[1::3, 4:7] = np.nan  # no voice
    gaps[2, 8] = np.nan  # one cell only
    model = fast(epochs=10, modality_dropout=0.2).fit(gaps, y)
    p = model.predict_proba(gaps)
    assert np.isfinite(p).all()
    assert np.allclose(p.sum(1), 1)
    assert model.score(gaps, y) > 0.8
    alone = np.full_like(X, np.nan)
    alone[:, :4] = X[:, :4]
    # A mapping that lacks modalities says the same as rows of NaN.
    assert np.allclose(model.predict_proba({"text": X[:, :4]}), model.predict_proba(alone))
    nothing = np.full((2, 9), np.nan)
    assert np.allclose(*model.predict_proba(nothing))


def test_labels_of_any_kind_and_number() -> None:
    X, _ = samples()
    for labels in (np.arange(150) % 2 == 0, np.arange(150) % 3 * 10 - 10, np.array(["x", "y"] * 75)):
        model = fast(epochs=1).fit(X, labels)
        assert model.classes_.tolist() == sorted(set(labels.tolist()))
        assert set(model.predict(X)) <= set(labels)
        assert model.predict_proba(X).shape == (150, len(model.classes_))


@pytest.mark.parametrize(
    "network", ["attention", "linear", "concatenation", "late", "gated", "tfn", "lmf", "misa"]
)
def test_five_classes(network: str) -> None:
    X, y = samples(classes=5, spread=3.0)
    model = fast(fusion=network, epochs=15).fit(X, y)
    assert model.predict_proba(X).shape == (150, 5)
    assert model.score(X, y) > 0.6


@pytest.mark.parametrize("loss", [*LOSSES, "ce"])
@pytest.mark.parametrize("classes", [2, 4])
def test_losses_of_other_than_three_classes(loss: str, classes: int) -> None:
    X, y = samples(classes=classes, n=120, spread=3.0)
    assert fast(loss=loss, epochs=10).fit(X, y).score(X, y) > 0.6


def test_class_weights_find_the_rare_class() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [20, 200, 180])
    X = rng.normal(size=(400, 9)) + 0.5 * y[:, None]
    # Without an epoch chosen by macro-F1, which would favour the rare class either way.
    plain, weighted = (
        (fast(class_weights=w, epochs=8).fit(X, y).predict(X) == 0).sum() for w in ("none", "linear")
    )
    assert weighted > plain


@pytest.mark.parametrize("sampler", ["random_over", "random_under", "weighted_sampler", "smote", "adasyn"])
def test_resampling(sampler: str) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [20, 80, 50])
    X = rng.normal(size=(150, 9)) + y[:, None]
    if sampler in ("smote", "adasyn"):
        pytest.importorskip("imblearn")
    assert fast(resampling=sampler).fit(X, y).score(X, y) > 0.5


def test_options_of_the_resampler() -> None:
    """The more often the rare class is repeated, the more often it is predicted."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [20, 200, 180])
    X = rng.normal(size=(400, 9)) + 0.5 * y[:, None]
    found = []
    for count in (20, 1000):
        model = fast(resampling="random_over", resampling_options={"target": {0: count}}, epochs=8)
        found.append(int((clone(model).fit(X, y).predict(X) == 0).sum()))
    assert found[1] > 2 * found[0]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("decision", ["argmax", "threshold", "ratio"])
def test_decisions(decision: str, classes: int) -> None:
    X, y = samples(classes=classes, spread=0.4)
    model = fast(decision=decision, validation_fraction=0.4).fit(X, y)
    assert set(model.predict(X)) <= set(y)
    assert len(model.decision_.values) == {"argmax": 0, "threshold": 1, "ratio": 3}[decision]
    if decision == "argmax":
        assert (model.predict(X) == model.classes_[model.predict_proba(X).argmax(1)]).all()


def test_calibration_needs_enough_validation_samples() -> None:
    X, y = samples(spread=0.5)
    assert fast().fit(X, y).calibration_.scale.tolist() == [1, 1, 1]  # of 21 samples
    fitted = fast(validation_fraction=0.4).fit(X, y).calibration_
    assert fitted.scale[0] == fitted.scale[2] != 1
    vector = fast(validation_fraction=0.4, calibration="vector").fit(X, y).calibration_
    assert len(set(vector.scale.tolist())) == 3


def test_score_is_accuracy_unless_named() -> None:
    X, y = samples(spread=0.3)
    model = fast().fit(X, y)
    assert model.score(X, y) == (model.predict(X) == y).mean()
    expected = f1_score(y, model.predict(X), average="macro")
    assert model.set_params(scoring="f1_macro").score(X, y) == pytest.approx(expected)
    weight = (y == "a").astype(float)
    assert (
        model.set_params(scoring="accuracy").score(X, y, weight) == (model.predict(X) == y)[y == "a"].mean()
    )


def test_ensembles_average_logits_of_several_seeds() -> None:
    X, y = samples(spread=0.5)
    one, three = (fast(ensemble=k, calibration="none").fit(X, y) for k in (1, 3))
    assert len(set(three.seeds_)) == len(three.history_) == 3
    assert one.seeds_ == three.seeds_[:1]
    assert not np.allclose(one.predict_proba(X), three.predict_proba(X))


def test_runs_repeat_and_leave_the_global_generators_alone() -> None:
    X, y = samples(spread=0.5)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    strict = torch.are_deterministic_algorithms_enabled()
    first, again, other = (fast(random_state=s).fit(X, y).predict_proba(X) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert states[0] == random.getstate()
    assert states[1] == np.random.get_state()[1].tolist()
    assert torch.equal(states[2], torch.get_rng_state())
    assert strict == torch.are_deterministic_algorithms_enabled()
    generator = np.random.RandomState(5)
    drawn = [fast(random_state=generator).fit(X, y).seeds_ for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_predictions_survive_pickling_and_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = samples()
    model = fast().fit(X, y)
    expected = model.predict_proba(X)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), expected)
    monkeypatch.setattr("trivalent.lab.fusion.classifier._CHUNK", 7)
    assert np.allclose(model.predict_proba(X), expected, atol=1e-12)


def test_pipelines_searches_and_clones() -> None:
    X, y = samples(90, spread=0.7)
    pipeline = make_pipeline(StandardScaler(), fast(epochs=2))
    folds = GroupKFold(3)
    groups = np.arange(90) // 3
    predicted = cross_val_predict(pipeline, X, y, groups=groups, cv=folds)
    assert (predicted == y).mean() > 0.4
    search = GridSearchCV(
        fast(epochs=2), {"fusion": ["attention", "late"], "loss": ["ce", "focal"]}, scoring="f1_macro", cv=2
    )
    assert search.fit(X, y).best_params_.keys() == {"fusion", "loss"}
    model = fast(loss_options={"beta": 0.9}, network_options={"width": 32})
    assert clone(model).get_params() == model.get_params()
    frame = pd.DataFrame(X, columns=[f"text_{i}" for i in range(9)])
    assert len(cross_val_predict(fast(modalities=None, epochs=1), frame, y, cv=2)) == 90


def test_groups_stay_whole() -> None:
    y = np.arange(60) % 3
    groups = np.arange(60) // 6
    held_out = validation_rows(y, fraction=0.2, seed=0, groups=groups)
    assert not set(groups[held_out]) & set(groups[~held_out])
    assert 0 < held_out.sum() <= 18
    X, labels = samples(60)
    fast(epochs=1).fit(X, labels, groups=[f"video {g}" for g in groups])
    with pytest.raises(ValueError, match="a group for each of 60 samples"):
        fast().fit(X, labels, groups=groups[:5])
    with pytest.raises(ValueError, match="every class in two groups or more"):
        fast().fit(X, labels, groups=np.zeros(60))
    with pytest.raises(ValueError, match="every class in two groups or more"):
        validation_rows(y, fraction=0.2, seed=0, groups=y)


@pytest.mark.parametrize("fraction", [0.01, 0.15, 0.5, 0.9])
def test_every_class_keeps_a_sample_to_train_on(fraction: float) -> None:
    y = np.repeat([0, 1, 2, 3], [1, 2, 5, 30])
    held_out = validation_rows(y, fraction=fraction, seed=0)
    assert held_out.any()
    assert set(y[~held_out]) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="two samples of a class"):
        validation_rows(np.arange(4), fraction=fraction, seed=0)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"fusion": "atention"}, RecipeError, "did you mean 'attention'"),
        ({"loss": "focl"}, UsageError, "did you mean 'focal'"),
        ({"loss": "macro_f1", "class_weights": "sqrt"}, UsageError, "class_weights 'none' for the loss"),
        ({"class_weights": "root"}, UsageError, "expected a known class weighting, got 'root'"),
        ({"resampling": "smoote"}, UsageError, "did you mean 'smote'"),
        ({"resampling_options": {"target": 9}}, RecipeError, "an option of unchanged, got 'target'"),
        ({"decision": "threshhold"}, UsageError, "did you mean 'threshold'"),
        ({"network_options": {"with": 3}}, RecipeError, "did you mean 'width'"),
        ({"epochs": 0}, UsageError, "expected epochs of at least 1"),
        ({"ensemble": 0}, UsageError, "expected ensemble of at least 1"),
        ({"validation_fraction": 0.0}, UsageError, "validation_fraction"),
        ({"modality_dropout": 1.5}, UsageError, "modality_dropout"),
        (
            {"modalities": {"txt": 9}},
            UsageError,
            "expected a known modality, got 'txt'; did you mean 'text'",
        ),
        ({"modalities": {"text": 4}}, UsageError, "sum to 9, got 4"),
        ({"modalities": {"text": [0, 1], "face": [1, 2]}}, UsageError, "every column in one modality"),
        ({"modalities": {"text": slice(0, 20)}}, UsageError, "columns of text below 9"),
        ({"modalities": {"text": ["a"]}}, UsageError, "expected names of columns for text, got 'a'"),
        ({"modalities": {"text": [3, 99]}}, UsageError, "expected columns 0 to 8 for text"),
        ({"calibration": "vectr"}, UsageError, "did you mean 'vector'"),
    ],
)
def test_wrong_parameters(parameters: dict, error: type[Exception], message: str) -> None:
    X, y = samples(30)
    with pytest.raises(error, match=message):
        fast(**parameters).fit(X, y)


def test_wrong_input() -> None:
    X, y = samples(60)
    with pytest.raises(NotFittedError):
        fast().predict(X)
    with pytest.raises(ValueError, match="two classes or more in y, got 1 class"):
        fast().fit(X, np.zeros(60))
    with pytest.raises(UsageError, match="two or three classes for the decision 'ratio', got 5"):
        fast(decision="ratio").fit(*samples(classes=5))
    with pytest.raises(UsageError, match="no `modalities` beside a mapping"):
        fast().fit({"text": X}, y)
    with pytest.raises(UsageError, match="did you mean 'audio'"):
        fast(modalities=None).fit({"adio": X}, y)
    with pytest.raises(UsageError, match=r"arrays of one length, got 59, 60"):
        join_blocks({"text": X, "face": X[1:]})
    model = fast(epochs=1).fit(X, y)
    with pytest.raises(UsageError, match="4 columns of text as fitted, got 3"):
        model.predict({"text": X[:, :3]})
    with pytest.raises(ValueError, match="8 features, but TrivalentClassifier is expecting 9"):
        model.predict(X[:, :8])
    mixed = pd.DataFrame(X[:, :2], columns=["text_0", "age"])
    with pytest.raises(UsageError, match=r"begin with text_, audio_ or face_ as some do, got 'age'"):
        fast(modalities=None).fit(mixed, y)


def test_columns_without_prefix_are_one_block() -> None:
    for names in (None, ["a", "b"], ["texts_1", "text"]):
        assert {str(m): c.tolist() for m, c in column_groups(None, 2, names=names).items()} == {
            "text": [0, 1]
        }
    X, y = samples()
    for network in ("attention", "single"):
        model = fast(fusion=network, modalities=None).fit(X, y)
        assert list(model.modalities_) == [Modality.TEXT]


def test_left_out_columns_do_not_matter() -> None:
    X, y = samples()
    model = fast(modalities={"text": [5, 2], "face": slice(7, 9)}).fit(X, y)
    changed = X.copy()
    changed[:, [0, 1, 3, 4, 6]] = 99
    assert np.array_equal(model.predict_proba(changed), model.predict_proba(X))
    assert np.allclose(
        model.predict_proba({"text": X[:, [5, 2]], "face": X[:, 7:]}), model.predict_proba(X)
    )
