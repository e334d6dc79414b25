"""The same weights in the PyTorch reference and in samjax."""

import numpy as np
import pytest

from samjax import compat, models


@pytest.fixture(scope="session")
def published(small_config):
    """The reference: a small model, every tensor random, in eval mode."""
    import reference

    return reference.build_reference(small_config, seed=5)


@pytest.fixture(scope="session")
def ours(published, small_config) -> compat.Sam:
    """samjax's `Sam` with the reference's weights."""
    import reference

    params = reference.to_params(published, small_config)
    return compat.Sam(models.Sam(small_config), params)


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    generator = np.random.default_rng(7)
    return generator.integers(0, 256, (75, 118, 3), dtype=np.uint8)
