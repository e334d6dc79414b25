"""The batch of a step is a function of seed and step, for all readers."""

import json
import time

import numpy as np
import pytest
import simplejpeg

from samjax.data.batch import DatasetReader, RunBatch, Source
from samjax.data.datasets import DatasetConfig, DatasetSource, open_source
from samjax.data.examples import RawExample
from samjax.data.prepare import PrepareConfig, Status, prepare
from samjax.geometry.masks import encode_rle

CONFIG = PrepareConfig(
    image_size=16, masks_per_image=2, boundaries_per_mask=32, flip=True
)
BATCH = 4


class Drawn:
    """A dataset in memory whose images and masks encode their index."""

    def __init__(self, length: int = 10, bad: tuple[int, ...] = ()):
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> RawExample:
        pixels = np.full((12, 16, 3), 10 * index, np.uint8)
        masks = np.zeros((4, 12, 16), bool)
        for i in range(4):
            masks[i, index % 12, 3 * i : 3 * i + 2] = True
        record = {
            "image": {"height": 12, "width": 16},
            "annotations": [{"segmentation": encode_rle(mask)} for mask in masks],
        }
        image = b"damaged" if index in self.bad else simplejpeg.encode_jpeg(pixels)
        return RawExample(str(index), image, json.dumps(record).encode())


@pytest.fixture
def source():
    """Makes sources, and stops their threads after the test."""
    made = []

    def make(examples=None, **changes) -> DatasetSource:
        examples = Drawn() if examples is None else examples
        options = {"batch_size": BATCH, "seed": 0} | changes
        made.append(DatasetSource(examples, CONFIG, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def assert_same(one: RunBatch, other: RunBatch):
    for field, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, same)


def test_a_batch_has_the_fields_of_its_examples(source):
    batch = source().batch(0)
    reader = source()
    assert isinstance(reader, Source) and isinstance(batch, RunBatch)
    assert isinstance(reader, DatasetReader) and reader.num_examples == 10
    assert batch.images.shape == (BATCH, 16, 16, 3)
    assert batch.runs.shape == (BATCH, 2, 32) and batch.valid.all()
    assert (batch.sizes == [12, 16]).all()
    np.testing.assert_allclose(batch.images[:, 0, 0, 0], 10 * batch.index, atol=2)


def test_every_epoch_has_every_example_once_in_an_order_of_its_own(source):
    reader = source()
    indices = np.concatenate([reader.batch(step).index for step in range(10)])
    epochs = indices.reshape(4, 10)
    assert (np.sort(epochs) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 4
    other = source(seed=1).batch(0).index
    assert not np.array_equal(other, indices[:BATCH])


def test_an_example_is_prepared_anew_in_every_epoch(source):
    reader = source(Drawn(length=1), batch_size=1)
    runs = {reader.batch(step).runs.tobytes() for step in range(20)}
    assert len(runs) > 5


def test_a_batch_depends_on_the_step_alone(source):
    reader = source()
    batches = [reader.batch(step) for step in range(6)]
    for step in (5, 0, 3, 3, 1):
        assert_same(reader.batch(step), batches[step])
        assert_same(source().batch(step), batches[step])
        assert reader.position == {"global_next_index": BATCH * (step + 1)}


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_have_contiguous_shards_of_the_same_batch(processes, source):
    readers = [
        source(process_index=i, process_count=processes) for i in range(processes)
    ]
    whole = source()
    for step in (0, 1, 7):
        parts = [reader.batch(step) for reader in readers]
        together = [
            None if fields[0] is None else np.concatenate(fields)
            for fields in zip(*parts, strict=True)
        ]
        assert_same(RunBatch(*together), whole.batch(step))
        assert {reader.position["global_next_index"] for reader in readers} == {
            BATCH * (step + 1)
        }


def test_workers_and_threads_give_the_same_batches_and_resume_anywhere(source):
    """Uses a single pool of workers, since starting one takes seconds."""
    expected = source()
    batches = [expected.batch(step) for step in range(5)]
    reader = source(workers=2)
    for step in (0, 1, 2):
        assert_same(reader.batch(step), batches[step])
    for prefetch in (1, 3):
        threads = source(prefetch=prefetch)
        assert_same(threads.batch(4), batches[4])


def test_damaged_examples_stay_in_the_batch_with_their_status(source):
    reader = source(Drawn(bad=(3, 7)), batch_size=10)
    for step in range(3):
        batch = reader.batch(step)
        damaged = np.isin(batch.index, (3, 7))
        np.testing.assert_array_equal(batch.status[damaged], Status.BAD_IMAGE)
        np.testing.assert_array_equal(batch.status[~damaged], Status.FINE)
        np.testing.assert_array_equal(batch.valid.any(axis=1), ~damaged)


@pytest.mark.parametrize(("smallest", "left"), [(None, 2), (2, 2), (3, 0)])
def test_masks_below_the_smallest_area_are_left_out(smallest, left):
    config = DatasetConfig(path="any", smallest_mask=smallest, boundaries_per_mask=32)
    prepared = config.preparation(image_size=16, masks_per_image=2)
    # Each of its masks has two pixels.
    made = prepare(Drawn()[1], prepared, np.random.default_rng(0))
    assert made.valid.sum() == left and made.bad_masks == 0


class Slow(Drawn):
    """A slow source that does not use the CPU."""

    reads = 0

    def __getitem__(self, index: int, /) -> RawExample:
        type(self).reads += 1
        time.sleep(0.02)
        return super().__getitem__(index)


def test_batches_are_prefetched_up_to_a_bound(source):
    reader = source(Slow(), prefetch=2)
    reader.batch(0)
    time.sleep(1.0)
    # Those asked for, those ready, and those that threads are at.
    assert 3 * BATCH <= Slow.reads <= 5 * BATCH
    start = time.perf_counter()
    reader.batch(1)
    assert time.perf_counter() - start < 0.05


class Failing(Drawn):
    """A source with a bug."""

    def __getitem__(self, index: int, /) -> RawExample:
        raise KeyError("a bug")


def test_a_bug_in_a_source_is_an_error_and_not_the_end_of_the_data(source):
    reader = source(Failing())
    with pytest.raises(KeyError, match="a bug"):
        reader.batch(0)


def test_shards_that_do_not_exist_are_refused(source):
    for index, count in ((0, 3), (2, 2), (-1, 2)):
        with pytest.raises(ValueError, match="multiple of the number of processes"):
            source(process_index=index, process_count=count)
    with pytest.raises(ValueError, match="no examples"):
        source(Drawn(length=0))


def test_a_folder_of_extracted_files_is_opened_by_its_path(tmp_path, source):
    drawn = Drawn(length=3)
    for index in range(3):
        example = drawn[index]
        (tmp_path / f"sa_{index}.jpg").write_bytes(example.image or b"")
        (tmp_path / f"sa_{index}.json").write_bytes(example.record)
    config = DatasetConfig(path=str(tmp_path), flip=True, boundaries_per_mask=32)
    opened = open_source(
        config, image_size=16, masks_per_image=2, batch_size=BATCH, seed=0
    )
    assert_same(opened.batch(2), source(drawn).batch(2))
    opened.close()


def test_a_config_out_of_bounds_is_refused_with_all_reasons():
    with pytest.raises(ValueError, match=r"path is empty.*workers=-1.*fraction=2"):
        DatasetConfig(path="", workers=-1, max_bad_fraction=2.0)
    with pytest.raises(ValueError, match="coco takes one path"):
        DatasetConfig(path=("a", "b"), format="coco")
    with pytest.raises(ValueError, match="jitter"):
        DatasetConfig(path="a", jitter=(2.0, 1.0))
    with pytest.raises(
        ValueError, match=r"smallest_mask=0.*copy_paste=2.*greyscale=-1"
    ):
        DatasetConfig(path="a", smallest_mask=0, copy_paste=2.0, greyscale=-1.0)
    with pytest.raises(ValueError, match="are for coco, not for sa1b"):
        DatasetConfig(path="a", unlabelled=True)
    with pytest.raises(ValueError, match="images are for coco, not for folder"):
        DatasetConfig(path="a", format="folder", images="b")
