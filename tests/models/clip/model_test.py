"""The towers compute what transformers' `CLIPModel` does, and hold what CLIP promises."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, random_tokens, tree_of

import samjax
from samjax import checkpoints
from samjax.models.clip import CLIP_SIZES, CLIP_VIT_L14_336, Clip, ClipConfig
from samjax.models.clip.family import FAMILY, entries, guess_config
from samjax.models.clip.text_tower import SHORT, embed_short

# As OpenCLIP's H/14: vision heads that are not 64 wide, and the exact GELU.
EXACT = dataclasses.replace(SMALL, vision_heads=4, quick_gelu=False)
# As B/16: a grid of other sides.
FINE = dataclasses.replace(SMALL, image_size=32, patch_size=4)


@pytest.fixture(scope="module")
def params():
    return tree_of(SMALL, random_state(SMALL))


def apply(config, params, method, *arguments):
    return jax.jit(Clip(config).apply, static_argnames="method")(
        {"params": params}, *arguments, method=method
    )


def relative(got, expected):
    """The largest difference over the RMS of what is expected."""
    return np.abs(got - expected).max() / np.sqrt(np.mean(np.square(expected)))


def compare_with_transformers(config, tmp_path, images=2):
    """Both towers against transformers, through the folder that samjax writes."""
    torch = pytest.importorskip("torch")
    from transformers import CLIPModel

    state = random_state(config)
    own = checkpoints.save(tmp_path / "a.safetensors", config, tree_of(config, state))
    folder = checkpoints.convert(own, tmp_path / "hf", format="huggingface")
    reference = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
    side = config.image_size
    generator = np.random.default_rng(2)
    pixels = generator.standard_normal((images, side, side, 3), np.float32)
    tokens = random_tokens(config, 4)
    params = tree_of(config, state)
    got = apply(config, params, None, pixels, tokens)
    with torch.no_grad():
        theirs = torch.tensor(pixels).permute(0, 3, 1, 2)
        image = reference.get_image_features(pixel_values=theirs).pooler_output
        text = reference.get_text_features(
            input_ids=torch.tensor(tokens).long()
        ).pooler_output
    assert relative(got.images, image.numpy()) < 2e-5
    assert relative(got.texts, text.numpy()) < 2e-5


@pytest.mark.parity
@pytest.mark.parametrize("config", [SMALL, EXACT, FINE], ids=["quick", "exact", "fine"])
def test_towers_equal_those_of_transformers(config, tmp_path):
    pytest.importorskip("torch")
    compare_with_transformers(config, tmp_path)


@pytest.mark.parity
@pytest.mark.exhaustive
@pytest.mark.parametrize("config", [CLIP_VIT_L14_336], ids=["L/14@336"])
def test_towers_of_full_size_equal_those_of_transformers(config, tmp_path):
    pytest.importorskip("torch")
    compare_with_transformers(config, tmp_path, images=1)


@pytest.mark.parametrize("config", [SMALL, *CLIP_SIZES.values()], ids=str)
def test_the_weight_map_is_the_parameter_tree(config):
    side = config.image_size
    shapes = jax.eval_shape(
        Clip(config).init,
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


@pytest.mark.parametrize("release", FAMILY.releases, ids=lambda release: release.name)
def test_published_weights_are_whole_records(release):
    assert CLIP_SIZES[release.name] is release.config and release.licence == "MIT"
    table = entries(release.config)
    assert sum(math.prod(entry.shape) for entry in table) == release.parameters
    assert re.fullmatch("[0-9a-f]{64}", release.sha256)
    assert release.folder_url.endswith(release.sha256)
    # Most numbers are stored in two bytes; the archive has code beside them.
    assert 2 * release.parameters < release.size < 2.5 * release.parameters


@pytest.mark.parametrize(
    "name, arrays", [("clip_vit_b32", 302), ("clip_vit_l14_336", 446)]
)
def test_models_have_as_many_arrays_as_the_release(name, arrays):
    assert len(entries(CLIP_SIZES[name])) == arrays


def test_what_is_after_the_end_token_does_not_matter(params):
    tokens = random_tokens(SMALL, 5)
    end = tokens.argmax(1)
    other = np.where(np.arange(SMALL.context_length) > end[:, None], 7, tokens)
    assert (other != tokens).any()
    expected = apply(SMALL, params, "embed_text", tokens)
    np.testing.assert_array_equal(apply(SMALL, params, "embed_text", other), expected)
    longest = end.max() + 1
    cut = apply(SMALL, params, "embed_text", tokens[:, :longest])
    np.testing.assert_allclose(cut, expected, atol=1e-5)


def test_the_activation_of_the_config_is_the_one_that_is_computed(params):
    tokens = random_tokens(SMALL, 3)
    quick = apply(SMALL, params, "embed_text", tokens)
    exact = apply(
        dataclasses.replace(SMALL, quick_gelu=False), params, "embed_text", tokens
    )
    assert relative(exact, quick) > 1e-3


def test_bfloat16_is_close_to_float32(params):
    tokens = random_tokens(SMALL, 3)
    half = Clip(SMALL, dtype=jnp.bfloat16)
    got = half.apply({"params": params}, jnp.asarray(tokens), method="embed_text")
    expected = apply(SMALL, params, "embed_text", tokens)
    assert got.dtype == jnp.bfloat16
    assert relative(np.float32(got), expected) < 0.1


def test_inputs_of_other_sizes_are_refused(params):
    with pytest.raises(ValueError, match="32 x 24 pixels, expected 24 x 24"):
        apply(SMALL, params, "embed_image", jnp.zeros((1, 32, 24, 3)))
    with pytest.raises(ValueError, match="14 tokens a text, expected at most 13"):
        apply(SMALL, params, "embed_text", jnp.zeros((1, 14), jnp.int32))


def test_configs_that_cannot_be_are_refused():
    wrong = dataclasses.replace(SMALL, vision_heads=5, text_heads=3, image_size=25)
    assert len(wrong.problems()) == 3
    assert (
        "vision_mlp_dim is 0"
        in dataclasses.replace(SMALL, vision_mlp_dim=0).problems()[0]
    )


def test_sizes_are_read_from_shapes_and_the_rest_from_openai_s_numbers_only():
    config = CLIP_SIZES["clip_vit_b32"]
    shapes = {entry.released: entry.shape for entry in entries(config)}
    guessed, problems = guess_config(shapes)
    assert guessed == config and "no tensor shows its activation" in problems[0]
    numbers = {"input_resolution": (), "context_length": (), "vocab_size": ()}
    assert guess_config(shapes | numbers) == (config, [])


def test_shapes_of_nonsense_give_problems_and_no_error():
    for shapes in ({}, {"visual.conv1.weight": (0, 3)}, {"text_projection": (2, 3, 4)}):
        config, problems = guess_config(shapes)
        assert isinstance(config, ClipConfig) and problems


def test_the_family_is_that_of_the_config():
    assert FAMILY.config is ClipConfig and FAMILY.model is Clip


def test_a_predictor_refuses_a_model_that_predicts_no_masks(params):
    with pytest.raises(TypeError, match="Clip"):
        samjax.Predictor(Clip(SMALL), params)  # type: ignore[arg-type]


def test_the_class_token_attends_only_inside_of_a_mask_in_the_last_block():
    shallow = dataclasses.replace(SMALL, vision_depth=1)
    params = tree_of(shallow, random_state(shallow))
    generator = np.random.default_rng(3)
    pixels = generator.standard_normal((2, 24, 24, 3), np.float32)
    inside = np.zeros((2, 3, 3), bool)
    inside[0, 1, 2] = inside[1, :2, 0] = True
    other = generator.standard_normal(pixels.shape, np.float32)
    patches = np.repeat(np.repeat(inside, 8, 1), 8, 2)[..., None]
    outside_changed = np.where(patches, pixels, other)
    inside_changed = np.where(patches, other, pixels)

    def embed(pixels, inside):
        return np.asarray(apply(shallow, params, "embed_image", pixels, inside))

    masked = embed(pixels, inside)
    # One block: what it attends to are the patches themselves.
    np.testing.assert_allclose(embed(outside_changed, inside), masked, atol=1e-5)
    assert relative(embed(inside_changed, inside), masked) > 0.1
    assert relative(embed(pixels, ~inside), masked) > 0.1
    assert relative(embed(pixels, np.ones_like(inside)), masked) > 0.1


def test_earlier_blocks_see_all_of_the_image():
    pixels = np.random.default_rng(3).standard_normal((1, 24, 24, 3), np.float32)
    inside = np.zeros((1, 3, 3), bool)
    inside[0, 1, 1] = True
    params = tree_of(SMALL, random_state(SMALL))
    other = pixels.copy()
    other[:, :8] += 1
    masked = apply(SMALL, params, "embed_image", pixels, inside)
    assert (
        relative(
            np.asarray(apply(SMALL, params, "embed_image", other, inside)),
            np.asarray(masked),
        )
        > 1e-3
    )


def test_a_short_text_is_embedded_without_what_is_behind_it():
    config = dataclasses.replace(SMALL, context_length=SHORT + 5)
    model, tree = Clip(config), tree_of(config, random_state(config))
    tokens = jnp.asarray(random_tokens(config, 3))
    end = config.vocab_size - 1
    short = tokens.at[:, SHORT - 1 :].set(0).at[:, SHORT - 1].set(end)
    lengths = []

    def embed(rows):
        lengths.append(rows.shape[1])
        return model.apply({"params": tree}, rows, method="embed_text")

    for rows in (short, short.at[:, SHORT - 1].set(1).at[:, -1].set(end)):
        expected = embed(rows)
        got = jax.jit(lambda rows: embed_short(embed, rows))(rows)
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert set(lengths) == {SHORT, SHORT + 5}
