"""Losses of promptable segmentation (SAM, section 3 and appendix A).

The mask loss of a predicted mask is 20 focal + 1 dice. With multimask output the loss of
a prompt is that of its best mask (minimum over masks), and only that mask gets a
gradient. The IoU head is trained by mean squared error to predict the IoU of the
thresholded mask with the target.

`grouping_loss`, an addition of samjax, acts on the image embedding directly: it is for
image encoders that are trained from random weights, not from a masked autoencoder.

The paper gives neither the focal parameters nor the dice smoothing; the defaults here
are those of the training code that the same group released with SAM 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights and constants of the losses.

    Attributes:
        focal_weight: Weight of the focal loss in the mask loss.
        dice_weight: Weight of the dice loss in the mask loss.
        iou_weight: Weight of the IoU head's squared error.
        focal_alpha: Weight of foreground pixels in the focal loss, background pixels
            get one minus it; negative for no such weighting.
        focal_gamma: Exponent of the focal loss; larger values down-weight pixels that
            are predicted well.
        dice_smoothing: Added to numerator and denominator of the dice fraction.
        iou_supervision: Masks that supervise the IoU head: `"chosen"`, the one with the
            least mask loss, or `"all"` masks of the prompt. The paper leaves it open.
        grouping_weight: Weight of the loss on the image embedding, added once a step;
            SAM has none.
        rounds: Whether the losses of a mask's rounds of prompts are summed, as in the
            training code of SAM 2, or averaged. The paper leaves it open.
    """

    focal_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    dice_smoothing: float = 1.0
    grouping_weight: float = 0.0
    iou_supervision: Literal["chosen", "all"] = "chosen"
    rounds: Literal["sum", "mean"] = "sum"


class PromptLoss(NamedTuple):
    """Losses of every prompt, not yet averaged.

    Attributes:
        total: Float "b p", the weighted sum.
        focal: Float "b p", focal loss of the chosen mask, unweighted.
        dice: Float "b p", dice loss of the chosen mask, unweighted.
        iou_error: Float "b p", squared error of the predicted IoU, unweighted.
        iou: Float "b p", actual IoU of the chosen mask.
    """

    total: Array
    focal: Array
    dice: Array
    iou_error: Array
    iou: Array


def prompt_loss(
    logits: Float[Array, "b p m h w"],
    iou_predictions: Float[Array, "b p m"],
    targets: Bool[Array, "b p h w"],
    inside: Bool[Array, "b h w"],
    candidates: Bool[Array, "#b #p m"],
    config: LossConfig,
) -> PromptLoss:
    """Computes the loss of every prompt as the minimum over its masks.

    Args:
        logits: Mask logits at the resolution of `targets`.
        iou_predictions: Predicted IoUs of those masks.
        targets: The target mask of each prompt.
        inside: False in the padding of each image, whose pixels have no loss.
        candidates: Masks that take part in the minimum; others get no gradient.
        config: Weights and constants.

    Returns:
        Losses per prompt. The caller averages over the valid prompts.
    """
    targets, inside = targets[:, :, None], inside[:, None, None]
    focal = focal_loss(logits, targets, inside, config.focal_alpha, config.focal_gamma)
    dice = dice_loss(logits, targets, inside, config.dice_smoothing)
    mask_loss = config.focal_weight * focal + config.dice_weight * dice
    actual = jax.lax.stop_gradient(mask_iou((logits > 0) & inside, targets))
    iou_error = jnp.square(iou_predictions - actual)

    # A product with a one-hot vector in place of a gather: its gradient is a product too
    # (no scatter), and exactly zero for the other masks.
    candidates = jnp.broadcast_to(candidates, mask_loss.shape)
    best = jnp.argmin(jnp.where(candidates, mask_loss, jnp.inf), axis=-1)
    chosen = jax.nn.one_hot(best, mask_loss.shape[-1], dtype=mask_loss.dtype)

    def of_chosen(values):
        return jnp.sum(values * chosen, axis=-1)

    if config.iou_supervision == "all":
        iou_error = jnp.mean(iou_error, axis=-1, where=candidates)
    else:
        iou_error = of_chosen(iou_error)
    return PromptLoss(
        total=of_chosen(mask_loss) + config.iou_weight * iou_error,
        focal=of_chosen(focal),
        dice=of_chosen(dice),
        iou_error=iou_error,
        iou=of_chosen(actual),
    )


def focal_loss(
    logits: Float[Array, "*s h w"],
    targets: Bool[Array, "*#s h w"],
    inside: Bool[Array, "*#s h w"],
    alpha: float,
    gamma: float,
) -> Float[Array, "*s"]:
    """Returns the focal loss of each mask, averaged over the pixels inside.

    `-alpha_t (1 - p_t)^gamma log p_t`, where `p_t` is the probability of the true class
    (Lin et al., "Focal loss for dense object detection", equation 5).
    """
    # log p_t and 1 - p_t from the logit of the true class: no overflow at any logit.
    true_class = jnp.where(targets, logits, -logits)
    # XLA computes integer exponents by products, many times cheaper than a general power.
    exponent = int(gamma) if float(gamma).is_integer() else gamma
    loss = -jax.nn.log_sigmoid(true_class) * jax.nn.sigmoid(-true_class) ** exponent
    if alpha >= 0:
        loss = loss * jnp.where(targets, alpha, 1.0 - alpha)
    return _mean_inside(loss, inside)


def dice_loss(
    logits: Float[Array, "*s h w"],
    targets: Bool[Array, "*#s h w"],
    inside: Bool[Array, "*#s h w"],
    smoothing: float,
) -> Float[Array, "*s"]:
    """Returns the dice loss of each mask over the pixels inside.

    `1 - (2 sum(p t) + smoothing) / (sum(p) + sum(t) + smoothing)` with the mask's
    probabilities `p` and the target `t`.
    """
    probability = jnp.where(inside, jax.nn.sigmoid(logits), 0.0)
    targets = targets & inside
    both = jnp.sum(jnp.where(targets, probability, 0.0), axis=(-2, -1))
    either = jnp.sum(probability, axis=(-2, -1)) + jnp.sum(targets, axis=(-2, -1))
    return 1.0 - (2.0 * both + smoothing) / (either + smoothing)


def grouping_loss(
    embeddings: Float[Array, "b gh gw c"],
    targets: Bool[Array, "b p h w"],
    inside: Bool[Array, "b h w"],
) -> Float[Array, "b p"]:
    """Returns the grouping loss of each mask, a cross-entropy on the image embedding.

    The embeddings of a mask's patches should have a high cosine similarity with their
    mean, all other patches a low one: the logit of a patch is zero at a similarity of
    one half. Patches inside and outside of the mask have equal total weight, however few
    either are; a patch that is covered in part counts for both in proportion.

    Args:
        embeddings: Image embeddings.
        targets: The masks, at any integer multiple of the embedding's resolution.
        inside: False in the padding of each image.
    """
    batch, *grid, channels = embeddings.shape
    patches = _unit(embeddings.astype(jnp.float32).reshape(batch, -1, channels))
    covered = _mean_by_patch(targets, grid)
    others = _mean_by_patch(inside, grid)[:, None] - covered
    mean = _unit(jnp.einsum("bps,bsc->bpc", covered, patches))
    logits = 10.0 * (jnp.einsum("bsc,bpc->bps", patches, mean) - 0.5)

    def average(values, weights):
        return jnp.sum(values * weights, -1) / jnp.maximum(jnp.sum(weights, -1), 1e-6)

    missed = average(jax.nn.softplus(-logits), covered)
    return (missed + average(jax.nn.softplus(logits), others)) / 2


def mask_iou(
    masks: Bool[Array, "*s h w"], targets: Bool[Array, "*#s h w"]
) -> Float[Array, "*s"]:
    """Returns intersection over union; 0 where both masks are empty."""
    intersection = jnp.sum(masks & targets, axis=(-2, -1), dtype=jnp.float32)
    union = jnp.sum(masks | targets, axis=(-2, -1), dtype=jnp.float32)
    return intersection / jnp.maximum(union, 1.0)


def mean_over_valid(
    values: Float[Array, "... b p"], valid: Bool[Array, "b p"]
) -> Float[Array, "..."]:
    """Averages over the valid prompts of the whole batch; 0 without any."""
    total = jnp.sum(jnp.where(valid, values, 0.0), axis=(-2, -1))
    return total / jnp.maximum(jnp.sum(valid), 1)


def _mean_inside(
    values: Float[Array, "*s h w"], inside: Bool[Array, "*#s h w"]
) -> Float[Array, "*s"]:
    total = jnp.sum(jnp.where(inside, values, 0.0), axis=(-2, -1))
    return total / jnp.maximum(jnp.sum(inside, axis=(-2, -1)), 1)


def _mean_by_patch(
    masks: Bool[Array, "*s h w"], grid: Sequence[int]
) -> Float[Array, "*s patches"]:
    rows, columns = grid
    *leading, height, width = masks.shape
    blocks = masks.reshape(*leading, rows, height // rows, columns, width // columns)
    shares = jnp.mean(blocks, axis=(-3, -1), dtype=jnp.float32)
    return shares.reshape(*leading, rows * columns)


def _unit(vectors: Float[Array, "*s c"]) -> Float[Array, "*s c"]:
    square = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(square + 1e-6)
