"""What the page is told of a model, by a server or by the file beside a demo."""

from typing import Any

from samjax.inference import AutomaticConfig, Predictor


def describe_model(
    predictor: Predictor, name: str, points_per_side: int = 16
) -> dict[str, Any]:
    """The sizes that a page needs, and the fingerprint of the image encoder.

    Args:
        predictor: The model.
        name: Of the model, to show.
        points_per_side: What everything mode of the page begins with. The released 32
            are a lot for a person to wait for where there is no accelerator.
    """
    config = predictor.model.config
    everything = AutomaticConfig(points_per_side=points_per_side).for_model(config)
    return {
        "name": name,
        "image_size": config.image_size,
        "grid": [config.grid_size, config.grid_size],
        "channels": config.prompt_embed_dim,
        "masks": config.num_multimask_outputs + 1,
        # No model of samjax has a text tower yet.
        "text": False,
        "fingerprint": predictor.fingerprint,
        "everything": {
            "points_per_side": everything.points_per_side,
            "pred_iou_thresh": everything.pred_iou_thresh,
            "stability_score_thresh": everything.stability_score_thresh,
        },
    }
