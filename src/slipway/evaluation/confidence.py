"""How right the model is on the test set, by its confidence, and how often a probability of two classes comes true.

From this and live probabilities follow expected accuracy and expected roc_auc, without a truth.

Confidence-based performance estimation: Guillory et al., "Predicting with Confidence on Unseen Distributions", 2021;
NannyML's CBPE. The calibration is histogram binning (Zadrozny and Elkan 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slipway.contract import Array
from slipway.model.predictor import Predictions
from slipway.model.reference import CONFIDENCE_BINS, CONFIDENCE_EDGES, POSITIVE_BINS, POSITIVE_EDGES

PRIOR = 2  # rows, as right as their probability says, that each bin has in addition: a bin of none has a share, too


def accuracy_by_confidence(truth: Array, predictions: Predictions, groups: Array) -> list[dict[str, Any]]:
    """Give the rows, accuracy and its standard deviation by bin of the largest probability; empty without any.

    truth: class indices, shape (rows,). groups: the number of each row's group.
    """
    probabilities = predictions.probabilities
    if probabilities is None:
        return []
    said, right = probabilities[np.arange(len(truth)), predictions.values], predictions.values == truth
    ends = (1 / len(predictions.classes), *CONFIDENCE_EDGES, 1)
    found = _shares(right, said, groups, np.searchsorted(CONFIDENCE_EDGES, probabilities.max(axis=1)), ends)
    return [
        {"bin": name, "rows": rows, "accuracy": share, "deviation": deviation}
        for name, (rows, share, deviation) in zip(CONFIDENCE_BINS, found, strict=True)
    ]


def positives_by_probability(truth: Array, predictions: Predictions, groups: Array) -> list[dict[str, Any]]:
    """Give the rows, share of the second class and its standard deviation by bin of its probability.

    Empty unless there are two classes with probabilities.
    """
    probabilities = predictions.probabilities
    if probabilities is None or len(predictions.classes) != 2:
        return []
    said = probabilities[:, 1]
    found = _shares(truth == 1, said, groups, np.searchsorted(POSITIVE_EDGES, said), (0, *POSITIVE_EDGES, 1))
    return [
        {"bin": name, "rows": rows, "share": share, "deviation": deviation}
        for name, (rows, share, deviation) in zip(POSITIVE_BINS, found, strict=True)
    ]


def _shares(
    happened: Array, said: Array, groups: Array, bins: Array, ends: Sequence[float]
) -> list[tuple[int, float, float]]:
    """Give the rows of each bin, the share of them for which it happened, and the standard deviation of that share.

    said: the probability that the model gave it. Rows of one group are not independent, so that a bin is as sure as
    its groups are many. The deviation is that of Agresti and Coull, 1998.
    """
    found = []
    for number, middle in enumerate(np.convolve(ends, (0.5, 0.5), "valid")):
        inside = bins == number
        rows, independent = int(inside.sum()), len(np.unique(groups[inside]))
        observed, expected = (happened[inside].mean(), said[inside].mean()) if rows else (0.0, middle)
        size = independent + PRIOR
        share = float((independent * observed + PRIOR * expected) / size)
        wary = (share * size + 1) / (size + 2)  # ten of ten are not certain: one more that did and one that did not
        found.append((rows, share, float(np.sqrt(wary * (1 - wary) / size))))
    return found
