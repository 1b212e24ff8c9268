"""Calibration on validation data: one temperature per expert."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from trivalent.errors import DataError
from trivalent.fusion import softmax
from trivalent.lab.metrics import IntArray, negative_log_likelihood
from trivalent.types import FloatArray


def fit_temperature(logits: FloatArray, labels: IntArray) -> float:
    """Find T that minimises the NLL of softmax(logits / T) (Guo et al., ICML 2017, sec. 4.2).

    Parameters
    ----------
    logits : array, shape (n, 3)
        Of validation items that took no part in training.
    labels : int array, shape (n,)

    Raises
    ------
    DataError
        No items.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(4000, 3))
    >>> y = np.array([rng.choice(3, p=p) for p in softmax(z)])
    >>> bool(2.6 < fit_temperature(3 * z, y) < 3.4)
    True
    """
    if not len(labels):
        raise DataError("expected validation items to calibrate on, got none")
    found = minimize_scalar(
        lambda t: negative_log_likelihood(labels, softmax(np.asarray(logits, float) / np.exp(t))),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    return float(np.exp(found.x))
