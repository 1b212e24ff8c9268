"""CONTRIBUTING.md names files, tests and pages that are there, and so does the list of slow tests."""

from __future__ import annotations

import re

from conftest import REPOSITORY, slow_tests

TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_files_it_names_are_there() -> None:
    folders = ("src", "tests", "tools", "benchmarks", "recipes", "docs")
    there = [f"/{p.relative_to(REPOSITORY)}" for name in folders for p in (REPOSITORY / name).rglob("*.*")]
    named = set(re.findall(r"`(?:python )?([\w./-]+\.(?:py|toml|js|md))`", TEXT))
    assert len(named) > 15
    assert not [name for name in named if not any(path.endswith(f"/{name}") for path in there)]


def test_its_links_and_its_one_test_lead_somewhere() -> None:
    assert not [to for to in re.findall(r"\]\(([^)]+)\)", TEXT) if not (REPOSITORY / to).is_file()]
    file, name = re.findall(r"pytest (\S+)::(\w+)", TEXT)[0]
    assert f"def {name}(" in (REPOSITORY / file).read_text(encoding="utf-8")


def test_slow_tests_are_there() -> None:
    gone = []
    for test in slow_tests():
        file, _, name = test.partition("::")
        path = REPOSITORY / file
        # an example in a docstring is called after what it documents, a machine of states after its case
        last = name.rpartition(".")[2].partition("::")[0]
        defined = rf"^\s*((async )?def|class) {last}\b|^{last} = "
        module = (last == path.parent.name and path.name == "__init__.py") or last == path.stem
        if not path.is_file() or not (
            module or re.search(defined, path.read_text(encoding="utf-8"), re.MULTILINE)
        ):
            gone.append(test)
    assert not gone, "delete their lines, or run: pytest --write-slow"
