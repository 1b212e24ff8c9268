"""Calibration on validation data: one temperature, or a scale and a bias per class."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from trivalent.bundle.calibration import VectorScaling
from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray, IntArray

_LIMITS = (0.05, 20.0)  # of a temperature: beyond, the validation items are separable or useless


def fit_temperature(logits: FloatArray, labels: IntArray, *, weights: FloatArray | None = None) -> float:
    """Find T that minimises the NLL of softmax(logits / T) (Guo et al., ICML 2017, sec. 4.2).

    Parameters
    ----------
    logits : array, shape (n, 3)
        Of validation items that took no part in training.
    labels : int array, shape (n,)
    weights : array, shape (n,), optional
        Of the items; equal by default.

    Raises
    ------
    DataError
        No items.

    Examples
    --------
    >>> from trivalent.bundle.fusion import softmax
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(4000, 3))
    >>> y = np.array([rng.choice(3, p=p) for p in softmax(z)])
    >>> bool(2.6 < fit_temperature(3 * z, y) < 3.4)
    True
    """
    if not len(labels):
        raise DataError("calibration.none")
    rows = np.arange(len(labels))
    found = minimize_scalar(
        lambda t: (
            -np.average(
                log_softmax(np.asarray(logits, float) / np.exp(t), axis=1)[rows, labels], weights=weights
            )
        ),
        bounds=(np.log(_LIMITS[0]), np.log(_LIMITS[1])),
        method="bounded",
    )
    return float(np.exp(found.x))


def fit_vector_scaling(logits: FloatArray, labels: IntArray) -> VectorScaling:
    """Find the scale and bias of each class that minimise the NLL (Guo et al., ICML 2017, sec. 4.2).

    It corrects what a temperature cannot: a class that is announced too often, as after training
    with class weights. With six parameters it wants some hundreds of items, and unlike a
    temperature it may change the argmax. The problem is convex; scales stay within [1/20, 20] (those
    of the temperature) and biases within [-10, 10], where separable items would have no optimum.

    Parameters
    ----------
    logits : array, shape (n, classes)
        Of validation items that took no part in training.
    labels : int array, shape (n,)

    Raises
    ------
    DataError
        No items, or logits and labels of different lengths.

    Examples
    --------
    >>> from trivalent.bundle.fusion import softmax
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(4000, 3))
    >>> y = np.array([rng.choice(3, p=p) for p in softmax(2 * z + [1, 0, -1])])
    >>> fitted = fit_vector_scaling(z, y)
    >>> bool(np.abs(fitted.scale - 2).max() < 0.3), bool(np.abs(fitted.bias - [1, 0, -1]).max() < 0.2)
    (True, True)
    """
    z, labels = np.asarray(logits, float), np.asarray(labels)
    if not len(labels):
        raise DataError("calibration.none")
    if z.ndim != 2 or len(z) != len(labels):
        raise DataError("calibration.shape", count=len(labels), shape=z.shape)
    n, classes = z.shape
    truth = np.eye(classes)[labels]

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        scale, bias = parameters[:classes], parameters[classes:]
        log_p = log_softmax(z * scale + bias, axis=1)
        excess = (np.exp(log_p) - truth) / n
        gradient = np.concatenate([(excess * z).sum(0), excess.sum(0)])
        return -float((log_p * truth).sum()) / n, gradient

    # From the best temperature, so that the result is never worse than that.
    start = np.concatenate([np.full(classes, 1 / fit_temperature(z, labels)), np.zeros(classes)])
    bounds = [(1 / _LIMITS[1], 1 / _LIMITS[0])] * classes + [(-10.0, 10.0)] * classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return VectorScaling(found[:classes], found[classes:] - found[classes:].mean())
