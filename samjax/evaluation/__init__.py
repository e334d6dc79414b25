"""Measuring a model: prompt policies, metrics and reports. Sees only a `Predictor`."""
