"""How good a model is: scores with intervals, slices, calibration, plots."""
