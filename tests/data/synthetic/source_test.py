import jax
import numpy as np
import pytest

from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.source import SyntheticSource

SCENES = SceneConfig(
    size=32, num_masks=2, num_objects=2, min_objects=1, max_parts=1, camera=False
)


def source(**part):
    return SyntheticSource(SCENES, batch_size=4, seed=3, **part)


def test_the_parts_of_a_batch_are_its_rows_in_order():
    whole = source().batch(5)
    parts = [source(part=i, parts=2).batch(5) for i in range(2)]
    joined = jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, jax.tree.map(np.array, whole))
    assert whole.images.shape == (4, 32, 32, 3) and whole.sizes.shape == (4, 2)


def test_a_batch_that_is_not_in_equal_parts_is_refused():
    with pytest.raises(ValueError, match="4 images is not in 3 equal parts"):
        source(part=0, parts=3)
