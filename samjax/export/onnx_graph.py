"""A builder of ONNX graphs: values, nodes and weights of the kinds that the model needs.

The versions are those that onnxruntime-web reads, not the newest that `onnx` writes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

# Gelu, the newest operator of a graph, came with opset 20.
IR_VERSION = 10
OPSET = 20
VERSIONS = {"ir_version": IR_VERSION, "opset": OPSET}
MADE_WITH = ("onnx", "onnxruntime")

Storage = Literal["float32", "float16", "int8"]
Arithmetic = Literal["float32", "int8"]

# Smaller weights are stored as they are, in every storage: they are norms and biases.
_SMALLEST = 1024


class Graph:
    """A graph that is being built. A value is the name of a node's output.

    Args:
        name: Name of the graph.
        storage: How large weights are stored; they are float32 again before they are
            used, so that the arithmetic is the same for all.
        arithmetic: Precision of dense layers. For `"int8"` their weights are rounded
            once, by channel, and activations at run time, by tensor.
    """

    def __init__(
        self,
        name: str,
        storage: Storage = "float32",
        arithmetic: Arithmetic = "float32",
    ):
        self.name, self.arithmetic = name, arithmetic
        self._storage: Storage = storage
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._constants: dict[tuple[Any, ...], str] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(
        self, name: str, shape: Sequence[int | str], *, is_integer: bool = False
    ) -> str:
        """Declares an input, float32 or int64; a dimension that is a name is dynamic."""
        self._inputs.append(_described(name, shape, is_integer=is_integer))
        return name

    def output(self, value: str, name: str, shape: Sequence[int | str]) -> None:
        """Declares a value to be an output under a name."""
        import onnx

        self._nodes.append(onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(_described(name, shape))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node of one result, and returns its name."""
        return self.ops(kind, *inputs, results=1, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, results: int, **attributes: Any
    ) -> list[str]:
        """Adds a node of several results, and returns their names."""
        import onnx

        names = [f"{kind}_{len(self._nodes)}_{i}" for i in range(results)]
        node = onnx.helper.make_node(kind, list(inputs), names, **attributes)
        self._nodes.append(node)
        return names

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Adds an exact constant; equal ones are stored once."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._store(
                f"constant_{len(self._constants)}", array
            )
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """Adds a vector of int64: a shape, or axes."""
        return self.constant(values, np.int64)

    def weight(self, name: str, array: Any) -> str:
        """Adds a weight, stored as this graph stores them, as a float32 value.

        Args:
            name: Its path among the parameters; a second call returns the same value.
            array: The weight. In int8, the channels that are scaled are the last axis.
        """
        array = np.asarray(array, np.float32)
        if self._storage == "float32" or array.size < _SMALLEST:
            return self._store(name, array)
        if name in self._initializers:
            return f"{name}/float32"
        float32 = {"to": 1}
        if self._storage == "float16":
            stored = self._store(name, array.astype(np.float16))
            return self._named(f"{name}/float32", "Cast", stored, **float32)
        array, scale = _rounded(array)
        whole = self.op("Cast", self._store(name, array), **float32)
        scale = self._store(f"{name}/scale", scale)
        return self._named(f"{name}/float32", "Mul", whole, scale)

    def matmul(self, a: str, b: str) -> str:
        """A matrix product, or a batch of them."""
        return self.op("MatMul", a, b)

    def rounded_matmul(self, a: str, b: str) -> str:
        """A product of values that are rounded to 8 bits first, each by tensor."""
        return self._matmul_integers(
            a, *self.ops("DynamicQuantizeLinear", b, results=3)
        )

    def add(self, *values: str) -> str:
        """A sum."""
        total, *rest = values
        for value in rest:
            total = self.op("Add", total, value)
        return total

    def multiply(self, *values: str) -> str:
        """A product, element by element."""
        total, *rest = values
        for value in rest:
            total = self.op("Mul", total, value)
        return total

    def reshape(self, value: str, *shape: int) -> str:
        """Changes the shape: 0 keeps a side, -1 is the remaining size."""
        return self.op("Reshape", value, self.integers(*shape))

    def transpose(self, value: str, *order: int) -> str:
        """Permutes the axes."""
        return self.op("Transpose", value, perm=list(order))

    def concatenate(self, *values: str, axis: int) -> str:
        """Concatenates values along an axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def total(self, kind: str, value: str, axis: int) -> str:
        """`ReduceSum`, `ReduceMean` or `ReduceMax` along one axis, which stays."""
        return self.op(kind, value, self.integers(axis), keepdims=1)

    def softmax(self, value: str, axis: int) -> str:
        """Softmax along an axis that is not the last, without a transposition."""
        shifted = self.op("Sub", value, self.total("ReduceMax", value, axis))
        powers = self.op("Exp", shifted)
        sums = self.total("ReduceSum", powers, axis)
        return self.op("Mul", powers, self.op("Reciprocal", sums))

    def dense(self, name: str, value: str, params: Mapping[str, np.ndarray]) -> str:
        """A dense layer, of parameters `kernel` and `bias`."""
        bias = self.constant(params["bias"])
        if self.arithmetic == "int8":
            stored, scale = _rounded(params["kernel"])
            # Unsigned: of signed ones, CPUs without VNNI cut off sums at 16 bits.
            stored = (stored.astype(np.int16) + 128).astype(np.uint8)
            product = self._matmul_integers(
                value,
                self._store(f"{name}/kernel", stored),
                self._store(f"{name}/scale", scale),
                self.constant(128, np.uint8),
            )
            return self.add(product, bias)
        kernel = self.weight(f"{name}/kernel", params["kernel"])
        return self.add(self.matmul(value, kernel), bias)

    def layer_norm(
        self, value: str, params: Mapping[str, np.ndarray], epsilon: float
    ) -> str:
        """A normalization along the last axis, by the runtime's own kernel."""
        return self.op(
            "LayerNormalization",
            value,
            self.constant(params["scale"]),
            self.constant(params["bias"]),
            epsilon=epsilon,
        )

    def normalize_channels(
        self, value: str, params: Mapping[str, np.ndarray], axes: int, epsilon: float
    ) -> str:
        """A normalization along the second of some axes, written out.

        onnxruntime's own kernel for it is slower in a browser than its parts, and it
        would make that kernel of the parts if they ended in a division by a root.
        """
        centred = self.op("Sub", value, self.total("ReduceMean", value, 1))
        return self.rescale_channels(centred, params, axes, epsilon)

    def rescale_channels(
        self, centred: str, params: Mapping[str, np.ndarray], axes: int, epsilon: float
    ) -> str:
        """Normalizes channels whose mean is zero already."""
        shape = (-1, *(1,) * (axes - 2))
        scale, bias = (
            self.constant(params[name].reshape(shape)) for name in ("scale", "bias")
        )
        squares = self.total("ReduceMean", self.multiply(centred, centred), 1)
        return self.add(
            self.multiply(centred, self.reciprocal_root(squares, epsilon), scale), bias
        )

    def reciprocal_root(self, value: str, epsilon: float) -> str:
        """One over the root of a value and an epsilon."""
        root = self.op("Sqrt", self.add(value, self.constant(epsilon)))
        return self.op("Reciprocal", root)

    def model(self, description: str) -> Any:
        """Returns the finished `onnx.ModelProto`, checked."""
        import onnx

        graph = onnx.helper.make_graph(
            self._nodes,
            self.name,
            self._inputs,
            self._outputs,
            list(self._initializers.values()),
        )
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="samjax",
            doc_string=description,
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _matmul_integers(self, a: str, b: str, scale: str, zero: str) -> str:
        """A product of a float32 value and of 8-bit numbers of a scale and a zero."""
        a, scale_a, zero_a = self.ops("DynamicQuantizeLinear", a, results=3)
        whole = self.op("Cast", self.op("MatMulInteger", a, b, zero_a, zero), to=1)
        return self.op("Mul", whole, self.op("Mul", scale_a, scale))

    def _store(self, name: str, array: np.ndarray) -> str:
        import onnx

        if name not in self._initializers:
            self._initializers[name] = onnx.numpy_helper.from_array(array, name)
        return name

    def _named(self, name: str, kind: str, *inputs: str, **attributes: Any) -> str:
        import onnx

        self._nodes.append(
            onnx.helper.make_node(kind, list(inputs), [name], **attributes)
        )
        return name


def _rounded(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight as int8, and the scale of each channel, which are its last axis."""
    scale = np.max(np.abs(weight), axis=tuple(range(weight.ndim - 1)))
    scale = np.maximum(scale, 1e-30) / 127
    return np.round(weight / scale).astype(np.int8), scale.astype(np.float32)


def _described(
    name: str, shape: Sequence[int | str], *, is_integer: bool = False
) -> Any:
    import onnx

    kind = onnx.TensorProto.INT64 if is_integer else onnx.TensorProto.FLOAT
    return onnx.helper.make_tensor_value_info(name, kind, list(shape))
