"""The shape of the code: the runtime is light, imports run downward, modules stay readable."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from functools import cache

import pytest

from conftest import REPOSITORY

SOURCE = REPOSITORY / "src" / "trivalent"
MODULES = sorted(SOURCE.rglob("*.py"))
RUNTIME = [p for p in MODULES if "lab" not in p.relative_to(SOURCE).parts]
NAMES = [".".join(("trivalent", *p.relative_to(SOURCE).with_suffix("").parts)) for p in MODULES]


def imported_by(*modules: str) -> set[str]:
    """Import modules in a fresh interpreter; return all that is loaded then."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules, sep=chr(10))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def test_the_runtime_imports_neither_torch_nor_the_lab() -> None:
    loaded = imported_by(
        "trivalent.analyzer", "trivalent.cli.main", "trivalent.report.writers", "trivalent.extract"
    )
    heavy = ("torch", "transformers", "sklearn", "onnx", "streamlit", "ray", "trivalent.lab")
    assert not [m for m in loaded if any(m == h or m.startswith(f"{h}.") for h in heavy)]


def test_importing_the_package_is_light() -> None:
    loaded = imported_by("trivalent")
    heavy = {"onnxruntime", "av", "cv2", "pandas", "scipy", "faster_whisper", "tokenizers", "rich", "torch"}
    assert not loaded & heavy


@pytest.mark.parametrize("path", RUNTIME, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_the_train_command_names_the_lab(path) -> None:
    named = {name for name, _ in imports(path) if name.startswith(("trivalent.lab", "torch"))}
    if path.name == "train.py" and path.parent.name == "cli":
        assert not {name for name, top in imports(path) if top and name.startswith("trivalent.lab")}
    elif path.parts[-2] == "cli":
        assert not {name for name, top in imports(path) if top} & named
    else:
        assert not named


@cache
def imports(path) -> list[tuple[str, bool]]:
    """List imported modules and whether at the top level; those for the types alone are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, id(node) in top))
            # `from trivalent.cli import analyze` imports a module, too.
            found += [(f"{node.module}.{alias.name}", id(node) in top) for alias in node.names]
    return found


def graph() -> dict[str, set[str]]:
    """Modules of ours with those that each imports, also inside functions."""
    known = {name.removesuffix(".__init__") for name in NAMES}
    return {
        name.removesuffix(".__init__"): {m for m, _ in imports(path) if m in known}
        for name, path in zip(NAMES, MODULES, strict=True)
    }


def test_no_circular_imports() -> None:
    """Not even through an import inside a function."""
    modules = graph()
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circular: {' -> '.join((*trail[trail.index(module) :], module))}"
        if module not in done:
            for other in sorted(modules[module]):
                if other != module and not module.startswith(f"{other}."):
                    walk(other, (*trail, module))
            done.add(module)

    for module in modules:
        walk(module, ())


def room(module: str) -> str:
    """Room of a module; one in the root is a room of its own."""
    return module.removeprefix("trivalent").lstrip(".").split(".")[0] or "trivalent"


def floors() -> list[list[str]]:
    """Floors of docs/architecture.md, the lowest first."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    plan = text.split("<!-- floors -->")[1]
    rows = [line for line in plan.splitlines() if line.startswith("| ") and "`" in line]
    return [re.findall(r"`(\w+)`", row.split("|")[2]) for row in rows][::-1]


def test_imports_run_downward() -> None:
    """From a room only to those of lower floors, inside functions too."""
    height = {name: i for i, floor in enumerate(floors()) for name in floor}
    upward = [
        f"{module} -> {other}"
        for module, others in graph().items()
        for other in others
        if room(module) != room(other)
        if "trivalent" not in (room(module), room(other))
        if height[room(other)] >= height[room(module)]
    ]
    assert not upward


def test_the_plan_names_every_room() -> None:
    drawn = {name for floor in floors() for name in floor}
    assert drawn == {room(name.removesuffix(".__init__")) for name in NAMES} - {"trivalent"}
    assert len(list(SOURCE.glob("*.py"))) <= 4


def test_modules_import_alone() -> None:
    """As the first one each, so that no order of imports is assumed."""
    names = (
        "core.types",
        "core.analysis",
        "bundle.fusion",
        "bundle.loading",
        "experts.readings",
        "speech.recognizer",
        "extract",
        "features.glove",
    )
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    for m in [m for m in sys.modules if m.split('.')[0] == 'trivalent']: del sys.modules[m]\n"
        "    importlib.import_module(f'trivalent.{name}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_modules_are_documented(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module says what it is for"


def test_every_package_is_found() -> None:
    packages = {name for _, name, is_package in pkgutil.walk_packages([str(SOURCE)]) if is_package}
    folders = {p.parent.relative_to(SOURCE) for p in MODULES}
    assert {f.parts[0] for f in folders if f.parts} <= packages, "a folder lacks its __init__.py"


def test_no_path_of_a_machine_is_in_the_source() -> None:
    marks = ("/home/", "/Users/", "C:\\\\Users")
    for path in MODULES:
        assert not [m for m in marks if m in path.read_text(encoding="utf-8")], path
