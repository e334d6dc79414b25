"""Metrics of predicted masks, one a file."""
