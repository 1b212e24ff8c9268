"""What a trained expert leaves behind: a graph, its specification, its metrics, its card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivalent.bundle.loading import INSTALLED, ExpertSpec, load_pool
from trivalent.core.errors import DataError
from trivalent.core.files import write_text_atomic

FILE = "expert.json"


@dataclass(frozen=True, eq=False)
class TrainedExpert:
    """An expert in a folder of its own, before it joins a bundle.

    `metrics` holds validation figures only: the test parts are touched by the benchmarks.
    """

    spec: ExpertSpec
    folder: Path
    metrics: dict[str, Any]
    card: dict[str, Any]

    @property
    def graph(self) -> Path:
        """Path of the ONNX graph."""
        return self.folder / self.spec.model

    def save(self) -> None:
        """Write expert.json beside the graph."""
        content = {"spec": self.spec.to_dict(), "metrics": self.metrics, "card": self.card}
        write_text_atomic(self.folder / FILE, json.dumps(content, indent=1))

    @classmethod
    def load(cls, folder: Path) -> TrainedExpert:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            There is no trained expert in the folder.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError("evaluate.expert_untrained", folder=folder, error=error) from error
        return cls(
            ExpertSpec.from_dict(content["spec"], where=str(path)),
            folder,
            content["metrics"],
            content["card"],
        )

    @classmethod
    def from_installed(cls, name: str, modality: str) -> TrainedExpert:
        """Take an expert out of an installed bundle.

        Raises
        ------
        DataError
            The bundle has no expert for the modality.
        """
        bundle = load_pool(name)
        expert = {str(m): expert for m, expert in bundle.experts.items()}.get(modality)
        if expert is None:
            raise DataError("evaluate.no_expert", modality=modality, name=name)
        return cls(
            expert.spec,
            INSTALLED / name,
            bundle.metrics[modality],
            {key: bundle.card[key][modality] for key in ("data", "licence", "limits")},
        )
