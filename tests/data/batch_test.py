"""Batches of run boundaries decode to dense batches inside a jitted step."""

import jax
import numpy as np

from samjax.data.batch import Batch, RunBatch, dense_batch


def run_batch(batch: int = 2, masks: int = 3, side: int = 8) -> RunBatch:
    """One mask of a column in each image, then padding."""
    runs = np.full((batch, masks, 4), side * side, np.int32)
    runs[:, 0, :2] = [side, 2 * side]
    runs[:, 1, 0] = 0
    valid = np.zeros((batch, masks), bool)
    valid[:, 0] = True
    return RunBatch(
        images=np.zeros((batch, side, side, 3), np.uint8),
        sizes=np.full((batch, 2), 5, np.int32),
        runs=runs,
        valid=valid,
        status=np.zeros(batch, np.int32),
        bad_masks=np.zeros(batch, np.int32),
        index=np.arange(batch),
    )


def test_masks_are_decoded_inside_a_jitted_step():
    batch = run_batch()
    dense = jax.jit(dense_batch)(batch)
    assert isinstance(dense, Batch)
    expected = np.zeros((2, 3, 8, 8), bool)
    # The second mask has boundaries but is not valid.
    expected[:, 0, :5, 1] = True
    np.testing.assert_array_equal(dense.masks, expected)
    for name in ("images", "sizes", "valid"):
        np.testing.assert_array_equal(getattr(dense, name), getattr(batch, name))


def test_a_dense_batch_is_returned_unchanged():
    dense = jax.jit(dense_batch)(run_batch())
    assert dense_batch(dense) is dense
