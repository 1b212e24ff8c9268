"""The benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivalent.core.errors import DataError, UsageError
from trivalent.lab.datasets.cmu import is_synthetic
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.mosei import FOLDER, TRACKS
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.measure.result_files import Result

REAL, ALLOWED = False, True


@dataclass(frozen=True)
class Benchmark:
    """What `trivalent benchmark NAME` runs.

    Attributes
    ----------
    title : str
    run : callable
        (data root, seeds, output folder, synthetic data allowed) to the result; draws its pictures.
    """

    title: str
    run: Callable[[Path, Sequence[int], Path, bool], Result]


def _paper_table(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    from trivalent.lab.benchmarks.paper_table import draw, run_paper_table

    data = mosei_data(root, synthetic=synthetic)
    result, table = run_paper_table(data, seeds=seeds)
    draw(table, out)
    return result


def mosei_data(root: Path, *, synthetic: bool = REAL) -> Dataset:
    """Read `sdk-subset` of all of MOSEI if its feature files are there, else of the 922 videos.

    Raises
    ------
    DataError
        Neither is there, or the features are synthetic and that was not asked for.
    """
    files = [root / FOLDER / track.file for track in TRACKS[:3]]
    complete = all(path.is_file() for path in files)
    if complete and not synthetic and any(is_synthetic(path) for path in files):
        raise DataError("benchmark.synthetic", root=root / FOLDER)
    return find_dataset("mosei" if complete else "mosei-922").read(root, "sdk-subset")


def _transfer(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    from trivalent.lab.benchmarks.transfer import benchmark

    return benchmark(root, seeds, out, synthetic)


def _text_encoder(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    from trivalent.lab.benchmarks.text_encoder import benchmark

    return benchmark(root, seeds, out, synthetic)


def _imbalance(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    from trivalent.lab.benchmarks.imbalance import benchmark

    return benchmark(root, seeds, out, synthetic)


def _fusion(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    from trivalent.lab.benchmarks.fusion import benchmark

    return benchmark(root, seeds, out, synthetic)


def _voice_face(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    from trivalent.lab.benchmarks.voice_face import run_voice_face

    return run_voice_face(root)


BENCHMARKS: Mapping[str, Benchmark] = {
    "paper-table": Benchmark("every row of the paper behind this project, rebuilt honestly", _paper_table),
    "voice-face": Benchmark("voice expert and action units of the same takes, pooled", _voice_face),
    "transfer": Benchmark("train on one text corpus, test on another", _transfer),
    "text-encoder": Benchmark("GloVe against a frozen transformer by training size", _text_encoder),
    "imbalance": Benchmark("losses, resampling and decisions on four imbalanced problems", _imbalance),
    "fusion": Benchmark("networks, missing modalities and modality dropout", _fusion),
}


def run_benchmark(
    name: str, *, root: Path, out: Path, seeds: int = 10, synthetic: bool = REAL
) -> tuple[Result, list[Path]]:
    """Run a benchmark and write its table (JSON and Markdown) and pictures.

    Raises
    ------
    UsageError
        There is none of that name, or fewer than two seeds are asked for.
    DataError
        Its data are not there.
    """
    if name not in BENCHMARKS:
        raise UsageError("benchmark.unknown", benchmarks=list(BENCHMARKS), name=name)
    if seeds < 2:
        raise UsageError("benchmark.seeds", seeds=seeds)
    result = BENCHMARKS[name].run(root, range(seeds), out, synthetic)
    if synthetic:
        result.caveats.insert(0, "SYNTHETIC features were allowed: figures say nothing about people.")
    return result, result.write(out)


def verdicts(result: Result) -> list[dict[str, Any]]:
    """Claims of the paper with their verdicts; empty if the benchmark judges none."""
    found: list[dict[str, Any]] = result.extra.get("claims", [])
    return found
