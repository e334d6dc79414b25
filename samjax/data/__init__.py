"""Datasets, drawn scenes, records and file formats."""
