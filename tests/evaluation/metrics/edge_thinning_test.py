"""Thinning equals scikit-image's."""

import numpy as np
import pytest

from samjax.evaluation.metrics.edge_thinning import thin


@pytest.mark.parametrize("seed", range(12))
def test_thinning_equals_scikit_image_on_random_maps(seed):
    morphology = pytest.importorskip("skimage.morphology")
    rng = np.random.default_rng(seed)
    noise = rng.random((47, 61)) < rng.uniform(0.1, 0.95)
    blobs = np.kron(rng.random((9, 11)) < 0.5, np.ones((7, 6), bool))
    for edges in (noise, blobs, ~noise, blobs ^ (rng.random(blobs.shape) < 0.05)):
        assert np.array_equal(thin(edges), morphology.thin(edges))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 5)])
def test_thin_lines_and_empty_maps_stay(shape):
    empty = np.zeros(shape, bool)
    assert not thin(empty).any()
    empty[shape[0] // 2] = True
    assert np.array_equal(thin(empty), empty)


def test_thinning_leaves_its_input_and_is_idempotent():
    edges = np.ones((9, 9), bool)
    once = thin(edges)
    assert edges.all()
    assert 0 < np.count_nonzero(once) < 9
    assert np.array_equal(thin(once), once)
