"""Description of a model for the page, sent by a server or stored beside a demo."""

from typing import Any

from samjax.inference import AutomaticConfig, Predictor


def describe_model(
    predictor: Predictor, name: str, points_per_side: int = 16
) -> dict[str, Any]:
    """Returns a model's sizes, its fingerprint and its defaults of everything mode.

    Args:
        predictor: The model.
        name: Name of the model, to show.
        points_per_side: Default grid of everything mode on the page. The release's 32
            take long on a machine without an accelerator.
    """
    config = predictor.model.config
    everything = AutomaticConfig(points_per_side=points_per_side).for_model(config)
    return {
        "name": name,
        "image_size": config.image_size,
        "grid": [config.grid_size, config.grid_size],
        "channels": config.prompt_embed_dim,
        "masks": config.num_multimask_outputs + 1,
        "text": predictor.model.has_text,
        "fingerprint": predictor.fingerprint,
        "everything": {
            "points_per_side": everything.points_per_side,
            "pred_iou_thresh": everything.pred_iou_thresh,
            "stability_score_thresh": everything.stability_score_thresh,
        },
    }
