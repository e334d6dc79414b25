"""OWLv2 computes what transformers' `Owlv2ForObjectDetection` does, and is read from it."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.clip.small_clip import SMALL as SMALL_CLIP
from models.clip.small_clip import random_tokens

import samjax
from samjax import checkpoints
from samjax.models.owl import OWL_VIT_B16, OWL_VIT_L14, Owl, OwlConfig
from samjax.models.owl.family import entries
from samjax.models.owl.hugging_face import (
    config_from_hugging_face,
    config_to_hugging_face,
)

SMALL = OwlConfig(
    **{**dataclasses.asdict(SMALL_CLIP), "embed_dim": 32, "vision_heads": 4}
)


def random_params(config, seed=0):
    generator = np.random.default_rng(seed)
    tree: dict = {}
    for entry in entries(config):
        noise = np.float32(0.2) * generator.standard_normal(
            entry.tree_shape, np.float32
        )
        *folders, leaf = entry.path
        place = tree
        for name in folders:
            place = place.setdefault(name, {})
        place[leaf] = noise + np.float32(leaf == "scale")
    return tree


@pytest.mark.parametrize(
    "config", [SMALL, OWL_VIT_B16, OWL_VIT_L14], ids=["s", "b", "l"]
)
def test_the_weight_map_is_the_parameter_tree(config):
    side = config.image_size
    shapes = jax.eval_shape(
        Owl(config).init,
        jax.random.key(0),
        jnp.zeros((1, side, side, 3)),
        jnp.zeros((1, config.context_length), jnp.int32),
    )["params"]
    leaves = {
        tuple(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    assert {entry.path: entry.tree_shape for entry in entries(config)} == leaves
    assert set(shapes) == set(config.parts) and not config.problems()


def test_the_base_model_has_as_many_parameters_as_transformers_has():
    at_768 = dataclasses.replace(OWL_VIT_B16, image_size=768)
    assert sum(math.prod(entry.shape) for entry in entries(at_768)) == 153_971_464


@pytest.mark.parity
def test_boxes_and_logits_equal_those_of_transformers(tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import Owlv2ForObjectDetection

    params = random_params(SMALL)
    own = checkpoints.save(tmp_path / "a.safetensors", SMALL, params)
    folder = checkpoints.convert(own, tmp_path / "hf", format="huggingface")
    # The stubs have one return type, whatever the options.
    loaded: Any = Owlv2ForObjectDetection.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    reference, report = loaded
    assert not any(report.values()), report
    model, read = samjax.load(folder)
    assert isinstance(model, Owl) and model.config == SMALL
    jax.tree.map(np.testing.assert_array_equal, read, params)
    pixels = np.random.default_rng(2).standard_normal((1, 24, 24, 3), np.float32)
    tokens = random_tokens(SMALL, 3)
    apply = jax.jit(model.apply, static_argnames="method")
    texts = apply({"params": read}, tokens, method="embed_text")
    got = apply({"params": read}, pixels, texts, method="detect")
    with torch.no_grad():
        theirs = reference.eval()(
            pixel_values=torch.tensor(pixels).permute(0, 3, 1, 2),
            input_ids=torch.tensor(tokens).long(),
        )
    np.testing.assert_allclose(got.boxes, theirs.pred_boxes.numpy(), atol=1e-5)
    for ours, expected in (
        (got.logits, theirs.logits.numpy()),
        (got.objectness, theirs.objectness_logits.numpy()),
    ):
        rms = np.sqrt(np.mean(np.square(expected)))
        np.testing.assert_allclose(ours, expected, atol=1e-4 * rms)


def test_configs_go_to_transformers_and_back():
    assert config_from_hugging_face(config_to_hugging_face(SMALL)) == (SMALL, [])
    narrow = config_to_hugging_face(dataclasses.replace(SMALL, embed_dim=20))
    (problem,) = config_from_hugging_face(narrow)[1]
    assert "text_width is 32, expected embed_dim, 20" in problem


@pytest.mark.parametrize("format", ["samjax", "safetensors"])
def test_weights_come_back(tmp_path, format):
    params = random_params(SMALL)
    own = checkpoints.save(tmp_path / "own.safetensors", SMALL, params)
    model, read = samjax.load(
        checkpoints.convert(own, tmp_path / "b.safetensors", format=format)
    )
    assert isinstance(model, Owl) and model.config == SMALL
    jax.tree.map(np.testing.assert_array_equal, read, params)
