"""Pictures of a model's predictions during training, for TensorBoard."""

from functools import partial

import jax
import numpy as np
from jaxtyping import UInt8

from samjax.data.batch import Batch, RunBatch, dense_batch
from samjax.geometry.frame import normalize
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import Sam
from samjax.training.initial.crops import at_crop, draw_origin
from samjax.training.prompt_draws import draw_point_prompt, keys_of_targets
from samjax.training.prompt_simulation import best_mask, three_masks
from samjax.training.step import Params, decoder_of, embed
from samjax.training.targets import make_targets, resize_logits

TARGET_COLOUR = (40, 200, 80)
PREDICTION_COLOUR = (255, 90, 30)
POINT_COLOUR = (255, 255, 255)
GAP = 4

# Images of a batch that a picture shows.
ROWS = 4


def draw_predictions(
    model: Sam,
    params: Params,
    batch: Batch | RunBatch,
    *,
    crops: bool = False,
    rows: int = ROWS,
    columns: int = 3,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws target masks beside the masks predicted from a single point prompt.

    One row per image of the batch; in it, for each of the first target masks, the image
    with the target and the image with the mask of highest predicted IoU, both with the
    point.

    Args:
        model: The model.
        params: Its parameters.
        batch: Images and target masks.
        crops: Whether the images are crops of an input of the model's own size.
        rows: Images to draw.
        columns: Target masks to draw of each.
    """
    dense = jax.jit(dense_batch)(jax.tree.map(lambda x: x[:rows], batch))
    dense = dense._replace(
        masks=dense.masks[:, :columns], valid=dense.valid[:, :columns]
    )
    points, predicted = jax.device_get(_predict(model, crops, params, dense))
    dense = jax.device_get(dense)
    lines = []
    for image, masks, ours, at in zip(
        dense.images, dense.masks, predicted, points, strict=True
    ):
        cells = []
        for mask, our, (x, y) in zip(masks, ours, at, strict=True):
            for shown, colour in ((mask, TARGET_COLOUR), (our, PREDICTION_COLOUR)):
                cell = _tint(image, shown, colour)
                top, left = max(int(y) - 1, 0), max(int(x) - 1, 0)
                cell[top : top + 3, left : left + 3] = POINT_COLOUR
                cells.append(np.pad(cell, ((GAP, 0), (GAP, 0), (0, 0))))
        lines.append(np.concatenate(cells, axis=1))
    return np.concatenate(lines, axis=0)


@partial(jax.jit, static_argnums=(0, 1))
def _predict(model: Sam, crops: bool, params: Params, batch: Batch):
    size = (batch.masks.shape[-2], batch.masks.shape[-1])
    targets = make_targets(batch.masks, batch.valid, batch.sizes, "image", size)
    keys = keys_of_targets(jax.random.key(0), targets)
    points, labels = draw_point_prompt(keys, targets)
    encoder, tables, origin = model, params, None
    if crops:
        origin = draw_origin(jax.random.key(0), model.config, size[0])
        encoder, tables = at_crop(model, params, size[0], origin)
    embeddings = embed(encoder, tables, normalize(batch.images, batch.sizes))
    decode = decoder_of(embeddings, params, model, origin)
    best = best_mask(*three_masks(decode(PromptInputs(points, labels))))
    masks = resize_logits(best[:, :, None], size)[:, :, 0] > 0
    return points[:, :, 0], masks & targets.inside[:, None]


def _tint(image, mask, colour):
    image = np.array(image, np.float32)
    image[mask] = 0.5 * image[mask] + 0.5 * np.array(colour, np.float32)
    return image.astype(np.uint8)
