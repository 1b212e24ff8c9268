"""Describe the COVAREP columns on real speech: percentiles over voiced rows.

Usage: python benchmarks/covarep_ranges.py [--root ../shared/data] [--takes 120]

Writes results/covarep-ranges.{json,md}, from which docs/covarep.md is filled.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from results_file import REPOSITORY, Result
from trivalent.features.covarep import COLUMNS, covarep
from trivalent.media.recording import open_recording

PERCENTILES = (5, 50, 95)


def main() -> None:
    """Compute the columns of every n-th take and summarise them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--takes", type=int, default=120)
    arguments = parser.parse_args()
    files = sorted((arguments.root / "ravdess" / "speech").glob("*.flac"))
    if not files:
        sys.exit(f"expected RAVDESS takes in {arguments.root}, found none; give --root")
    chosen = files[:: max(1, len(files) // arguments.takes)]
    rows = []
    for file in chosen:
        audio = open_recording(file).audio
        assert audio is not None
        table = covarep(audio.read(), 16_000)
        rows.append(table.values[table.column("VUV") == 1])
    values = np.concatenate(rows)
    result = Result(
        "covarep-ranges", f"{len(chosen)} RAVDESS takes by 20 actors, {len(values)} voiced rows"
    )
    for name, column in zip(COLUMNS, values.T, strict=True):
        known = column[np.isfinite(column)]
        shown = {f"p{q:02d}": float(np.percentile(known, q)) for q in PERCENTILES}
        result.add(name, **shown, known_percent=100 * known.size / column.size)
    result.caveats = ["Acted speech in a studio; voiced rows (VUV = 1) only."]
    result.write()


if __name__ == "__main__":
    main()
