"""Vectors of CLIP beside the masks of a batch: crops, cache, sidecar, areas, noise."""

import dataclasses

import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, tree_of
from training.discs import disc_batch

from samjax.data.mask_crops import CropConfig
from samjax.models.clip import Clip
from samjax.training.text import source as source_module
from samjax.training.text.config import TextTraining
from samjax.training.text.source import TextSource

PARAMS = tree_of(SMALL, random_state(SMALL))
CONFIG = TextTraining(crops=CropConfig(side=24, patch=8), variants=3, smallest_area=0)


class Discs:
    def batch(self, step):
        return disc_batch(step % 2)


def make(config=CONFIG, seed=0, params=PARAMS):
    return TextSource(Discs(), Clip(SMALL), params, config, seed=seed)


@pytest.fixture
def counted(monkeypatch):
    """Calls of CLIP."""
    calls = []

    def count(*arguments, **options):
        calls.append(1)
        return embed(*arguments, **options)

    embed = source_module.embed_crops
    monkeypatch.setattr(source_module, "embed_crops", count)
    return calls


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
