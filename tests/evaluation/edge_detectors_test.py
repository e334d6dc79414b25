"""Canny and Sobel: edges where brightness changes, stronger where it changes more."""

import numpy as np
import pytest
from boundary_set_files import SIZE, outlines, scene

from samjax.evaluation.edge_detectors import CANNY, EDGE_DETECTORS, SOBEL, EdgeDetector
from samjax.evaluation.metrics.edge_matching import match_edges

cv2 = pytest.importorskip("cv2", reason="edge detectors need the extra `eval`")


@pytest.mark.parametrize("detector", EDGE_DETECTORS.values(), ids=EDGE_DETECTORS)
def test_the_outline_of_a_square_is_found_one_pixel_wide(detector):
    assert isinstance(detector, EdgeDetector)
    edges = detector.detect_edges(scene())
    assert edges.shape == SIZE and 0 <= edges.min() and edges.max() <= 1
    match = match_edges(edges > 0, outlines()[0], 2.0)
    assert np.count_nonzero(match.truth) >= 0.95 * np.count_nonzero(outlines()[0])
    assert np.count_nonzero(match.predicted) >= 0.95 * np.count_nonzero(edges)


@pytest.mark.parametrize("detector", EDGE_DETECTORS.values(), ids=EDGE_DETECTORS)
def test_more_contrast_is_stronger_and_none_is_no_edge(detector):
    def strength(contrast: int) -> float:
        image = np.full((*SIZE, 3), 100, np.uint8)
        image[:, 30:] += np.uint8(contrast)
        return float(detector.detect_edges(image).max())

    strengths = [strength(contrast) for contrast in (0, 10, 40, 120)]
    assert strengths[0] == 0 and strengths == sorted(set(strengths))


@pytest.mark.parametrize("step", [8, 30, 55])
def test_canny_at_a_threshold_is_that_of_opencv(step):
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.random((*SIZE, 3)).astype(np.float32), (0, 0), 2)
    image = np.uint8(255 * (noise - noise.min()) / np.ptp(noise))
    for detector in (CANNY, SOBEL):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        border = cv2.BORDER_REPLICATE
        if detector.sigma:
            grey = cv2.GaussianBlur(grey, (0, 0), detector.sigma, borderType=border)
        across, down = (
            np.int16(
                np.rint(8 * cv2.Sobel(grey, cv2.CV_32F, x, 1 - x, borderType=border))
            )
            for x in (1, 0)
        )
        high = 64 * detector.largest * (step / 100) ** 2
        wanted = cv2.Canny(across, down, detector.low * high, high, L2gradient=True)
        edges = np.round(detector.detect_edges(image) * 255) / 255 >= step / 100
        assert np.array_equal(edges, wanted > 0)
