"""The terms that losses are built from: pure functions of logits and labels.

All take logits of shape (n, classes) and labels of shape (n,). They use neither in-place
operations nor branches on values, so that `torch.func.vmap` and `torch.func.grad` run through
them: ensembles are trained as one batched network. A label outside 0..classes-1 (padding) has an
all-zero one-hot row and therefore never indexes out of bounds.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-12


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """Encode labels as indicators with the shape, dtype and device of the logits `like`.

    By comparison: `torch.nn.functional.one_hot` looks at the values, which vmap forbids.
    """
    classes = torch.arange(like.shape[-1], device=like.device)
    return (labels[..., None] == classes).to(like.dtype)


def weighted_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over samples; `weight` (n,) >= 0 counts them, 0 leaves a sample out.

    An all-padding batch gives 0, not NaN. Left-out values must still be finite.

    >>> weighted_mean(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([1.0, 1.0, 0.0])).item()
    2.0
    """
    if weight is None:
        return values.mean(-1)
    weight = weight.to(values)
    return (weight * values).sum(-1) / weight.sum(-1).clamp(min=_TINY)


def cross_entropy(logits: Tensor, labels: Tensor, *, class_weights: Tensor | None = None) -> Tensor:
    """-w_y log p_y, shape (n,); `class_weights` (classes,) defaults to ones."""
    truth = one_hot(labels, logits)
    loss = -(truth * torch.log_softmax(logits, -1)).sum(-1)
    return _by_class(loss, truth, class_weights)


def focal(
    logits: Tensor, labels: Tensor, *, gamma: float | Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """-w_y (1 - p_y)^gamma log p_y, shape (n,) (Lin et al., ICCV 2017, eq. 5)."""
    truth = one_hot(labels, logits)
    log_p = (truth * torch.log_softmax(logits, -1)).sum(-1)
    # Clamped, since 0^gamma has an infinite slope for gamma < 1; expm1 keeps 1 - p exact near 1.
    missed = (-torch.expm1(log_p)).clamp(min=_TINY)
    return _by_class(-(missed**gamma) * log_p, truth, class_weights)


def label_smoothing(
    logits: Tensor, labels: Tensor, *, smoothing: float | Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy against (1 - s) one-hot + s / classes, shape (n,) (Szegedy et al., CVPR 2016, sec. 7).

    The weight is that of the label, for the whole sample.
    """
    truth = one_hot(labels, logits)
    target = truth * (1 - smoothing) + smoothing / logits.shape[-1]
    loss = -(target * torch.log_softmax(logits, -1)).sum(-1)
    return _by_class(loss, truth, class_weights)


def logit_adjusted(logits: Tensor, labels: Tensor, *, log_prior: Tensor, tau: float | Tensor) -> Tensor:
    """Cross-entropy of logits + tau log prior, shape (n,) (Menon et al., ICLR 2021, eq. 10).

    The plain logits then estimate class evidence without the prior: their argmax aims at
    balanced accuracy.
    """
    return cross_entropy(logits + tau * log_prior.to(logits), labels)


def ldam(
    logits: Tensor,
    labels: Tensor,
    *,
    margins: Tensor,
    scale: float | Tensor,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy after taking the class's margin off the true logit (Cao et al., NeurIPS 2019, eq. 13).

    `margins` (classes,) grow with rarity like n^(-1/4); `scale` multiplies the shifted logits, as
    the paper's code does for cosine logits in [-1, 1].
    """
    shifted = logits - one_hot(labels, logits) * margins.to(logits)
    return cross_entropy(scale * shifted, labels, class_weights=class_weights)


def soft_macro_f1(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """1 - mean_c 2TP / (2TP + FP + FN) with probabilities in place of counts, a scalar.

    TP_c = sum_i w_i p_ic y_ic, FP_c = sum_i w_i p_ic (1 - y_ic), FN_c = sum_i w_i (1 - p_ic) y_ic
    (Benedict et al., "sigmoidF1", TMLR 2022; here for the softmax). A class without a sample in
    the batch has F1 = 0 and no gradient, so that batches should hold all classes.
    """
    truth = one_hot(labels, logits)  # (n, classes)
    p = torch.softmax(logits, -1)
    counted = torch.ones_like(p[..., :1]) if weight is None else weight.to(p)[..., None]
    hits = (counted * p * truth).sum(-2)
    # 2TP + FP + FN is what was predicted plus what is true.
    total = (counted * p).sum(-2) + (counted * truth).sum(-2)
    return 1 - (2 * hits / total.clamp(min=_TINY)).mean(-1)


def _by_class(loss: Tensor, truth: Tensor, class_weights: Tensor | None) -> Tensor:
    return loss if class_weights is None else loss * (truth * class_weights.to(loss)).sum(-1)
