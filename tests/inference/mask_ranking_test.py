"""Masks compared with texts by CLIP."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, tree_of
from models.siglip.model_test import SMALL as SMALL_SIGLIP
from models.siglip.model_test import random_params
from text.small_vocabularies import write_unigram_json

import samjax
from samjax import checkpoints
from samjax.inference.mask_ranking import MaskRanker
from samjax.models.clip import Clip
from samjax.models.siglip import Siglip
from samjax.text import ClipTokenizer, SiglipTokenizer

CONFIG = dataclasses.replace(SMALL, vocab_size=49_408)
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
MASKS = np.zeros((3, 40, 50), bool)
MASKS[0, 5:25, 5:25] = MASKS[1, 20:40, 30:34] = MASKS[2, 1, 1] = True


@pytest.fixture(scope="module")
def ranker():
    return MaskRanker(Clip(CONFIG), tree_of(CONFIG, random_state(CONFIG)))


def test_similarities_are_cosines_of_every_mask_and_text(ranker):
    similar = ranker.compare(IMAGE, MASKS, ["a wheel", "a window"])
    assert similar.shape == (3, 2) and np.abs(similar).max() <= 1 + 1e-6
    masks, texts = ranker.embed_masks(IMAGE, MASKS), ranker.embed_texts(["a window"])
    np.testing.assert_allclose(np.linalg.norm(masks, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(similar[:, 1:], masks @ texts.T, atol=1e-6)
    assert len(np.unique(similar.round(5))) == 6


def test_the_options_of_crops_change_the_vectors(ranker):
    plain = ranker.embed_masks(IMAGE, MASKS[:1])
    for change in ({"growth": 1.0}, {"is_zeroed": True}, {"is_masked": False}):
        other = dataclasses.replace(ranker, **change).embed_masks(IMAGE, MASKS[:1])
        assert np.abs(other - plain).max() > 1e-3, change


def test_no_masks_have_no_rows_and_no_texts_are_refused(ranker):
    assert ranker.compare(IMAGE, MASKS[:0], ["a"]).shape == (0, 1)
    for texts in ("a wheel", []):
        with pytest.raises(ValueError, match="expected a list of phrases"):
            ranker.compare(IMAGE, MASKS, texts)
    with pytest.raises(ValueError, match="expected some of"):
        ranker.embed_masks(IMAGE, np.zeros((1, 40, 50), bool))


def test_a_folder_of_siglip_compares_masks_with_texts(tmp_path):
    pytest.importorskip("tokenizers")
    config = dataclasses.replace(SMALL_SIGLIP, vocab_size=200)
    own = checkpoints.save(tmp_path / "a.safetensors", config, random_params(config))
    folder = checkpoints.convert(own, tmp_path / "hf", format="huggingface")
    write_unigram_json(folder)
    model, params = samjax.load(folder)
    tokenizer = SiglipTokenizer.read(folder, context_length=config.context_length)
    ranker = MaskRanker(model, params, tokenizer)
    similar = ranker.compare(IMAGE, MASKS, ["left mug", "red cup"])
    assert similar.shape == (3, 2) and len(np.unique(similar.round(5))) == 6
    vectors = ranker.embed_texts(["Red cup!"])
    expected = model.apply(
        {"params": params}, jnp.asarray(tokenizer("red cup")), method="embed_text"
    )
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected), atol=1e-5)
    assert ranker.compare(IMAGE, MASKS[:0], ["a"]).shape == (0, 1)


def test_the_tokenizer_of_another_model_is_refused(tmp_path, ranker):
    pytest.importorskip("tokenizers")
    tokenizer = SiglipTokenizer.read(write_unigram_json(tmp_path), context_length=13)
    siglip = Siglip(SMALL_SIGLIP)  # 99 tokens
    for model, other, problem in (
        (siglip, None, "expected a SiglipTokenizer"),
        (siglip, ClipTokenizer(), "expected a SiglipTokenizer"),
        (ranker.model, tokenizer, "expected a ClipTokenizer"),
        (ranker.model, ClipTokenizer(context_length=9), "expected context_length="),
        (siglip, tokenizer, "tokens for a model of 99"),
    ):
        with pytest.raises((TypeError, ValueError), match=problem):
            MaskRanker(model, {}, other).embed_texts(["left mug"])
