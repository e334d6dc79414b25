"""Interactive prompts as a pure function (SAM, section 3 and appendix A).

A target mask is asked for in rounds. The first prompt is a point of the mask or its
jittered box. Every later round draws one point from where the last mask was wrong and
feeds that mask back as logits; two rounds feed the mask back without a new point: one
at a random place, one at the end. By default that is 1 + 8 + 2 = 11 rounds.

All of it runs on device with static shapes: every correction has a slot from the start
that stays `ABSENT` until it is drawn, and the rounds after the first are one scan.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from samjax.models.prompt_encoder import ABSENT, PromptInputs
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


class Candidates(NamedTuple):
    """The masks that answer a prompt.

    Attributes:
        logits: Float "b k m h w", at the resolution of the model's output.
        scores: Float "b k m", their predicted IoUs.
        allowed: Bool "b k m", False for a mask that does not answer this prompt.
    """

    logits: Array
    scores: Array
    allowed: Array


Decode = Callable[[PromptInputs], MaskPrediction]
Judge = Callable[[Array, Array, Array], Any]
Choose = Callable[[MaskPrediction], Candidates]


@dataclass(frozen=True, kw_only=True)
class PromptSimulationConfig:
    """Rounds of prompts per target mask, with each open question as an option.

    Attributes:
        correction_points: Points drawn from the error region, one per round.
        refine_at_random: One more round without a new point, directly before a
            correction that is drawn uniformly per target.
        refine_at_end: One more round without a new point, the last.
        box_probability: Chance that the first prompt is a box and not a point.
        box_noise: Noise on the corners of that box.
        multimask_box: Whether a lone box is answered by the three masks, as a lone
            point is (SAM), or by the single mask (SAM 2).
        multimask_corrections: Whether rounds after the first are answered by the three
            masks too. The paper trains the single mask there.
        teach_all: Whether every round teaches the single mask and the three masks
            alike, the mean of their losses, whichever of them answers. SAM teaches
            those that answer, over far more rounds than a small run has.
        empty_error: What a correction does when the mask is already right: a point of
            the `"background"` (SAM 2), of the `"foreground"`, or `"none"`.
        stop_gradient: Whether the mask that is fed back is a constant. The paper does
            not say; SAM 2 lets the gradient through.
        remat: Whether the backward pass recomputes each round, so that memory holds
            one round and not all.
        masks_at_a_time: Target masks that each device takes through their rounds
            together; None for all. They are most of the memory of a step, and fewer at
            a time change nothing that is computed but the order of sums.
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
                f"box_probability={self.box_probability}: use a chance, 0 to 1"
            )

    @property
    def num_rounds(self) -> int:
        """Decoder passes per target: the first, the corrections, the refinements."""
        return 1 + self.correction_points + self.refine_at_random + self.refine_at_end


class SparsePrompts(NamedTuple):
    """The points of every target so far, as in `PromptInputs`.

    Attributes:
        points: Float "b k n 2".
        labels: Int "b k n".
    """

    points: Array
    labels: Array


def simulate_prompts(
    decode: Decode,
    judge: Judge,
    targets: Targets,
    keys: Key[Array, "b k"],
    config: PromptSimulationConfig,
) -> Any:
    """Runs all rounds of prompts for every target.

    Args:
        decode: Answers prompts about the batch's embedded images.
        judge: Takes the mask logits "b k m h w" at the targets' resolution, their
            predicted IoUs "b k m" and which of them answer the prompt, bool "b k m"
            or broadcast; returns what is wanted of a round, such as its losses.
        targets: The masks to ask for. Slots without a mask get no points.
        keys: Randomness of the prompts, a key for each target.
        config: The rounds.

    Returns:
        What `judge` returned, every leaf with a new leading axis: the rounds.
    """

    def round_of(choose: Choose):
        taught = (single_mask, three_masks) if config.teach_all else (choose,)

        def answer(prompts: PromptInputs):
            prediction = decode(prompts)
            verdicts = []
            for candidates in (teach(prediction) for teach in taught):
                full = resize_logits(candidates.logits, targets.masks.shape[-2:])
                verdicts.append(judge(full, candidates.scores, candidates.allowed))
            verdict = jax.tree.map(lambda *leaves: sum(leaves) / len(taught), *verdicts)
            return verdict, best_mask(*choose(prediction))

        return jax.checkpoint(answer) if config.remat else answer

    first_keys, place_keys, later_keys = split_keys(keys, 3)
    first, is_box = draw_first_prompt(first_keys, targets, config)
    choose_first = three_masks if config.multimask_box else single_mask_where(is_box)
    verdict, mask = round_of(choose_first)(PromptInputs(first.points, first.labels))
    verdicts = jax.tree.map(lambda leaf: leaf[None], verdict)
    num_later = config.num_rounds - 1
    if num_later == 0:
        return verdicts

    later = round_of(three_masks if config.multimask_corrections else single_mask)
    place = draw_number(place_keys, max(config.correction_points, 1))

    def later_round(carry, inputs):
        prompts, mask = carry
        index, round_keys = inputs
        if config.stop_gradient:
            mask = jax.lax.stop_gradient(mask)
        slot = correction_slot(index, place, config)
        prompts = _add_correction(round_keys, prompts, mask, slot, targets, config)
        verdict, mask = later(PromptInputs(prompts.points, prompts.labels, mask))
        return (prompts, mask), verdict

    rounds = jnp.arange(num_later), split_keys(later_keys, num_later)
    start = _with_free_slots(first, config.correction_points), mask
    _, later_verdicts = jax.lax.scan(later_round, start, rounds)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), verdicts, later_verdicts)


def draw_first_prompt(
    keys: Key[Array, "b k"], targets: Targets, config: PromptSimulationConfig
) -> tuple[SparsePrompts, Bool[Array, "b k"]]:
    """Draws a point or a box for each target, and says which it is."""
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


def correction_slot(
    index: Int[Array, ""], place: Int[Array, "b k"], config: PromptSimulationConfig
) -> Int[Array, "b k"]:
    """Tells which correction a later round draws; -1 in a round without a point.

    Args:
        index: Number of the round, 0 for the one after the first prompt.
        place: Number of the correction that the random refinement precedes.
        config: The rounds.
    """
    slot = jnp.broadcast_to(index, place.shape)
    if config.refine_at_random:
        slot = jnp.where(index == place, -1, index - (index > place))
    return jnp.where(slot < config.correction_points, slot, -1)


def three_masks(prediction: MaskPrediction) -> Candidates:
    """Answers with the masks of an ambiguous prompt."""
    logits, scores = prediction
    scores = scores[:, :, 1:]
    return Candidates(logits[:, :, 1:], scores, jnp.ones_like(scores, bool))


def single_mask(prediction: MaskPrediction) -> Candidates:
    """Answers with the mask of an unambiguous prompt."""
    logits, scores = prediction
    scores = scores[:, :, :1]
    return Candidates(logits[:, :, :1], scores, jnp.ones_like(scores, bool))


def single_mask_where(unambiguous: Bool[Array, "b k"]) -> Choose:
    """Answers some prompts with the single mask and the others with the three."""

    def choose(prediction: MaskPrediction) -> Candidates:
        logits, scores = prediction
        is_single = jnp.arange(scores.shape[-1]).reshape(1, 1, -1) == 0
        return Candidates(logits, scores, is_single == unambiguous[..., None])

    return choose


def best_mask(
    logits: Float[Array, "b k m h w"],
    scores: Float[Array, "b k m"],
    candidates: Bool[Array, "b k m"],
) -> Float[Array, "b k h w"]:
    """Takes the candidate that the IoU head ranks first: the one that is fed back."""
    best = jnp.argmax(jnp.where(candidates, scores, -jnp.inf), axis=-1)
    return jnp.take_along_axis(logits, best[..., None, None, None], axis=2)[:, :, 0]


def _with_free_slots(prompts: SparsePrompts, number: int) -> SparsePrompts:
    batch, sets = prompts.labels.shape[:2]
    points = jnp.zeros((batch, sets, number, 2))
    labels = jnp.full((batch, sets, number), ABSENT, prompts.labels.dtype)
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
    """Fills the slot of a new point from the error of the mask that is fed back."""
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
