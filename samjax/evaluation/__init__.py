"""Measuring a model: prompts, metrics, reports. Sees a `Segmenter`, never params."""
