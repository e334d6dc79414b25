"""Datasets to evaluate on: images with the objects to segment, one kind a file."""
