"""IEMOCAP on a small folder in the official layout, with the odd lines of the release."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.core.errors import DataError
from trivalent.core.types import Sentiment
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.iemocap import EMOTIONS, iemocap_wavs, read_iemocap
from trivalent.lab.datasets.registry import DATASETS

ENTRY = DATASETS["iemocap"]
HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
ANNOTATORS = (
    "C-E2:\tNeutral;\t()\nC-E3:\tNeutral; Frustration;\t(a bit [tired])\nC-F1:\tOther;\t()\n"
    "A-E3:\tval 3; act 2; dom  2;\t()\nA-F1:\tval 2; act 2; dom  2;\t()\n\n"
)
FIRST = (
    ("[6.2901 - 8.2357]", "Ses01F_impro01_F000", "neu", "[2.5000, 2.5000, 2.5000]"),
    ("[10.0100 - 11.3925]", "Ses01F_impro01_F001", "xxx", "[2.5000, 2.5000, 2.5000]"),
    ("[8.2357 - 10.0100]", "Ses01F_impro01_M000", "exc", "[4.0000, 3.5000, 3.0000]"),
    ("[12 - 13.5]", "Ses01F_impro01_M001", "sur", "[3.5000, 3.5000, 3.0000]"),
    ("[14.0000 - 15.0000]", "Ses01F_impro01_MXX0", "fru", "[2.0000, 3.5000, 3.0000]"),
    ("[16.0000 - 17.0000]", "Ses01F_impro01_F002", "oth", "[3.0000, 3.5000, 3.0000]"),
)
FIFTH = (
    ("[1.0000 - 4.0000]", "Ses05M_script01_1b_M000", "hap", "[5.5000, 3.5000, 3.0000]"),
    ("[5.0000 - 7.5000]", "Ses05M_script01_1b_F000", "ang", "[1.0000, 4.5000, 4.0000]"),
    ("[8.0000 - 9.0000]", "Ses05M_script01_1b_F001", "dis", "[2.6667, 4.5000, 4.0000]"),
)
FIRST_TEXTS = (
    "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.",
    "Ses01F_impro01_M000 [008.2357-010.0100]: Do you have your forms, Jos\xe9?",
    "Ses01F_impro01_F001 [010.0100-011.3925]: Yeah.",
    "M: [LAUGHTER]",
    "Ses01F_impro01_FXX0 [011.3925-012.0000]: [BREATHING]",
)


def summary(*cells: str) -> str:
    return "\t".join(cells) + "\n" + ANNOTATORS


def write_session(
    root: Path, dialogue: str, rows: tuple[tuple[str, ...], ...], texts: tuple[str, ...]
) -> Path:
    session = root / "IEMOCAP_full_release" / f"Session{int(dialogue[3:5])}"
    for folder in ("dialog/EmoEvaluation", "dialog/transcriptions", f"sentences/wav/{dialogue}"):
        (session / folder).mkdir(parents=True, exist_ok=True)
    content = HEADER + "".join(summary(*row) for row in rows)
    (session / "dialog/EmoEvaluation" / f"{dialogue}.txt").write_text(content, "latin-1")
    (session / "dialog/EmoEvaluation" / "Categorical").mkdir(exist_ok=True)
    (session / "dialog/transcriptions" / f"{dialogue}.txt").write_text("\n".join(texts), "latin-1")
    for row in rows:
        (session / "sentences/wav" / dialogue / f"{row[1]}.wav").write_bytes(b"RIFF")
    for twin in ("dialog/EmoEvaluation/._a.txt", f"sentences/wav/{dialogue}/._a.wav"):
        (session / twin).write_bytes(b"\x00\x05\x16\x07[1 - 2]")
    return session


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_session(tmp_path, "Ses01F_impro01", FIRST, FIRST_TEXTS)
    write_session(tmp_path, "Ses05M_script01_1b", FIFTH, ())
    return tmp_path


def read(root: Path, protocol: str = "emotion") -> Dataset:
    return ENTRY.read(root, protocol)


def test_emotions(root: Path) -> None:
    data = read(root)
    assert data.ids.tolist() == [
        *("Ses01F_impro01_F000", "Ses01F_impro01_M000", "Ses01F_impro01_MXX0"),
        *("Ses05M_script01_1b_M000", "Ses05M_script01_1b_F000", "Ses05M_script01_1b_F001"),
    ]
    assert data.labels.tolist() == [1, 2, 0, 2, 0, 0]
    assert data.split.tolist() == ["train"] * 3 + ["test"] * 3
    assert data.groups.tolist() == ["Session1"] * 3 + ["Session5"] * 3
    np.testing.assert_allclose(data.seconds, [1.9456, 1.7743, 1, 3, 2.5, 1])
    np.testing.assert_allclose(data.scores, [-0.75, 1.5, -1.5, 3, -3, -0.49995])
    assert data.texts == ("Excuse me.", "Do you have your forms, José?", "", "", "", "")
    assert data.dropped == {
        "sessions absent": 3,
        "annotators disagree (xxx)": 1,
        "surprised (sur), of either sentiment": 1,
        "other emotions (oth)": 1,
        "transcribed turns that nobody evaluated (XX among them)": 1,
        "valences clipped to 1 to 5": 1,
    }


def test_valence(root: Path) -> None:
    data = read(root, "valence")
    assert data.labels.tolist() == [0, 0, 2, 2, 0, 1, 2, 0, 1]
    assert len(data) == len(FIRST) + len(FIFTH)


def test_every_emotion_is_mapped() -> None:
    by_class = {s: {e for e, mapped in EMOTIONS.items() if mapped is s} for s in Sentiment}
    assert by_class[Sentiment.POSITIVE] == {"hap", "exc"}
    assert by_class[Sentiment.NEUTRAL] == {"neu"}
    assert by_class[Sentiment.NEGATIVE] == {"ang", "sad", "fru", "fea", "dis"}


def test_sessions_are_splits(tmp_path: Path) -> None:
    for i in range(1, 6):
        row = ("[1 - 2]", f"Ses0{i}F_impro01_F000", "neu", "[3, 3, 3]")
        write_session(tmp_path, f"Ses0{i}F_impro01", (row,), ())
    data = read(tmp_path)
    assert data.split.tolist() == ["train", "train", "train", "val", "test"]
    assert not data.dropped


def test_odd_evaluations(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = (
        *FIRST,
        FIRST[0],  # repeated
        ("[8.2357 - 10.0100]", "Ses01F_impro01_M000", "ang", "[4.0000, 3.5000, 3.0000]"),  # contradicts
        ("[3.0 - 2.0]", "Ses01F_impro01_F003", "ang", "[2, 2, 2]"),
        ("[2.0 - 3.0]", "Ses01F_impro01_F004", "ang", "[7.5, 2, 2]"),
        ("[2.0 - 3.0]", "Ses01F_impro01_F005", "ang"),
        ("[2.0 - 3.0]", "Ses09F_impro01_F005", "ang", "[2, 2, 2]"),
        ("[2.0 - 3.0]", "Ses01F_impro01_F006", "bored", "[2, 2, 2]"),
    )
    write_session(root, "Ses01F_impro01", rows, FIRST_TEXTS)
    data = read(root)
    assert "Ses01F_impro01_M000" not in data.ids
    assert len(data) == 5
    assert (
        data.dropped.items()
        >= {
            "lines repeated": 1,
            "utterances evaluated twice, differently": 1,
            "evaluations that end before they start": 1,
            "evaluations with a valence outside 1 to 5": 1,
            "evaluations that cannot be read": 1,
            "evaluations of an unknown session or speaker": 1,
            "unknown emotion 'bored'": 1,
        }.items()
    )
    assert "Ses01F_impro01.txt, line" in caplog.text


def test_recordings(root: Path) -> None:
    found = iemocap_wavs(root)
    assert set(found) == {row[1] for row in (*FIRST, *FIFTH)}
    assert found["Ses05M_script01_1b_F000"].parent.name == "Ses05M_script01_1b"
    with pytest.raises(DataError, match=r"expected Session\*/sentences/wav"):
        iemocap_wavs(root / "absent")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got no evaluation; unpack"):
        read_iemocap(tmp_path)
    write_session(tmp_path, "Ses01F_impro01", FIRST[1:2], ())
    with pytest.raises(DataError, match=r"with a sentiment .* protocol emotion, got none of 1"):
        read(tmp_path)


def test_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", "iemocap", "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "1 annotators disagree (xxx)" in shown
    assert "test  median 2.5 s" in shown
