"""Derived features of the trips; the estimator does not see when a trip starts, but at which hour."""

import numpy as np


def features(columns):
    derived = {name: values for name, values in columns.items() if not name.startswith("start")}
    derived["hour"] = columns["start"] // 3600 % 24
    derived["weekend"] = (columns["day"] + 3) % 7 >= 5
    derived["letters"] = np.char.str_len(columns["note"].astype(str))
    derived["there_and_back"] = columns["km_back"] / columns["km"]
    derived["way"] = columns["line"] + columns["line_back"]
    return derived
