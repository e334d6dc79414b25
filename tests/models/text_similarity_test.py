"""The comparison of image embeddings with texts, and what it adds to a prompt."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_text_sam import SMALL_TEXT, random_params

from samjax.models import FOREGROUND, NOT_A_POINT, PromptInputs
from samjax.models.text_sam import TextSam
from samjax.models.text_sam.family import entries
from samjax.models.text_similarity import TextSimilarity

COMPARING = dataclasses.replace(SMALL_TEXT, text_similarity_width=8)


@pytest.fixture(scope="module")
def params():
    return random_params(COMPARING)


@pytest.fixture(scope="module")
def features():
    generator = np.random.default_rng(1)
    return jnp.asarray(generator.standard_normal((1, 4, 4, 32), np.float32))


def decode(params, features, text, config=COMPARING, origin=None):
    sets = 1 if text is None else text.shape[1]
    points = jnp.full((1, sets, 2, 2), 20.0)
    labels = jnp.tile(jnp.array([FOREGROUND, NOT_A_POINT]), (1, sets, 1))
    apply = jax.jit(TextSam(config).apply, static_argnames="method")
    return apply(
        {"params": params},
        features,
        PromptInputs(points, labels, text=text),
        origin,
        method="decode",
    )


def texts(count, seed=2):
    vectors = np.random.default_rng(seed).standard_normal((1, count, 12))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return jnp.asarray(vectors, jnp.float32)


def test_the_weight_map_is_the_parameter_tree(params):
    leaves = {
        tuple(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    assert {entry.path: entry.tree_shape for entry in entries(COMPARING)} == leaves


def test_files_of_models_without_it_have_no_such_field():
    assert "text_similarity_width" not in SMALL_TEXT.architecture.as_fields()
    assert COMPARING.architecture.as_fields()["text_similarity_width"] == 8
    assert COMPARING.encoder_fields() == SMALL_TEXT.encoder_fields()
    negative = dataclasses.replace(SMALL_TEXT, text_similarity_width=-1)
    assert "expected 0 to" in negative.problems()[0]


def test_new_weights_start_as_the_model_without_it(params, features):
    similarity = TextSimilarity(8, 12, 32)
    fresh = similarity.init(jax.random.key(0), features, texts(2), (4, 4))
    dense = similarity.apply(fresh, features, texts(2), (4, 4))
    assert dense.shape == (1, 2, 4, 4, 32) and not np.any(dense)
    prompts = {**params["prompt_encoder"], "text_similarity": fresh["params"]}
    started = {**params, "prompt_encoder": prompts}
    plain = decode(params, features, texts(2), SMALL_TEXT)
    got = decode(started, features, texts(2))
    np.testing.assert_allclose(got.low_res_logits, plain.low_res_logits, atol=1e-5)


def test_prompts_without_a_text_do_not_change_by_a_bit(params, features):
    with_it = decode(params, features, None)
    without = decode(params, features, None, SMALL_TEXT)
    np.testing.assert_array_equal(with_it.low_res_logits, without.low_res_logits)


def test_a_text_changes_the_masks_and_each_prompt_has_its_own(params, features):
    vectors = texts(3)
    together = decode(params, features, vectors)
    for index in range(3):
        alone = decode(params, features, vectors[:, index : index + 1])
        np.testing.assert_allclose(
            together.low_res_logits[:, index], alone.low_res_logits[:, 0], atol=1e-4
        )
    plain = decode(params, features, vectors, SMALL_TEXT)
    assert np.abs(plain.low_res_logits - together.low_res_logits).max() > 1e-3


def test_the_logit_is_the_cosine_of_cell_and_text(params, features):
    similarity = TextSimilarity(8, 12, 32)
    variables = {"params": params["prompt_encoder"]["text_similarity"]}
    cells = similarity.apply(variables, features, (4, 4), method="embed_cells")
    np.testing.assert_allclose(np.linalg.norm(cells, axis=-1), 1, atol=1e-3)
    text = texts(2)
    logits = similarity.apply(variables, cells, text, method="compare")
    factor, offset = variables["params"]["calibration"]
    expected = factor * np.einsum("bhwe,bpe->bphw", cells, text) + offset
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_crop_has_the_cells_of_the_whole_input(params):
    generator = np.random.default_rng(3)
    whole = jnp.asarray(generator.standard_normal((1, 6, 6, 32), np.float32))
    similarity = TextSimilarity(8, 12, 32)
    variables = {"params": params["prompt_encoder"]["text_similarity"]}
    cells = similarity.apply(variables, whole, (6, 6), method="embed_cells")
    crop = similarity.apply(
        variables, whole[:, 2:5, 1:4], (6, 6), jnp.array([1, 2]), method="embed_cells"
    )
    np.testing.assert_allclose(crop, cells[:, 2:5, 1:4], atol=1e-5)
