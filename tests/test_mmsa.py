"""MMSA pickles: what they hold, and that nothing else in a pickle is ever run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivalent.errors import DataError
from trivalent.lab.datasets.mmsa import load_mmsa, load_restricted


def part(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    return {
        "id": [f"video{n}$_${i}" for i in range(n)],
        "raw_text": np.array([f"text {i}" for i in range(n)], dtype=object),
        "text": rng.standard_normal((n, 5, 4)).astype(np.float32),
        "audio": rng.standard_normal((n, 7, 3)),
        "vision": rng.standard_normal((n, 6, 2)),
        "audio_lengths": list(range(1, n + 1)),
        "regression_labels": np.linspace(-3, 3, n),
    }


def content() -> dict[str, Any]:
    return {"train": part(4), "valid": part(2), "test": part(3)}


def write(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


class Shell:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_split(tmp_path: Path, protocol: int) -> None:
    found = load_mmsa(write(tmp_path / "a.pkl", content(), protocol))
    assert {name: len(p) for name, p in found.items()} == {"train": 4, "val": 2, "test": 3}
    train, expected = found["train"], part(4)
    assert train.ids[0] == "video4$_$0"
    assert train.texts == ("text 0", "text 1", "text 2", "text 3")
    np.testing.assert_array_equal(train.features["text"], expected["text"])
    assert train.features["text"].dtype == np.float32
    assert train.lengths["audio"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(train.scores, [-3, -1, 1, 3])


def test_scalars_and_plain_containers(tmp_path: Path) -> None:
    value = {"a": [np.float32(1.5), (1, None, b"x")], "b": {1, 2}}
    assert load_restricted(write(tmp_path / "a.pkl", value)) == value


@pytest.mark.parametrize(
    ("value", "name"),
    [(Shell(), "system"), (Path("x"), "pathlib"), (np.random.default_rng(0), "numpy.random"), (len, "len")],
)
def test_anything_else_is_named_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hidden = {**content(), "extra": [value]}
    with pytest.raises(DataError, match=rf"a\.pkl: expected NumPy arrays .*{name}.* nothing of it was run"):
        load_mmsa(write(tmp_path / "a.pkl", hidden))
    assert not (tmp_path / "ran").exists()


def test_damaged_and_absent(tmp_path: Path) -> None:
    whole = pickle.dumps(content())
    for i, data in enumerate((b"", b"hello", whole[:200], whole[:-1], b"\x80\x09.")):
        path = tmp_path / f"{i}.pkl"
        path.write_bytes(data)
        with pytest.raises(DataError, match="damaged"):
            load_mmsa(path)
    with pytest.raises(DataError, match="No such file"):
        load_mmsa(tmp_path / "absent.pkl")


def test_other_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    with pytest.raises(DataError, match=r"expected the splits train, valid, test in a\.pkl, got list"):
        load_mmsa(write(path, [1, 2]))
    lacking = content()
    del lacking["test"]["regression_labels"]
    with pytest.raises(DataError, match=r"fields regression_labels in a\.pkl, test"):
        load_mmsa(write(path, lacking))
    short = content()
    short["valid"]["audio"] = short["valid"]["audio"][:1]
    with pytest.raises(DataError, match=r"expected 2 entries of audio in a\.pkl, valid, got 1"):
        load_mmsa(write(path, short))
    twice = content()
    twice["train"]["id"][1] = twice["train"]["id"][0]
    with pytest.raises(DataError, match=r"each id once in a\.pkl, train, got 1 repeated"):
        load_mmsa(write(path, twice))
