"""SigLIP computes what transformers' `SiglipModel` does, and is read from its folders."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.siglip.small_siglip import SMALL, random_params

import samjax
from samjax import checkpoints
from samjax.checkpoints.families import family_of
from samjax.data.mask_crops import CropConfig, crop_mask
from samjax.models.clip.crops import embed_crops
from samjax.models.siglip import (
    SIGLIP_SO400M,
    SIGLIP_VIT_B16,
    SIGLIP_VIT_L16,
    Siglip,
    SiglipConfig,
)
from samjax.models.siglip.family import FAMILY, entries, guess_config
from samjax.models.siglip.hugging_face import (
    config_from_hugging_face,
    config_to_hugging_face,
)


def random_inputs(config: SiglipConfig) -> tuple[np.ndarray, np.ndarray]:
    """Three images, and four texts padded with 1, as the release pads."""
    generator = np.random.default_rng(1)
    side = config.image_size
    pixels = generator.standard_normal((3, side, side, 3), np.float32)
    tokens = generator.integers(2, config.vocab_size, (4, config.context_length))
    for row, length in zip(tokens, (1, 3, 9, config.context_length), strict=True):
        row[length:] = 1
    return pixels, tokens.astype(np.int32)


@pytest.fixture(scope="module")
def params() -> dict:
    return random_params(SMALL)


@pytest.mark.parametrize(
    "config", [SMALL, SIGLIP_VIT_B16, SIGLIP_VIT_L16, SIGLIP_SO400M]
)
def test_the_weight_map_is_the_parameter_tree(config):
    side = config.image_size
    shapes = jax.eval_shape(
        Siglip(config).init,
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
    count = sum(math.prod(entry.shape) for entry in entries(SIGLIP_VIT_B16))
    assert count == 203_155_970


def check_towers(config: SiglipConfig, params: dict, folder) -> None:
    torch = pytest.importorskip("torch")
    from transformers import SiglipModel

    own = checkpoints.save(folder / "a.safetensors", config, params)
    converted = checkpoints.convert(own, folder / "hf", format="huggingface")
    # The stubs have one return type, whatever the options.
    loaded: Any = SiglipModel.from_pretrained(
        converted, output_loading_info=True, attn_implementation="eager"
    )
    reference, report = loaded
    assert not any(report.values()), report
    model, read = samjax.load(converted)
    assert isinstance(model, Siglip) and model.config == config
    jax.tree.map(np.testing.assert_array_equal, read, params)
    pixels, tokens = random_inputs(config)
    got = jax.jit(model.apply)({"params": read}, pixels, tokens)
    with torch.no_grad():
        reference.eval()
        images = reference.vision_model(torch.tensor(pixels).permute(0, 3, 1, 2))
        texts = reference.text_model(torch.tensor(tokens).long())
    for ours, theirs in ((got.images, images), (got.texts, texts)):
        expected = theirs.pooler_output.numpy()
        rms = np.sqrt(np.mean(np.square(expected)))
        assert np.abs(ours - expected).max() < 2e-5 * rms


@pytest.mark.parity
def test_towers_equal_those_of_transformers(params, tmp_path):
    check_towers(SMALL, params, tmp_path)


@pytest.mark.parity
def test_crops_have_the_vectors_of_transformers_where_no_patch_is_left_out(
    params, tmp_path
):
    torch = pytest.importorskip("torch")
    from transformers import SiglipModel

    own = checkpoints.save(tmp_path / "a.safetensors", SMALL, params)
    folder = checkpoints.convert(own, tmp_path / "hf", format="huggingface")
    reference: Any = SiglipModel.from_pretrained(folder, attn_implementation="eager")
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (40, 50, 3), np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[8:30, 5:40] = True
    crop = crop_mask(image, mask, 1.2, True, CropConfig(side=26, patch=8))
    inside = np.ones((1, 3, 3), bool)
    got = embed_crops(params, crop.pixels[None], inside, model=Siglip(SMALL))
    with torch.no_grad():
        pixels = torch.tensor(crop.pixels[None]).permute(0, 3, 1, 2) / 255
        expected = reference.eval().vision_model((pixels - 0.5) / 0.5).pooler_output
    expected = expected.numpy() / np.linalg.norm(expected.numpy())
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.exhaustive
def test_towers_of_full_size_equal_those_of_transformers(tmp_path):
    check_towers(SIGLIP_VIT_B16, random_params(SIGLIP_VIT_B16), tmp_path)


def test_pooling_attends_only_inside_of_a_mask(params):
    model, (pixels, _) = Siglip(SMALL), random_inputs(SMALL)
    inside = np.zeros((3, 3, 3), bool)
    inside[:, 1, 1] = True
    embed = jax.jit(model.apply, static_argnames="method")

    def embedded(mask, pool):
        tree = {**params, "visual": {**params["visual"], "attnpool": pool}}
        return embed({"params": tree}, pixels, mask, method="embed_image")

    pool = params["visual"]["attnpool"]
    everywhere = embedded(np.ones_like(inside), pool)
    np.testing.assert_allclose(everywhere, embedded(None, pool), atol=1e-5)
    one = embedded(inside, pool)
    assert np.abs(one - everywhere).max() > 0.1
    # With a single patch to attend to, the query does not matter.
    other = embedded(inside, {**pool, "probe": -pool["probe"]})
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_padding_is_read(params):
    # Unlike CLIP's, whose texts end at the end token.
    model, (_, tokens) = Siglip(SMALL), random_inputs(SMALL)
    padded = np.where(tokens == 1, 2, tokens)
    texts = [
        model.apply({"params": params}, jnp.asarray(rows), method="embed_text")
        for rows in (tokens, padded)
    ]
    assert np.abs(np.asarray(texts[0]) - np.asarray(texts[1]))[:3].min(axis=1).all()


def test_inputs_of_other_sizes_are_refused(params):
    model = Siglip(SMALL)
    with pytest.raises(ValueError, match=r"12 tokens a text, expected 13"):
        tokens = jnp.zeros((1, 12), int)
        model.apply({"params": params}, tokens, method="embed_text")
    with pytest.raises(ValueError, match=r"24 x 26 pixels, expected 26 x 26"):
        pixels = jnp.zeros((1, 24, 26, 3))
        model.apply({"params": params}, pixels, method="embed_image")


def test_configs_go_to_transformers_and_back():
    for config in (SMALL, SIGLIP_SO400M):
        assert config_from_hugging_face(config_to_hugging_face(config)) == (config, [])
    assert config_from_hugging_face({"model_type": "siglip"}) == (SIGLIP_VIT_B16, [])


@pytest.mark.parametrize(
    ("section", "field", "value", "problem"),
    [
        ("text_config", "hidden_act", "gelu", "text_config.hidden_act is 'gelu'"),
        ("vision_config", "layer_norm_eps", 1e-5, "layer_norm_eps is 1e-05"),
        ("text_config", "projection_size", 20, "have a width of 20, expected"),
        ("vision_config", "vision_use_head", False, "vision_use_head is off"),
        ("vision_config", "num_attention_heads", 5, "expected a multiple of"),
        ("vision_config", "patch_size", 27, "expected at most image_size, 26"),
        ("text_config", "vocab_size", -1, "vocab_size is -1"),
    ],
)
def test_what_is_wrong_in_a_config_is_named(section, field, value, problem):
    content = config_to_hugging_face(SMALL)
    content[section][field] = value
    assert problem in "\n".join(config_from_hugging_face(content)[1])


@pytest.mark.parametrize("format", ["samjax", "safetensors"])
def test_weights_come_back(tmp_path, params, format):
    own = checkpoints.save(tmp_path / "own.safetensors", SMALL, params)
    model, read = samjax.load(
        checkpoints.convert(own, tmp_path / "b.safetensors", format=format)
    )
    assert isinstance(model, Siglip) and model.config == SMALL
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_sizes_are_read_from_shapes_and_the_heads_are_not():
    shapes = {entry.released: entry.shape for entry in entries(SMALL)}
    config, problems = guess_config(shapes)
    seen = dataclasses.replace(SMALL, image_size=24)  # the patches that there are
    assert dataclasses.replace(config, vision_heads=3, text_heads=4) == seen
    assert "no tensor shows its attention heads" in problems[-1]
    assert guess_config({})[1]


def test_the_family_is_that_of_the_config():
    assert family_of(SMALL) is FAMILY
