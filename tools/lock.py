"""Write requirements/*.txt: exact versions with hashes, and the bill of materials.

Usage: pip install pip-tools cyclonedx-bom; python tools/lock.py

torch is left out: its build for the CPU lies on an index of its own, so that everyone chooses it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "requirements"
LOCKS = {"base": (), "app": ("app",), "ci": ("dev",)}
QUIET = ("--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links", "--no-header", "--quiet")
# two sentences that name the place of the checkout, or that always follow packages left out
_NOISE = re.compile(r"^# (The following packages|WARNING).*(\n#.*)*\n?", re.MULTILINE)


def lock(name: str, extras: tuple[str, ...]) -> None:
    """Resolve one set of extras."""
    target = FOLDER / f"{name}.txt"
    command = [sys.executable, "-m", "piptools", "compile", "--generate-hashes", "--strip-extras", *QUIET]
    command += ["--unsafe-package", "torch", "--unsafe-package", "trivalent"]
    command += [f"--extra={extra}" for extra in extras]
    command += ["--output-file", str(target), "pyproject.toml"]
    subprocess.run(command, check=True, cwd=REPOSITORY)
    text = _NOISE.sub("", target.read_text(encoding="utf-8"))
    target.write_text(text.rstrip() + "\n", encoding="utf-8")


def bill_of_materials() -> None:
    """List what the app's lock holds, as CycloneDX, without times and serial numbers."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(FOLDER / "app.txt")]
    command += ["--pyproject", str(REPOSITORY / "pyproject.toml"), "--output-reproducible"]
    made = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY).stdout
    (FOLDER / "sbom.json").write_text(json.dumps(json.loads(made), indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for name, extras in LOCKS.items():
        lock(name, extras)
    bill_of_materials()


if __name__ == "__main__":
    main()
