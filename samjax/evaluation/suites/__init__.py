"""Evaluation suites: datasets, prompt policies and metrics that belong together."""
