"""Class weights, soft targets, and the losses by name.

`build_loss("focal", counts=n, gamma=2.0, weights="sqrt")` gives a `Loss`: a callable of logits,
labels and an optional weight per sample that returns the scalar to minimise. The formulas are in
`trivalent.lab.fit.loss_functions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.fit import loss_functions as terms
from trivalent.lab.named_choices import check_known, keyword_options


class ClassWeights(StrEnum):
    """How a class's weight grows with its rarity, normalised to mean 1 over the classes.

    `none` to `square` are (N / n) to a power; `effective` is (1 - beta) / (1 - beta^n), the inverse
    of the effective number of samples (Cui et al., CVPR 2019, eq. 2).
    """

    NONE = "none"
    SQRT = "sqrt"
    LINEAR = "linear"
    SQUARE = "square"
    EFFECTIVE = "effective"

    @property
    def power(self) -> float | None:
        """Exponent of N / n; None where the weight is no power of it."""
        return {"none": 0.0, "sqrt": 0.5, "linear": 1.0, "square": 2.0}.get(self.value)


def class_weights(
    counts: FloatArray | IntArray, rule: ClassWeights | str, *, beta: float = 0.999
) -> FloatArray:
    """Weight each class by rarity.

    Parameters
    ----------
    counts : array, shape (classes,)
        Training samples per class, all positive.
    rule : ClassWeights
    beta : float
        Of the effective number only: 0 weights all equally, towards 1 like `linear`.

    Raises
    ------
    DataError
        A class has no sample.
    UsageError
        `beta` is not in [0, 1).

    Examples
    --------
    >>> class_weights(np.array([224, 1134, 891]), "sqrt").round(2).tolist()
    [1.54, 0.69, 0.77]
    >>> class_weights(np.array([224, 1134, 891]), "effective").round(2).tolist()
    [1.83, 0.54, 0.62]
    """
    n = _positive(counts)
    rule = ClassWeights(rule)
    if rule.power is None:
        beta = _within("beta", beta, 0, 1, open_above=True)
        weights = (1 - beta) / (1 - beta**n)
    else:
        weights = (n.sum() / n) ** rule.power
    return weights / weights.mean()


def soft_targets(labels: Tensor, valence: Tensor, *, smoothing: float, ambiguity: float) -> Tensor:
    """One-hot targets, smoothed; weak annotations share mass with their neighbour.

    An annotated score near zero (say +1/3 on [-3, 3]) was positive for one annotator of
    three: calling it fully positive teaches overconfidence. With v in [-1, 1] the mass
    `ambiguity * exp(-|v| / 0.15)` moves from the label to neutral. Neutral stays whole: a score
    of exactly zero is the common case there, and softening it costs the class its recall.

    Parameters
    ----------
    labels : int64, shape (n,)
    valence : float, shape (n,)
        NaN where the corpus has only classes: there only `smoothing` applies.

    Returns
    -------
    Tensor, shape (n, 3), rows sum to 1
    """
    target = torch.nn.functional.one_hot(labels, len(Sentiment)).float()
    moved = ambiguity * torch.exp(-valence.abs().nan_to_num(torch.inf) / 0.15)
    middle = target.new_tensor([0.0, 1.0, 0.0])
    target = target * (1 - moved[:, None]) + middle * moved[:, None]
    return target * (1 - smoothing) + smoothing / len(Sentiment)


def soft_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Class-weighted cross-entropy against soft targets: -mean_i sum_c w_c t_ic log p_ic."""
    return -(weights * targets * torch.log_softmax(logits, -1)).sum(-1).mean()


def distillation_loss(
    logits: Tensor,
    teacher: Tensor,
    *,
    targets: Tensor,
    weights: Tensor,
    temperature: float,
    hard: float,
) -> Tensor:
    """Mix a teacher's soft answers with the annotated labels (Hinton et al., 2015, equations 1 to 4).

    Parameters
    ----------
    logits, teacher : shape (n, 3)
        Of the student and of its teacher.
    targets, weights : shape (n, 3)
        As for `soft_cross_entropy`; weights of zero mark a text without a label.
    temperature : float
        Both softmaxes are taken at this temperature; its square keeps the gradients' size.
    hard : float
        Share of the labels, where there is one.
    """
    soft = torch.nn.functional.kl_div(
        torch.log_softmax(logits / temperature, 1),
        torch.softmax(teacher / temperature, 1),
        reduction="none",
    ).sum(1)
    known = (weights.sum(1) > 0).to(soft.dtype)
    loss = (temperature**2 * soft * (1 - hard * known)).mean()
    return loss + hard * soft_cross_entropy(logits, targets, weights)


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss with its options bound: the mean of a term per sample, plus a term of the whole set.

    Attributes
    ----------
    name : str
        Its key in `LOSSES`.
    per_sample : callable, optional
        (logits (n, 3), labels (n,)) to values (n,); None where the loss is a set statistic only.
    of_set : callable, optional
        (logits, labels, weight (n,) or None) to a scalar that is no mean over samples.
    set_factor : float
        Factor on `of_set`.
    """

    name: str
    per_sample: Callable[[Tensor, Tensor], Tensor] | None = None
    of_set: Callable[[Tensor, Tensor, Tensor | None], Tensor] | None = None
    set_factor: float = 1.0

    def __call__(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the scalar to minimise.

        Parameters
        ----------
        logits : float, shape (n, 3)
            Finite, also where `weight` is 0.
        labels : int64, shape (n,)
            `Sentiment` codes; anything where `weight` is 0.
        weight : float or bool, shape (n,), optional
            What each sample counts; 0 for padding. Means are over the sum of the weights.
        """
        total = logits.new_zeros(())
        if self.per_sample is not None:
            total = total + terms.weighted_mean(self.per_sample(logits, labels), weight)
        if self.of_set is not None:
            total = total + self.set_factor * self.of_set(logits, labels, weight)
        return total


def _cross_entropy(
    counts: FloatArray, *, weights: ClassWeights | str = "none", beta: float = 0.999
) -> Loss:
    w = _tensor(_class_weights(counts, weights, beta))
    return Loss("cross_entropy", lambda z, y: terms.cross_entropy(z, y, class_weights=w))


def _focal(
    counts: FloatArray,
    *,
    gamma: float = 2.0,
    weights: ClassWeights | str = "none",
    beta: float = 0.999,
) -> Loss:
    gamma = _within("gamma", gamma, 0, np.inf)
    w = _tensor(_class_weights(counts, weights, beta))
    return Loss("focal", lambda z, y: terms.focal(z, y, gamma=gamma, class_weights=w))


def _macro_f1(counts: FloatArray) -> Loss:
    return Loss("macro_f1", of_set=terms.soft_macro_f1)


def _focal_macro_f1(
    counts: FloatArray,
    *,
    gamma: float = 2.0,
    f1_factor: float = 1.0,
    weights: ClassWeights | str = "none",
    beta: float = 0.999,
) -> Loss:
    per_sample = _focal(counts, gamma=gamma, weights=weights, beta=beta).per_sample
    factor = _within("f1_factor", f1_factor, 0, np.inf)
    return Loss("focal_macro_f1", per_sample, terms.soft_macro_f1, factor)


def _logit_adjusted(counts: FloatArray, *, tau: float = 1.0) -> Loss:
    tau = _within("tau", tau, 0, np.inf)
    log_prior = _tensor(np.log(counts / counts.sum()))
    return Loss("logit_adjusted", lambda z, y: terms.logit_adjusted(z, y, log_prior=log_prior, tau=tau))


def _ldam(
    counts: FloatArray,
    *,
    max_margin: float = 0.5,
    scale: float = 1.0,  # the paper's 30 is for cosine logits; our heads are linear
    weights: ClassWeights | str = "none",
    beta: float = 0.999,
) -> Loss:
    scale = _within("scale", scale, 0, np.inf)
    rarity = counts**-0.25
    margins = _tensor(_within("max_margin", max_margin, 0, np.inf) * rarity / rarity.max())
    w = _tensor(_class_weights(counts, weights, beta))
    return Loss("ldam", lambda z, y: terms.ldam(z, y, margins=margins, scale=scale, class_weights=w))


def _label_smoothing(
    counts: FloatArray,
    *,
    smoothing: float = 0.1,
    weights: ClassWeights | str = "none",
    beta: float = 0.999,
) -> Loss:
    s = _within("smoothing", smoothing, 0, 1)
    w = _tensor(_class_weights(counts, weights, beta))
    return Loss("label_smoothing", lambda z, y: terms.label_smoothing(z, y, smoothing=s, class_weights=w))


LOSSES: Mapping[str, Callable[..., Loss]] = MappingProxyType(
    {
        "cross_entropy": _cross_entropy,
        "focal": _focal,
        "macro_f1": _macro_f1,
        "focal_macro_f1": _focal_macro_f1,
        "logit_adjusted": _logit_adjusted,
        "ldam": _ldam,
        "label_smoothing": _label_smoothing,
    }
)


def loss_options(name: str) -> dict[str, Any]:
    """Options of a loss with their defaults.

    Raises
    ------
    UsageError
        There is no such loss.

    Examples
    --------
    >>> loss_options("focal")
    {'gamma': 2.0, 'weights': 'none', 'beta': 0.999}
    """
    check_known("loss", name, LOSSES)
    return keyword_options(LOSSES[name])


def build_loss(name: str, *, counts: FloatArray | IntArray, **options: Any) -> Loss:
    """Build a loss by name.

    Parameters
    ----------
    name : str
        Key of `LOSSES`.
    counts : array, shape (3,)
        Training samples per class: for class weights, margins and the prior.
    **options
        As listed by `loss_options`; `weights` is a `ClassWeights` rule.

    Raises
    ------
    UsageError
        Unknown loss or option, or an impossible value.
    DataError
        A class has no training sample.

    Examples
    --------
    >>> loss = build_loss("cross_entropy", counts=np.array([1, 2, 1]))
    >>> round(loss(torch.zeros(4, 3), torch.tensor([0, 1, 1, 2])).item(), 4)
    1.0986
    """
    known = loss_options(name)
    for option in options:
        check_known(f"option of {name}", option, known)
    return LOSSES[name](_positive(counts), **options)


def _class_weights(counts: FloatArray, rule: ClassWeights | str, beta: float) -> FloatArray:
    check_known("class weighting", str(rule), [str(w) for w in ClassWeights])
    return class_weights(counts, rule, beta=beta)


def _tensor(values: FloatArray) -> Tensor:
    # Double: the terms cast it to the logits' type, and gradients can be checked numerically.
    return torch.from_numpy(np.asarray(values, np.float64))


def _positive(counts: FloatArray | IntArray) -> FloatArray:
    n = np.asarray(counts, np.float64)
    if n.ndim != 1 or not len(n) or not (np.isfinite(n) & (n > 0)).all():
        raise DataError("training.loss_counts", n=n.tolist())
    return n


def _within(name: str, value: float, low: float, high: float, *, open_above: bool = False) -> float:
    open_above = open_above or high == np.inf
    if not low <= value <= high or (open_above and value == high):
        close = ")" if open_above else "]"
        raise UsageError("training.loss_range", name=name, low=low, high=high, close=close, value=value)
    return float(value)
