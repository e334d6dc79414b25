"""A proposer with a small model: fitted, saved, used; detectors fit in its place."""

import sys

import numpy as np
import pytest

from samjax.engine.proposer.annotated import (
    AnnotatedImage,
    EmbeddingFolder,
    Pair,
    split_in_parts,
)
from samjax.engine.proposer.fitted import Proposer
from samjax.engine.proposer.fitting import FitConfig, fit_proposer
from samjax.engine.proposer.prompting import DetectorPrompts, GridPrompts
from samjax.engine.proposer.proposing import candidates, choose, propose
from samjax.engine.proposer.training import HeadConfig
from samjax.files import WouldReplace
from samjax.geometry.masks import counts_to_mask
from samjax.inference.detectors import FixedBoxes

CONFIG = FitConfig(
    points=9,
    precision=0.01,
    iou=0.05,
    head=HeadConfig(channels=8, steps=4, batch_size=2),
)


def image(number: int) -> AnnotatedImage:
    def read() -> Pair:
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 100, (48, 64, 3), np.uint8)
        mask = np.zeros((48, 64), bool)
        top, left = rng.integers(2, 20, 2)
        mask[top : top + 22, left : left + 26] = True
        pixels[mask] += 120
        return Pair(pixels, [mask])

    return AnnotatedImage(name=f"image {number}", read=read)


IMAGES = [image(number) for number in range(24)]


@pytest.fixture(scope="module")
def fitted(predictor, tmp_path_factory):
    folder = EmbeddingFolder(tmp_path_factory.mktemp("embeddings"), predictor)
    return fit_proposer(predictor, IMAGES, folder, CONFIG), folder


@pytest.mark.parametrize("count", [3, 4, 7, 24])
def test_every_image_is_in_one_part_and_no_part_is_empty(count):
    parts = split_in_parts(IMAGES[:count])
    assert all(parts)
    names = [image.name for part in parts for image in part]
    assert sorted(names) == sorted(image.name for image in IMAGES[:count])
    assert split_in_parts(IMAGES[:count][::-1]) == parts


def test_a_proposer_is_measured_beside_the_grid(fitted):
    measured = fitted[0].measured
    for name in ("proposer", "grid"):
        assert 0 <= measured[name]["recall"] <= 1
        low, high = measured[name]["recall_interval"]
        assert low <= measured[name]["recall"] <= high
    assert measured["images"] >= 1


def test_a_saved_proposer_proposes_the_same(fitted, predictor, tmp_path):
    proposer, folder = fitted
    path = tmp_path / "proposer.safetensors"
    proposer.save(path)
    again = Proposer.load(path)
    again.check(predictor)
    pair = IMAGES[0].read()
    embedding = folder.embed(pair.pixels)
    shown = [
        propose(predictor, embedding, of.source, of.confidence, count=9)
        for of in (proposer, again)
    ]
    assert shown[0] and len(shown[0]) == len(shown[1])
    for one, other in zip(*shown, strict=True):
        assert one.confidence == other.confidence
        np.testing.assert_array_equal(one.mask.counts, other.mask.counts)
    # It replaces itself, and nothing of others.
    again.save(path)
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"mine")
    with pytest.raises(WouldReplace):
        again.save(foreign)
    with pytest.raises(ValueError, match="no proposer"):
        Proposer.load(foreign)


def test_a_proposer_of_another_model_is_refused(fitted, predictor):
    other = Proposer(
        model="0" * 64,
        confidence=fitted[0].confidence,
        threshold=0.5,
        precision=0.9,
        iou=0.75,
        points=9,
    )
    with pytest.raises(ValueError, match="calibrate it for this model"):
        other.check(predictor)


def test_masks_that_people_made_are_not_proposed_again(fitted, predictor):
    proposer, folder = fitted
    pair = IMAGES[1].read()
    embedding = folder.embed(pair.pixels)
    found = candidates(predictor, embedding, proposer.source, count=9)
    shown = choose(found, proposer.confidence, (48, 64))
    first = shown[0].mask.counts
    left = choose(found, proposer.confidence, (48, 64), made=[first])
    assert len(left) < len(shown)
    mask = counts_to_mask(first, (48, 64))
    for other in left:
        own = counts_to_mask(other.mask.counts, (48, 64))
        assert (own & mask).sum() <= 0.7 * (own | mask).sum()
    assert not choose(found, proposer.confidence, (48, 64), threshold=1.1)


def test_a_detector_of_boxes_takes_the_place_of_the_head(predictor, tmp_path):
    boxes = FixedBoxes({"object": [((5, 5, 30, 40), 0.9), ((20, 10, 60, 45), 0.4)]})
    folder = EmbeddingFolder(tmp_path, predictor)
    source = DetectorPrompts(boxes)
    proposer = fit_proposer(predictor, IMAGES, folder, CONFIG, detector=source)
    proposer.save(tmp_path / "boxes.safetensors")
    again = Proposer.load(tmp_path / "boxes.safetensors")
    with pytest.raises(ValueError, match="for the boxes of a detector"):
        _ = again.source
    pair = IMAGES[2].read()
    embedding = folder.embed(pair.pixels)
    shown = propose(
        predictor, embedding, source, again.confidence, count=9, image=pair.pixels
    )
    assert 1 <= len(shown) <= 8
    with pytest.raises(ValueError, match="no image"):
        source.suggest(None, embedding, 9)


def test_embeddings_are_made_once(predictor, tmp_path, monkeypatch):
    folder = EmbeddingFolder(tmp_path, predictor)
    pixels = IMAGES[3].read().pixels
    first = folder.embed(pixels)
    monkeypatch.setattr(type(predictor), "embed", None)
    np.testing.assert_array_equal(folder.embed(pixels).features, first.features)


def test_images_without_masks_leave_nothing_to_fit(predictor, tmp_path):
    empty = [AnnotatedImage(name=name, read=lambda: None) for name in "abc"]
    folder = EmbeddingFolder(tmp_path, predictor)
    with pytest.raises(ValueError, match="none with masks"):
        fit_proposer(predictor, empty, folder, CONFIG)
    with pytest.raises(ValueError, match="at least three"):
        fit_proposer(predictor, empty[:2], folder, CONFIG)


def test_a_missing_package_is_noticed_before_images_are_read(
    predictor, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "optax", None)
    unread = [AnnotatedImage(name=name, read=lambda: pytest.fail()) for name in "abc"]
    with pytest.raises(ImportError, match="optax"):
        fit_proposer(predictor, unread, EmbeddingFolder(tmp_path, predictor), CONFIG)


def test_all_masks_of_the_grid_are_candidates(predictor, tmp_path):
    folder = EmbeddingFolder(tmp_path, predictor)
    embedding = folder.embed(IMAGES[0].read().pixels)
    found = candidates(predictor, embedding, GridPrompts(), count=9)
    assert 9 <= len(found.masks) <= 27
    assert found.features.shape == (len(found.masks), 6)
