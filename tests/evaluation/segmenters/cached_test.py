"""Kept embeddings give the same masks, and those of other weights or images are not used."""

import dataclasses

import jax
import numpy as np
import pytest

from samjax.evaluation.segmenters.cached import CachedSegmenter
from samjax.inference import Predictor
from samjax.inference.embedding import ImageEmbedding
from samjax.prompts import Prompt

PROMPT = Prompt(points=[[20, 20]], labels=[1])


def segmenter_of(predictor, folder):
    return CachedSegmenter(predictor, "small", folder=folder)


@pytest.fixture(scope="module")
def predictor(tiny_model):
    return Predictor(*tiny_model)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_an_embedding_is_computed_once_and_gives_the_same_masks(
    predictor, image, tmp_path
):
    first, again = (segmenter_of(predictor, tmp_path) for _ in range(2))
    masks = [
        segmenter.predict(segmenter.embed(image), [PROMPT])[0].multimask.logits
        for segmenter in (first, again)
    ]
    np.testing.assert_array_equal(*masks)
    assert (first.tally.read, first.tally.written) == (0, 1)
    assert (again.tally.read, again.tally.written) == (1, 0)
    assert "1 read, 0 written" in again.summary() and " MB" in again.summary()
    assert first.describe() == again.describe()
    again.embed(image[::-1].copy())
    assert again.tally.written == 1


def test_other_weights_and_precisions_have_folders_of_their_own(
    tiny_model, predictor, image, tmp_path
):
    model, params = tiny_model
    changed = jax.tree.map(lambda leaf: leaf + 1, params)
    others = (
        Predictor(model, changed),
        Predictor(model.clone(dtype=jax.numpy.bfloat16), params),
    )
    folders = set()
    for one in (predictor, *others):
        segmenter = segmenter_of(one, tmp_path)
        segmenter.embed(image)
        assert segmenter.tally.written == 1
        folders.add(segmenter.own_folder)
    assert len(folders) == 3


def test_stale_and_damaged_files_are_not_used(predictor, image, tmp_path):
    segmenter = segmenter_of(predictor, tmp_path)
    right = segmenter.embed(image)
    (path,) = segmenter.own_folder.iterdir()
    whole = path.read_bytes()
    stale = dataclasses.replace(right, fingerprint="of other weights")
    other = segmenter.embed(image[:40])
    for content in (whole[:-5], stale.to_bytes(), other.to_bytes()):
        path.write_bytes(content)
        again = segmenter_of(predictor, tmp_path)
        np.testing.assert_array_equal(again.embed(image).features, right.features)
        assert again.tally.written == 1
        assert ImageEmbedding.load(path).fingerprint == predictor.fingerprint


def test_a_file_of_the_user_stays(predictor, image, tmp_path):
    segmenter = segmenter_of(predictor, tmp_path)
    segmenter.embed(image)
    (path,) = segmenter.own_folder.iterdir()
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        segmenter.embed(image)
    assert path.read_text() == "mine"
