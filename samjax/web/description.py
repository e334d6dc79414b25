"""What the page is told of a model, by a server or by the file beside a demo."""

from typing import Any

from samjax.inference import Predictor


def describe_model(predictor: Predictor, name: str) -> dict[str, Any]:
    """The sizes that a page needs, and the fingerprint of the image encoder."""
    config = predictor.model.config
    return {
        "name": name,
        "image_size": config.image_size,
        "grid": [config.grid_size, config.grid_size],
        "channels": config.prompt_embed_dim,
        "masks": config.num_multimask_outputs + 1,
        # No model of samjax has a text tower yet.
        "text": False,
        "fingerprint": predictor.fingerprint,
    }
