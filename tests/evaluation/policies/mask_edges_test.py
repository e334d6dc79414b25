"""Edges from masks: at outer boundaries only, by strength."""

import numpy as np
import pytest

from samjax.evaluation.policies.mask_edges import edges_of_masks

ndimage = pytest.importorskip("scipy.ndimage")

SIZE = (40, 50)


def disc(softness: float, radius: float = 12.0) -> np.ndarray:
    """Probabilities that fall off at the border of a disc over some pixels."""
    rows, columns = np.indices(SIZE)
    distance = np.hypot(rows - 20, columns - 25) - radius
    return (1 / (1 + np.exp(np.clip(distance / softness, -50, 50)))).astype(np.float32)


def outside(mask: np.ndarray) -> np.ndarray:
    return ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask


def test_edges_are_at_the_outer_boundary_alone_and_scaled_to_one():
    soft = disc(2.0)
    edges = edges_of_masks([soft], SIZE)
    assert np.array_equal(edges > 0, outside(soft > 0.5))
    assert edges.max() == 1
    both = edges_of_masks([soft], SIZE, "both") > 0
    assert np.array_equal(both, outside(soft > 0.5) | outside(soft <= 0.5))


def test_the_strength_is_the_sobel_magnitude_of_the_probabilities():
    soft, hard = disc(3.0), np.roll(disc(0.5, 5.0), (-10, 15), axis=(0, 1))
    edges = edges_of_masks([soft, hard], SIZE)
    wanted = np.zeros(SIZE)
    for part in (soft, hard):
        magnitude = np.hypot(*(ndimage.sobel(part, axis) for axis in (0, 1)))
        wanted = np.maximum(wanted, np.where(outside(part > 0.5), magnitude, 0))
    assert np.allclose(edges, wanted / wanted.max(), atol=1e-6)


def test_a_mask_at_the_border_of_the_image_has_no_edge_there():
    left = np.zeros(SIZE, np.float32)
    left[:, :20] = 1
    edges = edges_of_masks([left], SIZE)
    assert np.array_equal(np.unique(np.nonzero(edges)[1]), [20])
    assert np.all(edges[:, 20] == 1)


@pytest.mark.parametrize("masks", [[], [np.zeros(SIZE, np.float32)]])
def test_no_mask_gives_no_edge(masks):
    assert not edges_of_masks(masks, SIZE).any()
