"""Simulation of interactive prompts as a pure function (SAM, section 3, appendix A).

Every target mask is prompted in rounds. The first prompt is a point of the mask or its
jittered box. Every later round adds one point from the error region of the last
prediction, and that prediction's logits as the mask prompt; two rounds add no point, one
at a random position among the corrections, one at the end. By default that is
1 + 8 + 2 = 11 rounds.

All rounds run on the device with static shapes: every correction has a slot from the
start, whose label is `ABSENT` until it is drawn, and the rounds after the first are one
`lax.scan`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from samjax.models.prompt_encoder import ABSENT, NOT_A_POINT, PromptInputs
from samjax.models.sam import MaskPrediction
from samjax.training.prompt_draws import (
    BoxNoise,
    draw_box_prompt,
    draw_choice,
    draw_correction,
    draw_number,
    draw_point_prompt,
    split_keys,
)
from samjax.training.targets import Targets, resize_logits


class Output(NamedTuple):
    """Masks that count as the output for a prompt: the single mask or the three.

    Attributes:
        logits: Float "b k m h w", at the resolution of the model's output.
        scores: Float "b k m", their predicted IoUs.
        allowed: Bool "b k m", False for masks that are no output for this prompt.
    """

    logits: Array
    scores: Array
    allowed: Array


Decode = Callable[[PromptInputs], MaskPrediction]
LossOfRound = Callable[[Array, Array, Array], Any]
Choose = Callable[[MaskPrediction], Output]


@dataclass(frozen=True, kw_only=True)
class PromptSimulationConfig:
    """Rounds of prompts per target mask, with an option where the paper is open.

    Attributes:
        correction_points: Points drawn from the error region, one per round.
        refine_at_random: One more round without a new point, directly before a
            correction that is drawn uniformly per target.
        refine_at_end: One more round without a new point, the last.
        box_probability: Probability that the first prompt is a box, not a point.
        box_noise: Noise on the corners of that box.
        multimask_box: Whether the output for a lone box is the three masks, as for a
            lone point (SAM), or the single mask (SAM 2).
        multimask_corrections: Whether the output of rounds after the first is the three
            masks too. The paper trains the single mask there.
        teach_all: Whether the loss of every round is the mean of the losses of the
            single mask and of the three masks. SAM trains the output alone, over far
            more rounds than a small run has.
        empty_error: Correction of a prediction without errors: a point of the
            `"background"` (SAM 2), of the `"foreground"`, or `"none"`.
        stop_gradient: Whether the fed-back mask is a constant. The paper leaves it
            open; SAM 2 lets the gradient through.
        remat: Whether the backward pass recomputes each round, so that memory holds
            the activations of one round, not of all.
        masks_at_a_time: Most target masks that each device prompts together; None for
            all. Their activations are most of the memory of a step; fewer at a time
            change nothing but the order of sums.
    """

    correction_points: int = 8
    refine_at_random: bool = True
    refine_at_end: bool = True
    box_probability: float = 0.5
    box_noise: BoxNoise = field(default_factory=BoxNoise)
    multimask_box: bool = True
    multimask_corrections: bool = False
    teach_all: bool = False
    empty_error: Literal["background", "foreground", "none"] = "background"
    stop_gradient: bool = True
    remat: bool = True
    masks_at_a_time: int | None = None

    def __post_init__(self):
        if self.correction_points < 0:
            raise ValueError(
                f"correction_points={self.correction_points}: use 0 or more"
            )
        if self.masks_at_a_time is not None and self.masks_at_a_time < 1:
            raise ValueError(
                f"masks_at_a_time={self.masks_at_a_time}: use 1 or more, or None"
            )
        if not 0 <= self.box_probability <= 1:
            raise ValueError(
                f"box_probability={self.box_probability}: use a probability, 0 to 1"
            )

    @property
    def num_rounds(self) -> int:
        """Decoder passes per target: first prompt, corrections and refinements."""
        return 1 + self.correction_points + self.refine_at_random + self.refine_at_end


class SparsePrompts(NamedTuple):
    """Points and box corners of every target so far, as in `PromptInputs`.

    Attributes:
        points: Float "b k n 2".
        labels: Int "b k n".
    """

    points: Array
    labels: Array


def simulate_prompts(
    decode: Decode,
    loss_of_round: LossOfRound,
    targets: Targets,
    keys: Key[Array, "b k"],
    config: PromptSimulationConfig,
) -> Any:
    """Runs all rounds of prompts for every target.

    Args:
        decode: Maps prompts to masks, for the batch's image embeddings.
        loss_of_round: Maps mask logits "b k m h w" at the targets' resolution, predicted
            IoUs "b k m" and which of the masks are the output, bool "b k m" or
            broadcast, to the losses of a round, or any other tree.
        targets: The target masks. Slots without a mask get no points.
        keys: A random key for each target.
        config: The rounds.

    Returns:
        The results of `loss_of_round`, every leaf with a new leading axis: the rounds.
    """

    def round_of(choose: Choose):
        trained = (single_mask, three_masks) if config.teach_all else (choose,)

        def run(prompts: PromptInputs):
            prediction = decode(prompts)
            losses = []
            for output in (select(prediction) for select in trained):
                full = resize_logits(output.logits, targets.masks.shape[-2:])
                losses.append(loss_of_round(full, output.scores, output.allowed))
            loss = jax.tree.map(lambda *leaves: sum(leaves) / len(trained), *losses)
            return loss, best_mask(*choose(prediction))

        return jax.checkpoint(run) if config.remat else run

    first_keys, refinement_keys, later_keys = split_keys(keys, 3)
    first, is_box = draw_first_prompt(first_keys, targets, config)
    if targets.text is not None:
        first, is_box = text_alone(first), jnp.zeros_like(is_box)
    choose_first = three_masks if config.multimask_box else single_mask_where(is_box)
    loss, mask = round_of(choose_first)(
        PromptInputs(first.points, first.labels, text=targets.text)
    )
    losses = jax.tree.map(lambda leaf: leaf[None], loss)
    num_later = config.num_rounds - 1
    if num_later == 0:
        return losses

    later = round_of(three_masks if config.multimask_corrections else single_mask)
    refinement = draw_number(refinement_keys, max(config.correction_points, 1))

    def later_round(carry, inputs):
        prompts, mask = carry
        index, round_keys = inputs
        if config.stop_gradient:
            mask = jax.lax.stop_gradient(mask)
        slot = correction_slot(index, refinement, config)
        prompts = _add_correction(round_keys, prompts, mask, slot, targets, config)
        inputs = PromptInputs(prompts.points, prompts.labels, mask, text=targets.text)
        loss, mask = later(inputs)
        return (prompts, mask), loss

    rounds = jnp.arange(num_later), split_keys(later_keys, num_later)
    start = _with_free_slots(first, config.correction_points), mask
    _, later_losses = jax.lax.scan(later_round, start, rounds)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), losses, later_losses)


def draw_first_prompt(
    keys: Key[Array, "b k"], targets: Targets, config: PromptSimulationConfig
) -> tuple[SparsePrompts, Bool[Array, "b k"]]:
    """Draws a point or a box for each target; returns whether it is a box, too."""
    choice_keys, point_keys, box_keys = split_keys(keys, 3)
    is_box = draw_choice(choice_keys, config.box_probability)
    points, point_labels = draw_point_prompt(point_keys, targets)
    corners, corner_labels = draw_box_prompt(box_keys, targets, config.box_noise)
    return (
        SparsePrompts(
            points=jnp.where(is_box[..., None, None], corners, points),
            labels=jnp.where(is_box[..., None], corner_labels, point_labels),
        ),
        is_box,
    )


def text_alone(prompts: SparsePrompts) -> SparsePrompts:
    """Returns the tokens beside a text that is the only prompt, in the same shape.

    Args:
        prompts: Any prompts.
    """
    labels = jnp.full_like(prompts.labels, ABSENT)
    return SparsePrompts(
        points=jnp.zeros_like(prompts.points),
        labels=labels.at[..., 0].set(NOT_A_POINT),
    )


def correction_slot(
    index: Int[Array, ""],
    refinement: Int[Array, "b k"],
    config: PromptSimulationConfig,
) -> Int[Array, "b k"]:
    """Returns the slot that a later round draws a point for; -1 for none.

    Args:
        index: Index of the round, 0 for the one after the first prompt.
        refinement: Index of the correction that the random refinement precedes.
        config: The rounds.
    """
    slot = jnp.broadcast_to(index, refinement.shape)
    if config.refine_at_random:
        slot = jnp.where(index == refinement, -1, index - (index > refinement))
    return jnp.where(slot < config.correction_points, slot, -1)


def three_masks(prediction: MaskPrediction) -> Output:
    """Selects the three masks of the multimask output, for ambiguous prompts."""
    logits, scores = prediction
    scores = scores[:, :, 1:]
    return Output(logits[:, :, 1:], scores, jnp.ones_like(scores, bool))


def single_mask(prediction: MaskPrediction) -> Output:
    """Selects the single mask, for unambiguous prompts."""
    logits, scores = prediction
    scores = scores[:, :, :1]
    return Output(logits[:, :, :1], scores, jnp.ones_like(scores, bool))


def single_mask_where(unambiguous: Bool[Array, "b k"]) -> Choose:
    """Returns a function that selects the single mask for some prompts, or the three."""

    def choose(prediction: MaskPrediction) -> Output:
        logits, scores = prediction
        is_single = jnp.arange(scores.shape[-1]).reshape(1, 1, -1) == 0
        return Output(logits, scores, is_single == unambiguous[..., None])

    return choose


def best_mask(
    logits: Float[Array, "b k m h w"],
    scores: Float[Array, "b k m"],
    allowed: Bool[Array, "b k m"],
) -> Float[Array, "b k h w"]:
    """Returns the mask of highest predicted IoU: the one that is fed back."""
    best = jnp.argmax(jnp.where(allowed, scores, -jnp.inf), axis=-1)
    return jnp.take_along_axis(logits, best[..., None, None, None], axis=2)[:, :, 0]


def _with_free_slots(prompts: SparsePrompts, count: int) -> SparsePrompts:
    batch, sets = prompts.labels.shape[:2]
    points = jnp.zeros((batch, sets, count, 2))
    labels = jnp.full((batch, sets, count), ABSENT, prompts.labels.dtype)
    return SparsePrompts(
        points=jnp.concatenate([prompts.points, points], axis=2),
        labels=jnp.concatenate([prompts.labels, labels], axis=2),
    )


def _add_correction(
    keys: Key[Array, "b k"],
    prompts: SparsePrompts,
    mask: Float[Array, "b k i j"],
    slot: Int[Array, "b k"],
    targets: Targets,
    config: PromptSimulationConfig,
) -> SparsePrompts:
    """Fills a slot with a point from the error region of the fed-back mask."""
    mask = jax.lax.stop_gradient(mask)
    full = resize_logits(mask[:, :, None], targets.masks.shape[-2:])[:, :, 0]
    point, label = draw_correction(keys, full > 0, targets, config.empty_error)
    first_free = prompts.labels.shape[-1] - config.correction_points
    slots = jnp.arange(prompts.labels.shape[-1]).reshape(1, 1, -1) - first_free
    is_slot = (slots == slot[..., None]) & (slot[..., None] >= 0)
    return SparsePrompts(
        points=jnp.where(is_slot[..., None], point[:, :, None], prompts.points),
        labels=jnp.where(is_slot, label[..., None], prompts.labels),
    )
