"""How right the model is on the test set, by its confidence; from this and live confidences follows expected accuracy.

Confidence-based performance estimation: Guillory et al., "Predicting with Confidence on Unseen Distributions", 2021;
NannyML's CBPE. The calibration is histogram binning (Zadrozny and Elkan 2001).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slipway.contract import Array
from slipway.model.predictor import Predictions
from slipway.model.reference import CONFIDENCE_BINS, CONFIDENCE_EDGES

PRIOR = 2  # rows, as right as their probability says, that each bin has in addition: a bin of none has an accuracy, too


def accuracy_by_confidence(truth: Array, predictions: Predictions, groups: Array) -> list[dict[str, Any]]:
    """Give each bin's rows, accuracy and its standard deviation; empty without probabilities.

    truth: class indices, shape (rows,). groups: the number of each row's group; rows of one are not independent, so
    that a bin is as sure as its groups are many. The deviation is that of Agresti and Coull, 1998.
    """
    if predictions.probabilities is None:
        return []
    bins = np.searchsorted(CONFIDENCE_EDGES, predictions.probabilities.max(axis=1))  # as the service's histogram does
    said = predictions.probabilities[np.arange(len(truth)), predictions.values]
    middles = np.convolve((1 / len(predictions.classes), *CONFIDENCE_EDGES, 1), (0.5, 0.5), "valid")
    found = []
    for number, name in enumerate(CONFIDENCE_BINS):
        inside = bins == number
        rows, independent = int(inside.sum()), len(np.unique(groups[inside]))
        correct = (predictions.values == truth)[inside].mean() if rows else 0.0
        expected = said[inside].mean() if rows else middles[number]
        size = independent + PRIOR
        accuracy = float((independent * correct + PRIOR * expected) / size)
        wary = (accuracy * size + 1) / (size + 2)  # ten of ten are not certain: one more right and one wrong
        deviation = float(np.sqrt(wary * (1 - wary) / size))
        found.append({"bin": name, "rows": rows, "accuracy": accuracy, "deviation": deviation})
    return found
