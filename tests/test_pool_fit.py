"""Fitting the pool: on recordings whose answer is known, and on real talking clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import data_root

pytest.importorskip("scipy", reason="needs the extra train")

from trivalent.bundle.fusion import Beside, Opinion, Pool, combine, softmax
from trivalent.core.analysis import Analysis
from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray, Modality, Sentiment
from trivalent.lab.datasets.talking import read_talking
from trivalent.lab.fusion.pool_fit import START, FittedPool, Recordings, fit_pool, left_out
from trivalent.lab.measure.metrics import negative_log_likelihood

TEXT, AUDIO, FACE = Modality


def recordings(seed: int, *, sharpness: dict[Modality, float], n: int = 200) -> Recordings:
    """Two utterances each; the experts of a modality are as sharp as told, 0 for guessing."""
    rng = np.random.default_rng(seed)
    labels, owner = rng.integers(0, 3, n), np.repeat(np.arange(n), 2)
    opinions = {}
    for m in Modality:
        logits = sharpness.get(m, 0.0) * np.eye(3)[labels[owner]] + rng.normal(size=(2 * n, 3))
        opinions[m] = Opinion(softmax(logits), np.ones(2 * n))
    share = np.tile([0.75, 0.25], n)
    return Recordings(labels, np.array(["a", "b"])[np.arange(n) % 2], owner, share, opinions)


@given(st.integers(0, 20))
@settings(max_examples=10, deadline=None)
def test_answers_are_means_of_utterances(seed: int) -> None:
    data = recordings(seed, sharpness={TEXT: 1.0, FACE: 1.0}, n=5)
    for i, answer in enumerate(data.answers(START.pool)):
        own = np.flatnonzero(data.owner == i)
        said = [
            START.pool.posterior({m: Opinion(o.probabilities[k], 1.0) for m, o in data.opinions.items()})
            for k in own
        ]
        np.testing.assert_allclose(answer, combine(said, data.share[own].tolist()), atol=1e-12)


def test_a_modality_that_guesses_loses_its_say() -> None:
    fitted = fit_pool(recordings(0, sharpness={TEXT: 2.0, FACE: 2.0}), spread=0.5)
    assert fitted.strengths[AUDIO] < 0.7 * START.strengths[AUDIO]
    assert fitted.strengths[FACE] > fitted.strengths[AUDIO]
    again = fit_pool(recordings(0, sharpness={TEXT: 2.0, FACE: 2.0}), spread=0.5)
    assert again.pool.to_dict() == fitted.pool.to_dict()


def test_neutral_words_over_expressive_faces_lose_their_weight() -> None:
    """Words that say neutral whatever is meant, beside faces that know."""
    data = recordings(1, sharpness={FACE: 2.0})
    plain = np.tile([0.1, 0.8, 0.1], (len(data.owner), 1))
    data.opinions[TEXT] = Opinion(plain, np.ones(len(plain)))
    loud = FittedPool(Pool({TEXT: Beside(0.8, 0.8)}), START.strengths)
    fitted = fit_pool(data, start=loud, spread=0.5)
    assert fitted.pool.beside[TEXT].neutral < 0.8 * fitted.pool.beside[TEXT].polar


def test_what_was_fitted_is_better_and_no_source_judges_itself() -> None:
    data = recordings(2, sharpness={TEXT: 0.5, AUDIO: 0.2, FACE: 2.0})
    fitted = fit_pool(data)
    assert negative_log_likelihood(data.labels, fitted.answers(data)) < negative_log_likelihood(
        data.labels, START.answers(data)
    )
    seen: list[set[str]] = []

    def fit(others: Recordings):  # type: ignore[no-untyped-def]
        seen.append(set(others.groups.tolist()))
        return lambda judged: np.full((len(judged), 3), float(set(judged.groups.tolist()) != seen[-1]) / 3)

    answers = left_out(data, fit)
    assert seen == [{"b"}, {"a"}]
    np.testing.assert_array_equal(answers, np.full((len(data), 3), 1 / 3))


def test_few_recordings_leave_the_start() -> None:
    few = recordings(3, sharpness={TEXT: 2.0, FACE: 2.0}, n=4)
    held = fit_pool(few, spread=0.01)
    for m, beside in START.pool.beside.items():
        assert held.pool.beside[m].polar == pytest.approx(beside.polar, rel=0.02)


def test_a_recording_without_utterances_is_answered_by_equal_classes() -> None:
    data = recordings(4, sharpness={}, n=3)
    silent = data.owner != 1
    opinions = {m: Opinion(o.probabilities[silent], np.ones(4)) for m, o in data.opinions.items()}
    data = Recordings(data.labels, data.groups, data.owner[silent], data.share[silent], opinions)
    np.testing.assert_allclose(data.answers(Pool())[1], 1 / 3)


def test_opinions_are_read_from_analyses(clip: Analysis) -> None:
    data = Recordings.of([clip, clip], np.array([2, 0]), groups=["a", "b"])
    count = len(clip.utterances)
    assert (len(data), data.owner.tolist()) == (2, [0] * count + [1] * count)
    np.testing.assert_allclose(np.bincount(data.owner, weights=data.share), 1)
    for m, opinion in data.opinions.items():
        for k, u in enumerate(clip.utterances):
            said = u.modalities[m].probabilities
            expected: FloatArray = np.full(3, 1 / 3) if said is None else said
            np.testing.assert_array_equal(opinion.probabilities[k], expected)
    part = data.take(np.array([False, True]))
    assert (len(part), set(part.owner.tolist()), part.groups.tolist()) == (1, {0}, ["b"])


@pytest.fixture(scope="module")
def clip() -> Analysis:
    from trivalent import Analyzer

    return Analyzer("fast", threads=1).analyze(sample_path())


def sample_path() -> Path:
    from trivalent.core.assets import DATA

    return DATA / "samples" / "sample.mp4"


def test_the_list_of_talking_clips(tmp_path: Path) -> None:
    (tmp_path / "talking").mkdir()
    listed = tmp_path / "talking" / "labels.csv"
    header = "file,source,speaker,language,sentiment,transcript\n"
    listed.write_text(header + 'a.mp4,X,s1,en,positive,"Well, yes."\n', encoding="utf-8")
    (one,) = read_talking(tmp_path)
    assert (one.path, one.source, one.label) == (listed.parent / "a.mp4", "X", Sentiment.POSITIVE)
    for content in (header + "a.mp4,X,s1,en,happy,\n", "file,source\na,b\n", ""):
        listed.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match="expected the list of talking clips"):
            read_talking(tmp_path)
    with pytest.raises(DataError, match="put the clips there"):
        read_talking(tmp_path / "none")


def test_the_real_clips() -> None:
    if not (data_root() / "talking" / "labels.csv").is_file():
        pytest.skip("no talking clips; set TRIVALENT_DATA")
    clips = read_talking(data_root())
    assert len(clips) == 74
    assert {c.source for c in clips} == {"IEMOCAP", "MER"}
    assert np.bincount([c.label for c in clips]).tolist() == [41, 12, 21]
    assert all(c.path.is_file() for c in clips)
