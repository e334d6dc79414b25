"""A clicker on a small model with random weights."""

import numpy as np
import pytest
from PIL import Image

import samjax


@pytest.fixture(scope="session")
def predictor(tiny_model) -> samjax.Predictor:
    return samjax.Predictor(*tiny_model)


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((40, 30)))


@pytest.fixture
def clicker(predictor, pixels):
    from samjax.notebook import Clicker

    return Clicker(predictor, pixels)
