"""A small DINOv2 encoder, in the forms in which encoders are published."""

import json
import re

import numpy as np
import safetensors.numpy

from samjax.models import SamConfig

WIDTH, DEPTH, HEADS, SIDE, PATCH = 24, 3, 2, 5, 14
CONFIG = SamConfig(
    image_size=SIDE * PATCH,
    patch_size=PATCH,
    embed_dim=WIDTH,
    depth=DEPTH,
    num_heads=HEADS,
    global_attention_blocks=(0, 1, 2),
    prompt_embed_dim=16,
    decoder_depth=1,
    decoder_num_heads=2,
    decoder_mlp_dim=16,
    final_norm=True,
)
SAID = {
    "model_type": "dinov2",
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "image_size": SIDE * PATCH,
    "patch_size": PATCH,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
}


def draw(rng) -> dict[str, np.ndarray]:
    """An encoder under the names of transformers, every number random."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, WIDTH),
        "embeddings.mask_token": (1, WIDTH),
        "embeddings.position_embeddings": (1, SIDE**2 + 1, WIDTH),
        "embeddings.patch_embeddings.projection.weight": (WIDTH, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": (WIDTH,),
        "layernorm.weight": (WIDTH,),
        "layernorm.bias": (WIDTH,),
    }
    for i in range(DEPTH):
        for module, shape in {
            "attention.attention.query": (WIDTH, WIDTH),
            "attention.attention.key": (WIDTH, WIDTH),
            "attention.attention.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "norm1": (WIDTH,),
            "norm2": (WIDTH,),
            "mlp.fc1": (4 * WIDTH, WIDTH),
            "mlp.fc2": (WIDTH, 4 * WIDTH),
        }.items():
            shapes[f"encoder.layer.{i}.{module}.weight"] = shape
            shapes[f"encoder.layer.{i}.{module}.bias"] = shape[:1]
        for scale in ("layer_scale1.lambda1", "layer_scale2.lambda1"):
            shapes[f"encoder.layer.{i}.{scale}"] = (WIDTH,)

    def numbers(name, shape):
        array = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return (array + name.endswith(("norm1.weight", "norm2.weight"))).astype("f")

    return {name: numbers(name, shape) for name, shape in shapes.items()}


def official(arrays, block="blocks.{}."):
    """The same under the names of the authors."""
    renamed = {}
    for name, array in arrays.items():
        for old, new in {
            "embeddings.position_embeddings": "pos_embed",
            "embeddings.patch_embeddings.projection": "patch_embed.proj",
            "embeddings.": "",
            "attention.output.dense": "attn.proj",
            "layer_scale1.lambda1": "ls1.gamma",
            "layer_scale2.lambda1": "ls2.gamma",
            "layernorm": "norm",
        }.items():
            name = name.replace(old, new)
        match = re.match(r"encoder\.layer\.(\d+)\.(.*)", name)
        if match:
            name = block.format(match[1]) + match[2]
        renamed[name] = array
    for i in range(DEPTH):
        for leaf in ("weight", "bias"):
            parts = [
                renamed.pop(f"{block.format(i)}attention.attention.{part}.{leaf}")
                for part in ("query", "key", "value")
            ]
            renamed[f"{block.format(i)}attn.qkv.{leaf}"] = np.concatenate(parts)
    return renamed


def write_folder(folder, arrays, **said):
    folder.mkdir(exist_ok=True)
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(SAID | said))
    return folder
