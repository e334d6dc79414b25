"""Exports of the model: ONNX graphs, written from the parameters, and StableHLO."""
