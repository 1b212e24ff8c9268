"""From a recipe to a text expert: fine-tune per seed, average the weights, calibrate, export."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from trivalent.lab.networks import TextClassifier
from trivalent.lab.recipes import Recipe, build
from trivalent.lab.text_task import TextTask, TextTaskConfig, new_network
from trivalent.lab.training import TrainingConfig, fit

log = logging.getLogger(__name__)


def train_text(recipe: Recipe, *, root: Path, out: Path) -> TextClassifier:
    """Fine-tune once per seed and average the weights if that helps on validation.

    Averaging fine-tuned weights that share their start ("model soup", Wortsman et al.,
    ICML 2022) costs nothing at inference. The soup is greedy: runs are added, best first, while
    the validation score does not fall.
    """
    configs = [
        build(TrainingConfig, {**recipe.training, "seed": seed}, where=recipe.name) for seed in recipe.seeds
    ]
    task = TextTask(
        build(TextTaskConfig, recipe.task, where=recipe.name), batch_size=configs[0].batch_size, root=root
    )
    runs: list[tuple[float, dict[str, Tensor]]] = []
    for config in configs:
        torch.manual_seed(config.seed)
        fitted = fit(new_network(), task, config=config, checkpoint=out / f"seed{config.seed}.pt")
        (out / f"history-seed{config.seed}.json").write_text(json.dumps(fitted.history, indent=1))
        runs.append((fitted.best["score"], fitted.network.state_dict()))
    network = new_network()
    network.load_state_dict(_greedy_soup(network, runs, task))
    return network.eval()


def _greedy_soup(
    network: TextClassifier, runs: Sequence[tuple[float, dict[str, Tensor]]], task: TextTask
) -> dict[str, Tensor]:
    ranked = sorted(runs, key=lambda run: -run[0])
    chosen, best = [ranked[0][1]], ranked[0][0]
    for _, weights in ranked[1:]:
        network.load_state_dict(_mean([*chosen, weights]))
        score = task.validate(network.eval())["score"]
        log.info("soup of %d: validation score %.4f (before %.4f)", len(chosen) + 1, score, best)
        if score >= best:
            chosen, best = [*chosen, weights], score
    return _mean(chosen)


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        key: torch.stack([s[key] for s in states]).mean(0) if states[0][key].is_floating_point() else value
        for key, value in states[0].items()
    }
