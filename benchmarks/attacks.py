"""The attacks of tests/test_attacks_*.py against this version and a former one.

Usage: python benchmarks/attacks.py [--before COMMIT] [-o DIR]; writes results/attacks.*

Both run the same tests, of this version; the former source is checked out beside the repository for as
long as it takes. An attack that needs a part which the former version lacks is not counted there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results_file import FOLDER, REPOSITORY, Result

FORMER = "e45ff70"  # what was attacked on the hostile day
LIMIT_S = 3600.0  # of one file of tests, in which each attack is bounded by itself


@dataclass(frozen=True)
class Run:
    """Attacks of one finding on one version, added up."""

    attempts: int = 0
    withstood: int = 0
    seconds: float = 0.0
    peak_mb: float | None = None

    def plus(self, facts: dict[str, Any]) -> Run:
        """Add one attack."""
        peaks = [p for p in (self.peak_mb, facts["peak_mb"]) if p is not None]
        return Run(
            self.attempts + facts["attempts"],
            self.withstood + facts["withstood"],
            self.seconds + facts["seconds"],
            max(peaks, default=None),
        )


Attacks = dict[str, dict[str, Any]]  # by the test's name


def attacks(source: Path, files: Sequence[Path]) -> Attacks:
    """Run the tests on a source tree; what each attack noted."""
    found: Attacks = {}
    for file in files:
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report.xml"
            command = [
                sys.executable,
                "-m",
                "pytest",
                str(file),
                f"--junitxml={report}",
                "-p",
                "no:cacheprovider",
            ]
            environment = {**os.environ, "PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
            subprocess.run(
                command, cwd=REPOSITORY, env=environment, timeout=LIMIT_S, check=False, capture_output=True
            )
            found |= noted(report) if report.exists() else {}
        print(f"{file.name}: {len(found)} attacks so far", file=sys.stderr, flush=True)
    return found


def noted(report: Path) -> Attacks:
    """Read what the attacks of one run noted."""
    found: Attacks = {}
    for case in ElementTree.parse(report).iter("testcase"):
        for entry in case.iter("property"):
            if entry.get("name") == "attack":
                facts = json.loads(entry.get("value", ""))
                if facts["attempts"]:
                    found[f"{case.get('classname')}.{case.get('name')}"] = facts
    return found


def by_finding(found: Attacks, names: set[str]) -> dict[str, Run]:
    """Add up the attacks of each finding."""
    sums: dict[str, Run] = defaultdict(Run)
    for name in names:
        sums[str(found[name]["finding"])] = sums[str(found[name]["finding"])].plus(found[name])
    return dict(sums)


def main() -> None:
    """Attack both versions and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", default=FORMER, metavar="COMMIT")
    parser.add_argument("-o", "--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    files = sorted((REPOSITORY / "tests").glob("test_attacks_*.py"))
    now = attacks(REPOSITORY, files)
    with tempfile.TemporaryDirectory() as scratch:
        former = Path(scratch) / "former"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run(
            [*git, "add", "--detach", str(former), arguments.before], check=True, capture_output=True
        )
        try:
            before = attacks(former, files)
        finally:
            subprocess.run([*git, "remove", "--force", str(former)], check=True, capture_output=True)
    write(now, before, arguments.before, arguments.out)


def write(now: Attacks, before: Attacks, commit: str, out: Path) -> None:
    """Write one row for each finding."""
    result = Result("attacks", "attacks of tests/test_attacks_*.py, on loopback")
    present, former = by_finding(now, set(now)), by_finding(before, set(before) & set(now))
    for finding in sorted(present, key=lambda f: (not f.isdigit(), f.zfill(3))):
        values: dict[str, float] = {}
        for suffix, runs in (("_before", former), ("", present)):
            run = runs.get(finding)
            if run is None:
                continue
            values |= {f"attempts{suffix}": run.attempts, f"withstood{suffix}": run.withstood}
            values |= {f"seconds{suffix}": round(run.seconds, 1)}
            if run.peak_mb is not None:
                values[f"peak_mb{suffix}"] = round(run.peak_mb)
        result.add(finding, **values)
    result.caveats += [
        f"before: commit {commit}, with the tests of this version; an attack that needs a part which it "
        "lacks, or that never came to its end there, is not counted.",
        "The number of attempts differs where an attack stops at its first success.",
        "peak_mb is the resident memory of the attacked process without its children, where it is watched.",
        "seconds is the length of the attack, which ends by itself in some; it is no measure of speed.",
    ]
    result.write(out)


if __name__ == "__main__":
    main()
