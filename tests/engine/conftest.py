"""Images for runs over many of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samjax.inference import Predictor


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Seven small images of three sizes, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(7):
        size = [(40, 50), (30, 20), (64, 64)][number % 3]
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"sa_{number + 3}.png")
    (folder / "sa_5x.png").write_text("not an image")
    return folder


@pytest.fixture(scope="session")
def predictor(tiny_model) -> Predictor:
    return Predictor(*tiny_model)
