"""Vectors of CLIP beside the masks of a batch: crops, cache, sidecar, areas, noise."""

import dataclasses

import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, tree_of
from models.siglip.small_siglip import SMALL as SMALL_SIGLIP
from models.siglip.small_siglip import random_params as random_siglip
from training.discs import disc_batch

from samjax.data.mask_crops import CropConfig
from samjax.models.clip import Clip
from samjax.models.siglip import Siglip
from samjax.training.text import source as source_module
from samjax.training.text.config import TextTraining
from samjax.training.text.means import image_mean, mean_shift, text_mean
from samjax.training.text.source import TextSource, shard_name

PARAMS = tree_of(SMALL, random_state(SMALL))
CONFIG = TextTraining(crops=CropConfig(side=24, patch=8), variants=3, smallest_area=0)


class Discs:
    def batch(self, step):
        return disc_batch(step % 2)


def make(config=CONFIG, seed=0, params=PARAMS):
    return TextSource(Discs(), Clip(SMALL), params, config, seed=seed)


def test_every_mask_has_a_vector_of_length_1_and_is_embedded_once(counted):
    source = make()
    batches = [source.batch(step) for step in range(8)]
    assert len(counted) == 8  # two batches of two images of two masks
    for batch in batches:
        assert batch.text.shape == (2, 2, SMALL.embed_dim) and batch.valid.all()
        np.testing.assert_allclose(np.linalg.norm(batch.text, axis=-1), 1, atol=1e-6)
    # Several crops of a mask are drawn from, a function of seed and step alone.
    drawn = {batch.text[0, 0].tobytes() for batch in batches[::2]}
    assert 1 < len(drawn) <= 3
    np.testing.assert_array_equal(make().batch(5).text, batches[5].text)
    others = np.asarray(make(seed=1).batch(5).text)
    assert np.abs(others - np.asarray(batches[5].text)).max() > 1e-3


def test_small_masks_are_not_valid_by_their_area_at_1024_pixels():
    area = np.asarray(disc_batch(0).masks).sum((2, 3)) * 32**2
    config = dataclasses.replace(CONFIG, smallest_area=int(np.median(area)))
    batch = make(config).batch(0)
    np.testing.assert_array_equal(batch.valid, area >= int(np.median(area)))
    assert not batch.text[~batch.valid].any() and (~batch.valid).any()


def test_noise_moves_vectors_and_keeps_their_length():
    plain = np.asarray(make().batch(0).text)
    noisy = np.asarray(make(dataclasses.replace(CONFIG, noise=0.1)).batch(0).text)
    assert 0.05 < np.linalg.norm(noisy - plain, axis=-1).mean() < 1
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=-1), 1, atol=1e-6)


def test_a_sidecar_saves_the_work_of_later_runs_and_a_stale_one_is_refused(
    tmp_path, counted
):
    path = tmp_path / "made" / "vectors.safetensors"
    config = dataclasses.replace(CONFIG, sidecar=str(path))
    first = make(config)
    expected = first.batch(0).text
    first.close()
    counted.clear()
    np.testing.assert_array_equal(make(config).batch(0).text, expected)
    assert not counted
    other = dict(PARAMS, logit_scale=PARAMS["logit_scale"] + 1)
    grown = dataclasses.replace(config, crops=CropConfig(side=24, patch=8, zeroed=0.1))
    for change in ({"params": other}, {"seed": 1}, {"config": grown}):
        with pytest.raises(ValueError, match="of another CLIP, of other crops"):
            make(**{"config": config, **change})


def test_crops_of_another_size_than_clip_s_are_refused():
    with pytest.raises(
        ValueError, match="crops are of 336 pixels.*CLIP takes 24 and 8"
    ):
        make(TextTraining())


def test_siglip_s_vectors_stand_for_texts_as_clip_s_do():
    params, model = random_siglip(SMALL_SIGLIP), Siglip(SMALL_SIGLIP)
    crops = CropConfig(side=26, patch=8)
    config = dataclasses.replace(CONFIG, crops=crops, variants=1)
    vectors = TextSource(Discs(), model, params, config, seed=0).batch(0).text
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-6)
    # With every patch inside, they are others: the pooling is masked.
    whole = TextSource(Discs(), model, params, config, seed=0)
    whole._vectors.find = lambda shard, key: None
    draw = source_module.draw_crop

    def all_inside(*arguments):
        crop = draw(*arguments)
        return crop._replace(inside=np.ones_like(crop.inside))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "draw_crop", all_inside)
        unmasked = whole.batch(0).text
    assert np.abs(np.asarray(vectors) - np.asarray(unmasked)).max() > 0.01
    with pytest.raises(ValueError, match="SigLIP takes 26 and 8"):
        TextSource(Discs(), model, params, CONFIG, seed=0)


def test_what_a_reader_has_besides_batches_is_passed_on():
    class Reader(Discs):
        position = {"step": 3}  # noqa: RUF012
        closed = False

        def close(self):
            self.closed = True

    inner = Reader()
    source = TextSource(inner, Clip(SMALL), PARAMS, CONFIG, seed=0)
    assert source.position == {"step": 3}
    source.close()
    assert inner.closed


def test_the_shift_gives_images_the_mean_of_phrases():
    config = dataclasses.replace(CONFIG, mean_masks=8)
    clip = Clip(dataclasses.replace(SMALL, vocab_size=49_408))
    params = tree_of(clip.config, random_state(clip.config))
    shift = mean_shift(
        TextSource(Discs(), clip, params, config, seed=0), clip, params, 8
    )
    plain, shifted = (
        TextSource(Discs(), clip, params, config, seed=0, shift=of)
        for of in (None, shift)
    )
    vectors = [
        np.asarray(shifted.batch(step).text).reshape(-1, SMALL.embed_dim)
        for step in (0, 1)
    ]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-6)
    # Before vectors are scaled to length 1 again, the means agree.
    moved = np.concatenate(
        [
            np.asarray(plain.batch(step).text).reshape(-1, SMALL.embed_dim) + shift
            for step in (0, 1)
        ]
    )
    mean = text_mean(clip, params)
    np.testing.assert_allclose(moved.mean(0), mean, atol=1e-5)
    unit = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    # Stored in float16, vectors have a length of nearly 1.
    np.testing.assert_allclose(np.concatenate(vectors), unit, atol=1e-3)
    gaps = [
        np.linalg.norm(of.mean(0) - mean)
        for of in (moved - shift, np.concatenate(vectors))
    ]
    assert gaps[1] < 0.5 * gaps[0]


def test_a_source_without_masks_has_no_mean(monkeypatch):
    monkeypatch.setattr("samjax.training.text.means.MOST_STEPS", 3)
    with pytest.raises(ValueError, match="got no mask in 3 batches"):
        image_mean(make(dataclasses.replace(CONFIG, smallest_area=10**9)), 4)


def test_shards_are_tars_or_a_thousand_examples():
    class Tars:
        def shard_of(self, index):
            return f"sa_{index:06d}"

    assert shard_name(Tars(), 3) == "sa_000003"
    assert [shard_name(None, i) for i in (0, 999, 1000)] == ["000000"] * 2 + ["000001"]
