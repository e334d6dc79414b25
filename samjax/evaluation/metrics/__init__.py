"""Metrics of predicted masks, one a file.

`metric.Metric` is the base class. A suite holds its metrics as values, so that a new one
is one file.
"""
