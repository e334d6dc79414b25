"""Segment Anything in JAX and Flax.

    model, params = samjax.load("small")
    predictor = samjax.Predictor(model, params)
    embedding = predictor.embed(image)
    masks = predictor.predict(embedding, samjax.Prompt(points=[[500, 375]], labels=[1]))
    records = samjax.generate_masks(predictor, image)

The names of `__all__` are the public face; everything else is a module path. They are
imported when first used, so that `import samjax` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samjax.checkpoints import CheckpointError, load
    from samjax.inference import ImageEmbedding, Predictor, Prompt, generate_masks

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ImageEmbedding",
    "Predictor",
    "Prompt",
    "__version__",
    "generate_masks",
    "load",
]

_HOMES = {
    "CheckpointError": "samjax.checkpoints",
    "ImageEmbedding": "samjax.inference",
    "Predictor": "samjax.inference",
    "Prompt": "samjax.inference",
    "generate_masks": "samjax.inference",
    "load": "samjax.checkpoints",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'samjax' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())
