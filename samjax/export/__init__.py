"""The model for programs without JAX: ONNX graphs, written from the parameters."""
