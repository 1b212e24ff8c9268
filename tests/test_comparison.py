"""Runs beside each other: their own figures, paired over seeds, and no ranking across samples."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import REPOSITORY
from trivalent.cli.main import main
from trivalent.core.errors import DataError, UsageError
from trivalent.core.messages import VARIABLE
from trivalent.core.texts import Language
from trivalent.lab.measure.comparison import LIMITS, Comparison, Difference, compare
from trivalent.lab.measure.comparison_files import csv_text, latex, markdown
from trivalent.lab.measure.evaluation import TITLES, baselines, figures
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.measure.said import PREDICTIONS, Said, read_said, write_said
from trivalent.lab.measure.statistics import paired_t, seed_interval

LABELS = np.repeat([0, 1, 2], [20, 50, 30])
PRIOR = np.array([0.2, 0.5, 0.3])


def part(right: float, seeds: list[int]) -> dict[str, Any]:
    """Judge answers of which a share is right, as `trivalent train` writes it."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        p = rng.dirichlet(np.ones(3), len(LABELS))
        hit = rng.random(len(LABELS)) < right
        p[hit] = 0.1 + 0.7 * np.eye(3)[LABELS[hit]]
        found.append({"seed": seed} | figures(LABELS, p.argmax(1), probabilities=p))
    means: dict[str, Any] = {}
    for name in TITLES:
        values = [own[name] for own in found]
        means[name] = {"mean": float(np.mean(values)), "low": None, "high": None}
        if len(seeds) > 1:
            interval = seed_interval(values)
            means[name] |= {"low": interval.low, "high": interval.high}
    whole = {name: {"value": own["mean"], "low": 0.25, "high": 0.75} for name, own in means.items()}
    return {
        "seeds": found,
        "mean": means,
        "ensemble": {"n": 100, "groups": 25, "figures": whole, "baselines": baselines(LABELS, PRIOR)},
    }


def content(
    name: str, right: float = 0.5, *, seeds: list[int] | None = None, **changes: Any
) -> dict[str, Any]:
    seeds = [0, 1, 2] if seeds is None else seeds
    return {
        "data": "made-up",
        "protocol": "all",
        "synthetic": False,
        "system": name,
        "seeds": seeds,
        "chosen_on": "validation",
        "validation": part(right, seeds),
        "test": part(right / 2, seeds),
    } | changes


def run(folder: Path, given: Any, *, seen: tuple[str, ...] = ("ann", "bob")) -> Path:
    (folder / "bundle").mkdir(parents=True)
    manifest = {"fusion": {"data": {"seen": seen}}}
    (folder / "bundle" / "bundle.json").write_text(json.dumps(manifest))
    text = given if isinstance(given, str) else json.dumps(given)
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Two runs that can be paired, the second much worse, and one with other seeds."""
    return [
        run(tmp_path / "a", content("first", 0.8)),
        run(tmp_path / "b", content("second", 0.1)),
        run(tmp_path / "c", content("third", 0.8, seeds=[0, 1])),
    ]


def rows(comparison: Comparison) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text(comparison))))


def test_figures_are_those_of_the_runs(three: list[Path]) -> None:
    found = compare(three)
    assert len(found.tables) == 1
    for folder, own in zip(three, found.tables[0].runs, strict=True):
        written = json.loads((folder / "metrics.json").read_text())["validation"]
        for name in LIMITS:
            assert own.mean[name].mean == written["mean"][name]["mean"]
            assert (own.ensemble[name].low, own.ensemble[name].high) == (0.25, 0.75)
            assert [seed[name] for seed in own.seeds.values()] == [s[name] for s in written["seeds"]]
    assert found.tables[0].runs[0].constants["always neutral"]["accuracy"].mean == 0.5
    first = [
        own["macro_f1"] for own in json.loads((three[0] / "metrics.json").read_text())["test"]["seeds"]
    ]
    tested = compare(three, part="test").tables[0].runs[0]
    assert [own["macro_f1"] for own in tested.seeds.values()] == first


def test_the_first_run_is_paired_with_those_of_the_same_seeds(three: list[Path]) -> None:
    table = compare(three).tables[0]
    second, third = table.pairs
    one, two = ([own["macro_f1"] for own in r.seeds.values()] for r in table.runs[:2])
    known = paired_t(one, two)
    found = second.differences["macro_f1"]
    assert (found.difference, found.p_value) == (known.difference, known.p_value)
    assert not found.undecided
    assert third.differences == {}
    assert third.reason == "not tested: other seeds (0, 1, 2; 0, 1)"
    told = {(row["run"], row["against"], row["figure"]): row["verdict"] for row in rows(compare(three))}
    assert told["first", "second", "macro_f1"] == "better"
    assert told["first", "second", "nll"] == "better"  # lower
    assert told["first", "third", ""] == "not tested"
    turned = {(row["run"], row["figure"]): row["verdict"] for row in rows(compare(three[1::-1]))}
    assert turned["second", "accuracy"] == "worse"
    assert turned["second", "nll"] == "worse"


def keep(folder: Path, right: float, *, groups: int = 25, seed: int = 0) -> None:
    """Write answers of which a share is right, in videos of four samples."""
    rng = np.random.default_rng(seed)
    decisions = np.where(rng.random(100) < right, LABELS, (LABELS + 1) % 3)
    names = np.array([f"v{i % groups}" for i in range(100)])
    parts = [Said(part, names, LABELS, decisions, np.eye(3)[decisions]) for part in ("validation", "test")]
    write_said(parts, folder / PREDICTIONS)


def test_runs_that_kept_what_they_said_are_paired_over_groups(three: list[Path]) -> None:
    plain = markdown(compare(three), Language.ENGLISH)
    assert "Not tested over videos or speakers: predictions.csv" in plain
    for folder, right in zip(three, (0.9, 0.3, 0.9), strict=True):
        keep(folder, right)
    text = (three[0] / PREDICTIONS).read_text()
    assert "v1" not in text
    second, third = compare(three).tables[0].pairs
    found = second.over_groups["macro_f1"]
    labels, one, two = (LABELS, *(read_said(f / PREDICTIONS, "validation").decisions for f in three[:2]))
    assert found.difference == pytest.approx(macro_f1(labels, one) - macro_f1(labels, two))
    assert found.low > 0
    assert third.over_groups["accuracy"] == Difference(0.0, 0.0, 0.0, 1.0)  # also without common seeds
    told = [row for row in rows(compare(three)) if row["row"] == "difference over groups"]
    assert [(row["figure"], row["verdict"]) for row in told[:1]] == [("macro_f1", "better")]
    for text in (markdown(compare(three), Language.ENGLISH), latex(compare(three), Language.ENGLISH)):
        assert "paired over videos or speakers (bootstrap)" in text
    keep(three[1], 0.3, groups=20)
    with pytest.raises(DataError, match=r"same samples in predictions.csv of first and second, got others"):
        compare(three)
    (three[1] / PREDICTIONS).write_text("part,group\nvalidation,x\n")
    with pytest.raises(DataError, match=r"figures of a run in .*predictions.csv"):
        compare(three)


def test_seeds_are_paired_by_their_number(tmp_path: Path) -> None:
    forward, backward = content("a", 0.6, seeds=[0, 1, 2]), content("b", 0.6, seeds=[2, 1, 0])
    found = compare([run(tmp_path / "a", forward), run(tmp_path / "b", backward)]).tables[0].pairs[0]
    assert found.differences["macro_f1"] == Difference(0.0, 0.0, 0.0, 1.0)
    assert found.differences["macro_f1"].undecided


@pytest.mark.parametrize("low", [-0.01, 0.0])
def test_an_interval_that_covers_zero_decides_nothing(low: float) -> None:
    assert Difference(0.1, low, 0.2, 0.04).undecided
    assert not Difference(0.1, 0.001, 0.2, 0.04).undecided


def test_intervals_stay_within_what_a_figure_can_be(tmp_path: Path) -> None:
    one, two = content("a", 0.9, seeds=[0, 1]), content("b", 0.1, seeds=[0, 1])
    one["validation"]["mean"]["macro_f1"] |= {"low": -0.4, "high": 1.8}
    one["validation"]["mean"]["nll"] |= {"low": -0.4, "high": 1.8}
    one["validation"]["seeds"][0]["macro_f1"] = 0.1
    table = compare([run(tmp_path / "a", one), run(tmp_path / "b", two)]).tables[0]
    macro, loss = (table.runs[0].mean[name] for name in ("macro_f1", "nll"))
    assert (macro.low, macro.high) == (0.0, 1.0)
    assert (loss.low, loss.high) == (0.0, 1.8)
    difference = table.pairs[0].differences["macro_f1"]
    assert (difference.low, difference.high) == (-1.0, 1.0)


def test_one_seed_has_the_interval_over_groups_alone(tmp_path: Path) -> None:
    folders = [run(tmp_path / name, content(name, seeds=[7])) for name in "ab"]
    text = markdown(compare(folders), Language.ENGLISH)
    assert text.count("| seed 7 |") == 2
    assert "mean of" not in text
    assert "their ensemble" not in text
    assert "not tested: one seed each" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(data="other"),
        lambda c: c.update(protocol="other"),
        lambda c: c.update(synthetic=True),
        lambda c: c["validation"]["ensemble"].update(n=99),
        lambda c: c["validation"]["ensemble"].update(groups=24),
        lambda c: c["validation"]["ensemble"]["baselines"]["always neutral"].update(accuracy=0.51),
    ],
)
def test_other_samples_are_in_a_table_of_their_own(tmp_path: Path, change: Any) -> None:
    other = content("other")
    change(other)
    folders = [run(tmp_path / "a", content("a")), run(tmp_path / "b", content("b"))]
    found = compare([folders[0], run(tmp_path / "c", other), folders[1]])
    assert [[r.label for r in table.runs] for table in found.tables] == [["a", "b"], ["other"]]
    assert [len(table.pairs) for table in found.tables] == [1, 0]
    for text in (markdown(found, Language.ENGLISH), latex(found, Language.ENGLISH)):
        assert "their figures cannot be ranked against each other" in text
    if other["synthetic"]:
        assert "drawn at random" in markdown(found, Language.ENGLISH)
    assert "cannot be ranked" not in markdown(compare(folders), Language.ENGLISH)


def test_tables_of_one_name_are_told_apart_by_their_speakers(tmp_path: Path) -> None:
    one, two = run(tmp_path / "a", content("a")), run(tmp_path / "b", content("b"), seen=("bob", "cleo"))
    assert len(compare([one, two]).tables) == 2
    same = run(tmp_path / "c", content("c"), seen=("bob", "ann"))
    assert len(compare([one, same]).tables) == 1
    (two / "bundle" / "bundle.json").write_text("{}")
    with pytest.raises(DataError, match=r"figures of a run in .*bundle.json.*KeyError 'fusion'"):
        compare([one, two])
    (two / "bundle" / "bundle.json").unlink()
    with pytest.raises(DataError, match=r"found no .*bundle.json"):
        compare([one, two])


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    folders = [run(tmp_path / name, content("same")) for name in "ab"]
    assert [r.label for r in compare(folders).tables[0].runs] == [f"same ({f})" for f in folders]


def test_test_figures_come_with_a_warning(three: list[Path]) -> None:
    warning = "must not be used for choosing"
    tested = compare(three, part="test")
    assert warning in markdown(tested, Language.ENGLISH)
    assert warning in latex(tested, Language.ENGLISH).split("\\caption")[1]
    assert "不得用于选择" in markdown(tested, Language.CHINESE)
    assert warning not in markdown(compare(three), Language.ENGLISH)
    assert "too good" in markdown(compare(three), Language.ENGLISH)


def test_names_act_in_no_format(tmp_path: Path) -> None:
    """Neither as a column, a link, a tag, a macro, a formula nor on a terminal."""
    name = "=a|b & [x](http://y) \\input{z} <b> 50%\n\x1b[31m"
    folders = [run(tmp_path / "a", content(name)), run(tmp_path / "b", content("plain"))]
    found = compare(folders)
    text = markdown(found, Language.ENGLISH)
    lines = [line for line in text.splitlines() if line.startswith("| =a")]
    assert len(lines) == 2
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in lines)
    assert "\\[x\\](http" in text
    assert "\\<b\\>" in text
    assert "\x1b" not in text
    tex = latex(found, Language.ENGLISH)
    assert "\\input" not in tex
    assert "=a\\textbar{}b \\& {[}x](http://y) \\textbackslash{}input\\{z\\}" in tex
    assert "50\\%" in tex
    assert all(cells["run"].startswith("'=a") for cells in rows(found) if "=a" in cells["run"])


def test_latex_is_well_formed(three: list[Path]) -> None:
    text = latex(compare(three), Language.ENGLISH)
    for environment in ("table", "tabular"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}") > 0
    for rule in ("\\toprule", "\\midrule", "\\bottomrule"):
        assert text.count(rule) == 2
    for block in re.findall(r"\\begin{tabular}{(\w+)}(.*?)\\end{tabular}", text, re.DOTALL):
        body = [line for line in block[1].splitlines() if line.endswith("\\\\")]
        assert all(len(re.findall(r"(?<!\\)&", line)) == len(block[0]) - 1 for line in body)
        assert not any(line.startswith("[") for line in body)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "Expecting value"),
        ("[1]", "list"),
        ("{}", "validation: KeyError"),
        ('{"validation": 3}', "validation: TypeError"),
        (content("x") | {"validation": {"seeds": []}}, "KeyError 'ensemble'"),
    ],
)
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, given: Any, reason: str) -> None:
    folder = run(tmp_path / "a", given)
    with pytest.raises(DataError, match=rf"figures of a run in .*metrics.json.*{reason}"):
        compare([folder])
    with pytest.raises(DataError, match=r"expected a folder that `trivalent train` wrote"):
        compare([tmp_path])


def test_figures_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    for i, value in enumerate((None, "x", float("nan"), [])):
        wrong = copy.deepcopy(content("a"))
        wrong["validation"]["seeds"][0]["macro_f1"] = value
        with pytest.raises(DataError, match="expected the figures of a run"):
            compare([run(tmp_path / f"{i}", wrong)])


def test_impossible_requests(three: list[Path]) -> None:
    with pytest.raises(UsageError, match="different folders"):
        compare([three[0], three[0] / ".." / "a"])
    with pytest.raises(UsageError, match="a part among validation, test"):
        compare(three, part="train")


def test_command(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(map(str, three))
    assert main(["compare", *names]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Runs on validation data\n")
    for suffix in (".md", ".csv", ".tex"):
        target = tmp_path / f"t{suffix}"
        assert main(["compare", *names, "-o", str(target)]) == 0
        assert capsys.readouterr().out == f"{target}\n"
    assert (tmp_path / "t.md").read_text(encoding="utf-8") == printed
    assert main(["compare", *names, "-o", str(tmp_path / "t.pdf")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert ".md, .csv or .tex" in error
    assert not (tmp_path / "t.pdf").exists()
    monkeypatch.setenv(VARIABLE, "zh")
    assert main(["compare", names[0], str(tmp_path)]) == 1
    assert "请给出这样的文件夹" in capsys.readouterr().err


def test_runs_that_were_trained(real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    from trivalent.lab.train import train

    fast = ["seeds=[0,1]", "training.epochs=1", "conformal_split=never"]
    for name in ("concatenation", "attention"):
        recipe = REPOSITORY / "recipes" / f"{name}.yaml"
        train(recipe, out=tmp_path / name, overrides=fast, root=real_data)
    table = compare([tmp_path / "concatenation", tmp_path / "attention"]).tables[0]
    assert [r.label for r in table.runs] == ["concatenation", "attention"]
    assert (table.runs[0].samples, table.runs[0].data) == (86, "mosei-922")
    assert table.pairs[0].differences.keys() == LIMITS.keys()
    one, two = (own.ensemble["macro_f1"].mean for own in table.runs)
    assert table.pairs[0].over_groups["macro_f1"].difference == pytest.approx(one - two)
