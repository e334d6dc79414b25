"""Masks compared with texts by CLIP."""

import dataclasses

import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, tree_of

from samjax.inference.mask_ranking import MaskRanker
from samjax.models.clip import Clip

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
