"""Scenic's checkpoints of OWLv2 have the weights that transformers has of the same file.

The layout is written as the public conversion of scenic's files to transformers reads it:
its renamings and transpositions, the other way round.
"""

import re

import flax.serialization
import jax
import ml_dtypes
import numpy as np
import pytest
from models.owl.model_test import SMALL, random_params
from safetensors.numpy import load_file

import samjax
from samjax import checkpoints
from samjax.models.owl import Owl

NORMS = {"layer_norm1": "ln_0", "layer_norm2": "ln_1"}
ATTENTION = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
RENAMED = {
    "owlv2.vision_model.embeddings.class_embedding": "visual/class_embedding",
    "owlv2.vision_model.embeddings.patch_embedding.weight": "visual/conv1/kernel",
    "owlv2.vision_model.embeddings.position_embedding.weight": (
        "visual/positional_embedding"
    ),
    "owlv2.text_model.embeddings.token_embedding.weight": (
        "text/token_embedding/embedding"
    ),
    "owlv2.text_model.embeddings.position_embedding.weight": (
        "text/positional_embedding"
    ),
    "owlv2.logit_scale": "logit_scale",
    "owlv2.text_projection.weight": "text/text_projection/kernel",
}
FINAL = {
    "pre_layernorm": "visual/ln_pre",
    "post_layernorm": "visual/ln_post",
    "final_layer_norm": "text/ln_final",
}


def scenic_name(name, dot="."):
    """The name in scenic's file of a tensor of transformers."""
    if name in RENAMED:
        return f"backbone/clip/{RENAMED[name]}"
    layer, leaf = name.rsplit(".", 1)
    norm_leaf = {"weight": "scale", "bias": "bias"}[leaf]
    leaf = {"weight": "kernel", "bias": "bias"}[leaf]
    if layer.split(".")[-1] in FINAL:
        return f"backbone/clip/{FINAL[layer.split('.')[-1]]}/{norm_leaf}"
    if layer == "layer_norm":
        return f"backbone/merged_class_token/{norm_leaf}"
    if match := re.fullmatch(
        r"owlv2\.(\w+)_model\.encoder\.layers\.(\d+)\.(.+)", layer
    ):
        tower = {"vision": "visual", "text": "text"}[match[1]]
        block = f"backbone/clip/{tower}/transformer/resblocks{dot}{match[2]}"
        module = match[3]
        if module in NORMS:
            return f"{block}/{NORMS[module]}/{norm_leaf}"
        if module.startswith("self_attn."):
            return f"{block}/attn/{ATTENTION[module.split('.')[1]]}/{leaf}"
        names = {"mlp.fc1": "mlp/c_fc", "mlp.fc2": "mlp/c_proj"}
        return f"{block}/{names[module]}/{leaf}"
    head, module = layer.split(".")
    head = head.replace("box_head", "obj_box_head")
    return f"{head}/{module.replace('dense', 'Dense_')}/{leaf}"


def scenic_array(name, value, config):
    """The array in scenic's layout of a tensor of transformers."""
    tower = "vision" if "vision" in name else "text"
    heads = getattr(config, f"{tower}_heads")
    if "patch_embedding" in name:
        return value.transpose(2, 3, 1, 0)
    if name.endswith("weight") and value.ndim == 2 and "_embedding" not in name:
        value = value.T
    if re.search(r"[qkv]_proj", name):
        return value.reshape(*value.shape[:-1], heads, -1)
    if name.endswith("out_proj.weight"):
        return value.reshape(heads, -1, value.shape[-1])
    return value


@pytest.fixture(scope="module")
def params():
    return random_params(SMALL)


@pytest.fixture(scope="module")
def arrays(params, tmp_path_factory):
    """The arrays of a file of scenic, by name."""
    folder = tmp_path_factory.mktemp("owl")
    own = checkpoints.save(folder / "a.safetensors", SMALL, params)
    hf = checkpoints.convert(own, folder / "hf", format="huggingface")
    tensors = load_file(hf / "model.safetensors")
    del tensors["owlv2.visual_projection.weight"]
    return {
        scenic_name(name): scenic_array(name, value, SMALL)
        for name, value in tensors.items()
    }


def nested(arrays):
    tree: dict = {}
    for name, value in arrays.items():
        *folders, leaf = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = np.array(value, order="C")
    return tree


def write(path, tree):
    path.write_bytes(flax.serialization.msgpack_serialize(tree))
    return path


def state_of(arrays):
    """A training state as scenic's trainer saves it, moments of the optimizer included."""
    moments = {name: np.zeros_like(value) for name, value in arrays.items()}
    return {
        "global_step": 7,
        "params": nested(arrays),
        "opt_state": {"0": {"mu": nested(moments), "count": np.int32(7)}},
        "rng": np.array([1, 2], np.uint32),
        "model_state": {},
        "metadata": None,
    }


def check(read, params):
    projection = read["visual"]["proj"]
    assert projection.shape == params["visual"]["proj"].shape
    np.testing.assert_array_equal(projection, 0)
    expected = {**params, "visual": {**params["visual"], "proj": np.array(projection)}}
    jax.tree.map(np.testing.assert_array_equal, read, expected)


def test_weights_are_those_of_transformers_for_every_age_of_file(
    arrays, params, tmp_path
):
    # Newest names, as published for OWLv2, and as before Optax for the first OWL-ViT.
    newest = {name.replace("blocks.", "blocks_"): of for name, of in arrays.items()}
    oldest = {
        re.sub(
            r"(blocks\.\d+/ln_)(\d)", lambda m: f"{m[1]}{int(m[2]) + 1}", name
        ): value
        for name, value in arrays.items()
    }
    for number, tree in enumerate(
        (
            state_of(arrays),
            state_of(newest),
            {"optimizer": {"target": nested(oldest), "state": {"step": 1}}},
            nested(arrays),
        )
    ):
        path = write(tmp_path / f"checkpoint_{number}", tree)
        with pytest.warns(UserWarning, match="no projection of images"):
            model, read = samjax.load(path)
        assert isinstance(model, Owl) and model.config == SMALL, number
        check(read, params)


def test_a_first_owl_vit_has_no_objectness_and_may_have_masks(arrays, tmp_path):
    old = {name: of for name, of in arrays.items() if "objectness" not in name}
    old |= {
        "obj_mask_head/Dense_0/kernel": np.ones((2, 2), np.float32),
        "class_head/padding": np.ones((1, 4), np.float32),
    }
    path = write(tmp_path / "owl", {"params": nested(old)})
    with pytest.warns(UserWarning, match="no objectness head; its logits are 0"):
        _, read = samjax.load(path)
    assert all(not leaf.any() for leaf in jax.tree.leaves(read["objectness_head"]))


def test_bfloat16_is_read_and_converted_weights_come_back(arrays, tmp_path):
    narrow = {name: of.astype(ml_dtypes.bfloat16) for name, of in arrays.items()}
    path = write(tmp_path / "owl", {"params": nested(narrow)})
    with pytest.warns(UserWarning, match="no projection"):
        converted = checkpoints.convert(path, tmp_path / "b.safetensors")
    with pytest.warns(UserWarning, match="no projection"):
        _, read = samjax.load(path)
    jax.tree.map(np.testing.assert_array_equal, samjax.load(converted)[1], read)
    kernel = read["box_head"]["dense2"]["kernel"]
    np.testing.assert_array_equal(
        kernel, narrow["obj_box_head/Dense_2/kernel"].astype(np.float32)
    )


DEFECTS = {
    "a missing array": (
        lambda tree: tree["box"].pop("Dense_1"),
        r"obj_box_head/Dense_1/kernel is missing",
    ),
    "an array too much": (
        lambda tree: tree["box"].update(more=np.ones(3, np.float32)),
        r"obj_box_head/more \(3,\) is not part of the model",
    ),
    "another shape": (
        lambda tree: tree["box"]["Dense_1"].update(kernel=np.ones((3, 4), np.float32)),
        r"Dense_1/kernel has shape \(3, 4\), expected \(48, 48\)",
    ),
    "half of an objectness head": (
        lambda tree: tree["params"]["objectness_head"]["Dense_0"].pop("bias"),
        r"objectness_head/Dense_0/bias is missing",
    ),
    "no text tower": (
        lambda tree: tree["params"]["backbone"]["clip"].pop("text"),
        r"text_width is 1, expected|is missing",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.filterwarnings("ignore:.*no objectness head")
def test_what_is_wrong_is_named(arrays, tmp_path, defect):
    change, problem = DEFECTS[defect]
    tree = {"params": nested(arrays)}
    change({**tree, "box": tree["params"]["obj_box_head"]})
    with pytest.raises(checkpoints.CheckpointError, match=problem):
        samjax.load(write(tmp_path / "owl", tree))
