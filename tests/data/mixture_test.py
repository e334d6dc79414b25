"""A mixture has its parts in proportion to their weights, each as if read alone."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import simplejpeg

from samjax.data.batch import DatasetReader, RunBatch, Source
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import (
    BLOCK,
    MixedExamples,
    MixtureConfig,
    MixturePart,
    open_mixture,
)
from samjax.data.synthetic.config import SceneConfig
from samjax.geometry.masks import encode_rle

BATCH = 4
SHAPES = {"image_size": 32, "masks_per_image": 2, "batch_size": BATCH, "seed": 3}
SCENES = SceneConfig(num_objects=3, min_objects=1, camera=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two datasets of grey images, one darker than the other."""
    made = []
    for number, length in enumerate((5, 7)):
        folder = tmp_path_factory.mktemp(f"part{number}")
        for index in range(length):
            pixels = np.full((24, 32, 3), 100 * number + 10 * index, np.uint8)
            mask = np.zeros((24, 32), bool)
            mask[index : index + 6, 3:9] = True
            record = {
                "image": {"height": 24, "width": 32},
                "annotations": [{"segmentation": encode_rle(mask)}],
            }
            name = folder / f"sa_{index}"
            name.with_suffix(".jpg").write_bytes(simplejpeg.encode_jpeg(pixels))
            name.with_suffix(".json").write_text(json.dumps(record))
        made.append(str(folder))
    return made


def config_of(folders, **changes) -> MixtureConfig:
    parts = (
        MixturePart(data=DatasetConfig(path=folders[0], flip=True), weight=3.0),
        MixturePart(data=DatasetConfig(path=folders[1]), weight=2.0),
        MixturePart(scenes=SCENES),
    )
    return MixtureConfig(parts=parts, boundaries_per_mask=64, **changes)


@pytest.fixture
def source():
    """Opens mixtures, and ends their threads after the test."""
    made = []

    def make(config, **changes):
        made.append(open_mixture(config, **SHAPES | changes))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_mixture_is_read_as_a_dataset_without_a_number_of_examples(source, folders):
    reader = source(config_of(folders))
    assert isinstance(reader, DatasetReader) and reader.num_examples is None


def assert_same(one: RunBatch, other: RunBatch):
    for field, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, same)


def together(batches) -> RunBatch:
    return RunBatch(
        *(
            None if fields[0] is None else np.concatenate(fields)
            for fields in zip(*batches, strict=True)
        )
    )


def mixed(*weights: float, seed: int = 0) -> MixedExamples:
    parts = [range(1 << 40) for _ in weights]
    return MixedExamples(parts, list(weights), [1.0 for _ in weights], seed)


@pytest.mark.parametrize("weights", [(3.0, 1.0), (0.7, 0.2, 0.1), (1.0,), (1.0, 999.0)])
def test_counts_of_parts_follow_the_weights(weights):
    order = mixed(*weights)
    parts = np.array([order.locate(index)[0] for index in range(2 * BLOCK)])
    shares = np.array(weights) / sum(weights)
    for until in (BLOCK, 2 * BLOCK):
        found = np.bincount(parts[:until], minlength=len(weights)) / until
        np.testing.assert_allclose(found, shares, atol=1 / BLOCK)
    # Of rows that a batch may have, as if each had been drawn by itself.
    rows = parts.reshape(-1, 8) == 0
    deviation = np.sqrt(shares[0] * (1 - shares[0]) / len(rows))
    assert np.abs(rows.mean(axis=0) - shares[0]).max() <= 4 * deviation
    together = rows.sum(axis=1).var()
    assert abs(together - 8 * shares[0] * (1 - shares[0])) <= 0.1 * together + 1e-9


def test_each_part_is_read_from_its_start_without_a_gap():
    order = mixed(0.5, 0.3, 0.2)
    places = [order.locate(index) for index in range(3 * BLOCK)]
    for part in range(3):
        own = [place for one, place in places if one == part]
        assert own == list(range(len(own)))
    # Far on, without what is before.
    far = range(10**9, 10**9 + 20)
    expected = [order.locate(index) for index in far]
    again = pickle.loads(pickle.dumps(order))
    assert [again.locate(index) for index in reversed(far)] == expected[::-1]
    other = mixed(0.5, 0.3, 0.2, seed=1)
    assert [other.locate(index) for index in far] != expected


def test_every_epoch_of_a_part_has_every_example_once(folders, source):
    reader = source(config_of(folders))
    batches = [reader.batch(step) for step in range(50)]
    assert isinstance(reader, Source) and reader.problems == ()
    whole = together(batches)
    assert whole.weights is None and (whole.status <= 0).all()
    for part, length in ((0, 5), (1, 7)):
        index = whole.index[whole.part == part]
        epochs = index[: len(index) // length * length].reshape(-1, length)
        assert len(epochs) > 3
        assert (np.sort(epochs) == np.arange(length)).all()
        assert len({tuple(epoch) for epoch in epochs}) > 1
        grey = whole.images[whole.part == part, 0, 0, 0]
        np.testing.assert_allclose(grey, 100 * part + 10 * index, atol=2)
    scenes = whole.part == 2
    np.testing.assert_array_equal(whole.index[scenes], np.arange(scenes.sum()))
    assert whole.valid[scenes].any() and (whole.sizes[scenes] == 32).all()


def test_a_batch_depends_on_the_step_alone_for_any_number_of_processes(folders, source):
    config = config_of(folders)
    reader = source(config)
    batches = [reader.batch(step) for step in range(6)]
    for step in (5, 0, 3):
        assert_same(reader.batch(step), batches[step])
        assert reader.position == {"global_next_index": BATCH * (step + 1)}
    for count in (2, 4):
        readers = [
            source(config, process_index=index, process_count=count)
            for index in range(count)
        ]
        for step in (1, 4):
            parts = [one.batch(step) for one in readers]
            assert_same(together(parts), batches[step])


def test_workers_read_and_draw_the_same(folders, source):
    expected = source(config_of(folders))
    reader = source(config_of(folders, workers=2))
    for step in (0, 1, 2, 7):
        assert_same(reader.batch(step), expected.batch(step))


def test_other_seeds_and_equal_parts_have_different_orders(folders, source):
    like = MixturePart(data=DatasetConfig(path=folders[1]))
    config = MixtureConfig(parts=(like, like), boundaries_per_mask=64)
    whole = together([source(config, batch_size=60).batch(0)])
    first, second = (whole.index[whole.part == part][:21] for part in (0, 1))
    assert not np.array_equal(first, second)
    other = source(config, batch_size=60, seed=4).batch(0)
    assert not np.array_equal(other.part, whole.part)
    assert not np.array_equal(other.index, whole.index)


def test_scenes_are_textured_with_the_photos_of_their_part(folders, source):
    plain = MixturePart(scenes=SCENES)
    worn = MixturePart(scenes=SCENES, textures=DatasetConfig(path=folders[1]))
    first, second = (
        source(MixtureConfig(parts=(part,), boundaries_per_mask=64)).batch(0)
        for part in (plain, worn)
    )
    np.testing.assert_array_equal(first.runs, second.runs)
    assert (first.images != second.images).any(axis=(1, 2, 3)).all()


def test_each_example_has_the_loss_weight_of_its_part(folders, source):
    config = config_of(folders)
    lower = dataclasses.replace(config.parts[1], loss_weight=0.25)
    parts = (config.parts[0], lower, config.parts[2])
    batch = source(dataclasses.replace(config, parts=parts), batch_size=20).batch(0)
    assert batch.weights is not None and batch.weights.dtype == np.float32
    np.testing.assert_array_equal(batch.weights, np.where(batch.part == 1, 0.25, 1.0))


def test_an_invalid_mixture_is_refused_with_all_reasons(folders):
    data = DatasetConfig(path=folders[0])
    with pytest.raises(ValueError, match=r"either data or scenes.*weight=0.*loss_weig"):
        MixturePart(weight=0.0, loss_weight=-1.0)
    with pytest.raises(ValueError, match="either data or scenes"):
        MixturePart(data=data, scenes=SCENES)
    with pytest.raises(ValueError, match="textures are for scenes"):
        MixturePart(data=data, textures=data)
    with pytest.raises(ValueError, match="num_scenes is for scenes"):
        MixturePart(data=data, num_scenes=5)
    with pytest.raises(ValueError, match="num_scenes=0: use 1 or more"):
        MixturePart(scenes=SCENES, num_scenes=0)
    with pytest.raises(ValueError, match="parts is empty"):
        MixtureConfig(parts=())
    parts = (
        MixturePart(data=dataclasses.replace(data, workers=2), weight=1e9),
        MixturePart(scenes=SCENES),
    )
    with pytest.raises(
        ValueError, match=r"workers=-1.*parts\[0\].data.workers.*parts\[1\].weight=1"
    ):
        MixtureConfig(parts=parts, workers=-1)
