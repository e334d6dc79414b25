"""Suppression of edge maps leaves the middle of ridges, whatever their direction."""

import numpy as np
import pytest

from samjax.evaluation.policies.edge_nms import suppress, suppress_structured

pytest.importorskip("scipy.ndimage", reason="edge NMS needs the extra `eval`")


def ridge(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """A straight ridge and the distances of its pixels from the middle."""
    rows, columns = np.indices((41, 41)) - 20
    across = rows * np.cos(np.radians(angle)) + columns * np.sin(np.radians(angle))
    return np.exp(-(across**2) / 8), across


@pytest.mark.parametrize("kind", ["hessian", "structured"])
@pytest.mark.parametrize("angle", [0, 30, 45, 60, 90, 135])
def test_suppression_leaves_the_middle_of_a_ridge(kind, angle):
    edges, across = ridge(angle)
    kept = suppress(edges, kind)
    inner = (slice(6, -6), slice(6, -6))
    # The benchmark reads 8 bits.
    assert np.abs(across[inner][kept[inner] > 0.5 / 255]).max() <= 0.75
    assert np.all(kept[inner][np.abs(across[inner]) < 0.1] > 0)
    if kind == "hessian":
        assert np.array_equal(kept[kept > 0], edges[kept > 0])


def test_structured_suppression_fades_towards_the_border():
    kept = suppress_structured(ridge(0)[0])[20]
    middle = kept[20]
    assert np.allclose(kept[:7] / middle, [0, 0.2, 0.4, 0.6, 0.8, 1, 1])
    assert np.allclose(kept[::-1], kept)


def test_no_suppression_is_the_map_itself():
    edges = ridge(30)[0]
    assert suppress(edges, "none") is edges
