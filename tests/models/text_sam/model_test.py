"""SAM with text: its weights, and the token that a text becomes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax import checkpoints
from samjax.checkpoints import CheckpointError
from samjax.inference.embedding import fingerprint
from samjax.models import FOREGROUND, NOT_A_POINT, PromptInputs, Sam, SamConfig
from samjax.models.text_sam import TextSam
from samjax.models.text_sam.family import entries


@pytest.fixture(scope="module")
def params():
    return random_params()


def plain_config():
    """The config of the same SAM without text."""
    names = [field.name for field in dataclasses.fields(SamConfig)]
    return SamConfig(**{name: getattr(SMALL_TEXT, name) for name in names})


def encode(params, prompts, config=SMALL_TEXT):
    model = TextSam(config) if config is SMALL_TEXT else Sam(config)
    apply = jax.jit(model.apply, static_argnames=("method", "grid"))
    return apply({"params": params}, prompts, grid=(4, 4), method="encode_prompts")


@pytest.mark.parametrize("tower", ["clip", "siglip"])
def test_the_weight_map_is_the_parameter_tree(tower):
    words = {} if tower == "clip" else {"words": ()}
    config = dataclasses.replace(SMALL_TEXT, text_tower=tower, **words)
    params = random_params(config)
    leaves = {
        tuple(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    assert {entry.path: entry.tree_shape for entry in entries(config)} == leaves
    assert set(params) == set(config.parts)


@pytest.mark.parametrize("format", ["samjax", "safetensors"])
def test_weights_come_back(tmp_path, params, format):
    own = checkpoints.save(tmp_path / "own.safetensors", SMALL_TEXT, params)
    other = checkpoints.convert(own, tmp_path / "b.safetensors", format=format)
    model, read = samjax.load(other)
    assert isinstance(model, TextSam) and model.config == SMALL_TEXT
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_a_pth_is_refused_as_no_tensor_shows_the_vocabulary(tmp_path, params):
    own = checkpoints.save(tmp_path / "own.safetensors", SMALL_TEXT, params)
    with pytest.raises(CheckpointError):
        samjax.load(checkpoints.convert(own, tmp_path / "a.pth"))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"text_heads": 3}, "multiple of text_heads"),
        ({"vocab_size": 5}, "4 more than its 7 words"),
        ({"text_depth": 0}, "text_depth is 0"),
        ({"text_tower": "t5"}, "expected clip or siglip"),
        ({"text_tower": "siglip"}, "words are for towers of the kind clip"),
        ({"text_vocabulary": "eJw="}, "text_vocabulary is for siglip"),
    ],
)
def test_sizes_that_no_model_has_are_refused(change, words):
    (problem,) = dataclasses.replace(SMALL_TEXT, **change).problems()
    assert words in problem


def test_embeddings_of_images_do_not_depend_on_the_text_tower(params):
    plain = plain_config()
    assert fingerprint(plain, params) == fingerprint(SMALL_TEXT, params)
    other = dict(params, text_encoder=random_params(seed=1)["text_encoder"])
    assert fingerprint(SMALL_TEXT, other) == fingerprint(SMALL_TEXT, params)


def test_the_text_is_the_first_token_and_one_linear_layer_of_its_vector(params):
    generator = np.random.default_rng(0)
    text = jnp.asarray(generator.standard_normal((1, 2, 12), np.float32))
    points = jnp.asarray(generator.uniform(0, 64, (1, 2, 2, 2)).astype(np.float32))
    labels = jnp.tile(jnp.array([FOREGROUND, NOT_A_POINT]), (1, 2, 1))
    both = encode(params, PromptInputs(points, labels, text=text))
    layer = params["prompt_encoder"]["text_projection"]
    expected = np.asarray(text) @ layer["kernel"] + layer["bias"]
    np.testing.assert_allclose(both.sparse[:, :, 0], expected, atol=1e-5)
    assert both.token_mask.all() and both.sparse.shape == (1, 2, 3, 32)
    alone = encode(params, PromptInputs(points, labels))
    np.testing.assert_array_equal(both.sparse[:, :, 1:], alone.sparse)
    # Without a text the model is SAM.
    plain = encode(params, PromptInputs(points, labels), plain_config())
    np.testing.assert_array_equal(plain.sparse, alone.sparse)


def test_sam_without_text_refuses_vectors_of_texts(params):
    points, labels = jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1), jnp.int32)
    with pytest.raises(ValueError, match="no text projection"):
        encode(
            params,
            PromptInputs(points, labels, text=jnp.ones((1, 1, 12))),
            plain_config(),
        )


def test_vectors_of_texts_have_length_1(params):
    tokens = jnp.array([[9, 1, 4, 10, 0], [9, 3, 10, 0, 0]])
    apply = jax.jit(TextSam(SMALL_TEXT).apply, static_argnames="method")
    vectors = apply({"params": params}, tokens, method="embed_text")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.05
