"""One step of training: a pure function of (state, batch, key)."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from samjax.data.batch import Batch, RunBatch, dense_batch
from samjax.geometry.frame import normalize
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import Sam
from samjax.sharding import gather_params
from samjax.training.accumulation import accumulated
from samjax.training.finetune.lora import LoraConfig, merge_lora
from samjax.training.finetune.trainable import Trainable, merge_params, split_params
from samjax.training.initial.crops import decoder_of, draw_origin, embed
from samjax.training.losses import (
    LossConfig,
    PromptLoss,
    grouping_loss,
    mean_over_valid,
    prompt_loss,
)
from samjax.training.microbatches import map_masks
from samjax.training.prompt_draws import keys_of_targets
from samjax.training.prompt_simulation import (
    Decode,
    PromptSimulationConfig,
    simulate_prompts,
)
from samjax.training.targets import (
    Resolution,
    Targets,
    make_targets,
    repeat_targets,
)

Params = Mapping[str, Any]
Metrics = dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """What a step does with a batch.

    Attributes:
        losses: Weights and constants of the losses.
        prompts: The rounds of prompts.
        resolution: Where predictions and targets are compared.
        crops: Whether the images are parts of an input of the model's own size.
        repeat_masks: Whether free slots for masks repeat those of their image.
        ema_decay: Decay of the moving average of the parameters, or None for none.
        accumulate: Parts in which the batch goes through the model, one after the
            other; the step is that of the whole batch.
        trainable: Which parameters are trained.
        lora: Adapters beside them, of rank 0 for none.
    """

    losses: LossConfig = field(default_factory=LossConfig)
    prompts: PromptSimulationConfig = field(default_factory=PromptSimulationConfig)
    resolution: Resolution = "image"
    crops: bool = False
    repeat_masks: bool = False
    ema_decay: float | None = None
    accumulate: int = 1
    trainable: Trainable = "all"
    lora: LoraConfig = field(default_factory=LoraConfig)


class TrainState(NamedTuple):
    """All that a run changes.

    Attributes:
        step: Int "", steps done.
        params: The parameters, a plain nested dict of float32.
        opt_state: The optimizer's, about the trainable ones.
        ema_params: Moving average of the trainable parameters, or None.
    """

    step: Array
    params: Any
    opt_state: Any
    ema_params: Any


def init_params(key: PRNGKeyArray, model: Sam) -> Params:
    """Draws fresh parameters; their shapes depend on the model's config alone."""
    config = model.config
    side = config.image_size
    prompts = PromptInputs(jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1), jnp.int32))

    # Under jit XLA drops the forward pass, whose results nobody asks for.
    @jax.jit
    def draw(key):
        return model.init(key, jnp.zeros((1, side, side, 3)), prompts)["params"]

    return draw(key)


def init_state(
    params: Params, optimizer: optax.GradientTransformation, config: StepConfig
) -> TrainState:
    """Makes the state before the first step."""
    trained, _ = split_params(params, config.trainable)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(trained),
        ema_params=(
            None if config.ema_decay is None else jax.tree.map(jnp.copy, trained)
        ),
    )


def averaged_params(state: TrainState, trainable: Trainable) -> Params:
    """Returns the parameters, the trainable ones by their moving average if there is one."""
    if state.ema_params is None:
        return state.params
    _, constant = split_params(state.params, trainable)
    return merge_params(state.ema_params, constant)


def train_step(
    state: TrainState,
    batch: Batch | RunBatch,
    key: PRNGKeyArray,
    *,
    model: Sam,
    optimizer: optax.GradientTransformation,
    config: StepConfig,
) -> tuple[TrainState, Metrics]:
    """Takes one step.

    Args:
        state: Before the step.
        batch: Images and target masks.
        key: Randomness of the step: prompts and drop path.
        model: The model; its dtype is the compute dtype.
        optimizer: From `make_optimizer`, for the trainable parameters.
        config: What to minimize.

    Returns:
        The state after the step, and scalars about the step.
    """
    trained, frozen = split_params(state.params, config.trainable)

    def loss(trained, batch, key):
        params = merge_lora(merge_params(trained, frozen), config.lora)
        return batch_loss(params, batch, key, model, config)

    gradient_of = jax.value_and_grad(loss, has_aux=True)
    metrics, gradients = accumulated(
        gradient_of, trained, batch, key, config.accumulate
    )
    updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
    trained = cast(Params, optax.apply_updates(trained, updates))
    ema_params = state.ema_params
    if config.ema_decay is not None:
        ema_params = optax.incremental_update(
            trained, ema_params, step_size=1.0 - config.ema_decay
        )
    metrics["gradient_norm"] = optax.tree.norm(gradients)
    params = merge_params(trained, frozen)
    return TrainState(state.step + 1, params, opt_state, ema_params), metrics


def batch_loss(
    params: Params,
    batch: Batch | RunBatch,
    key: PRNGKeyArray,
    model: Sam,
    config: StepConfig,
) -> tuple[Float[Array, ""], Metrics]:
    """Computes what a step minimizes, and scalars about it.

    The loss is the mean over all valid target masks of the batch of the sum (or mean)
    over their rounds of prompts, and the loss on the embedding where it has a weight.
    What a mask adds is multiplied by the weight of its example, where the batch has
    weights; the number of masks stays that of all. Metrics of single losses are plain
    means.
    """
    drop_key, prompt_key, origin_key = jax.random.split(key, 3)
    dense = dense_batch(batch)
    origin = None
    if isinstance(batch, RunBatch) and batch.embeddings is not None:
        embeddings = batch.embeddings
    else:
        if config.crops:
            origin = draw_origin(origin_key, model.config, dense.images.shape[1])
        embeddings = embed(
            model,
            params,
            normalize(dense.images, dense.sizes),
            origin,
            deterministic=model.config.drop_path_rate == 0.0,
            rngs={"drop_path": drop_key},
        )
    grid = embeddings.shape[1:3]
    targets = make_targets(
        dense.masks,
        dense.valid,
        dense.sizes,
        config.resolution,
        (4 * grid[0], 4 * grid[1]),
    )
    targets = repeat_targets(targets) if config.repeat_masks else targets

    asked = {name: params[name] for name in ("prompt_encoder", "mask_decoder")}
    decoder = functools.partial(
        decoder_of,
        params={**params, **gather_params(asked)},
        model=model,
        origin=origin,
    )
    rounds = losses_of_rounds(embeddings, targets, decoder, prompt_key, config)
    rounds = rounds._replace(total=_weighted(rounds.total, batch))
    by_round = jax.tree.map(lambda x: mean_over_valid(x, targets.valid), rounds)
    over_rounds = jnp.sum if config.losses.rounds == "sum" else jnp.mean
    loss = over_rounds(by_round.total)
    metrics = {
        "loss": loss,
        "focal": jnp.mean(by_round.focal),
        "dice": jnp.mean(by_round.dice),
        "iou_error": jnp.mean(by_round.iou_error),
        "iou_first": by_round.iou[0],
        "iou_last": by_round.iou[-1],
        "masks": jnp.sum(targets.valid),
    }
    if config.losses.grouping_weight:
        grouping = grouping_loss(embeddings, targets.masks, targets.inside)
        metrics["grouping"] = mean_over_valid(grouping, targets.valid)
        grouping = mean_over_valid(_weighted(grouping, batch), targets.valid)
        metrics["loss"] += config.losses.grouping_weight * grouping
    return metrics["loss"], metrics | _damage(batch)


def losses_of_rounds(
    embeddings: Float[Array, "b gh gw c"],
    targets: Targets,
    decoder: Callable[[Array], Decode],
    key: PRNGKeyArray,
    config: StepConfig,
) -> PromptLoss:
    """Takes every target through its rounds of prompts, some targets at a time.

    Args:
        embeddings: The images.
        targets: The masks to ask for.
        decoder: Makes, of some embeddings, what answers prompts about them.
        key: Randomness of the prompts.
        config: What to minimize.

    Returns:
        The losses, "rounds b k".
    """

    def of_part(images: Any, masks: Any) -> PromptLoss:
        embeddings, inside, sizes = images
        masks, valid, keys = masks
        part = Targets(masks, valid, inside, sizes, targets.pixel_side)

        def judge(logits, scores, candidates):
            return prompt_loss(logits, scores, masks, inside, candidates, config.losses)

        return simulate_prompts(decoder(embeddings), judge, part, keys, config.prompts)

    return map_masks(
        of_part,
        (embeddings, targets.inside, targets.sizes),
        (targets.masks, targets.valid, keys_of_targets(key, targets)),
        config.prompts.masks_at_a_time,
    )


def _weighted(
    losses: Float[Array, "*rounds b k"], batch: Batch | RunBatch
) -> Float[Array, "*rounds b k"]:
    if isinstance(batch, Batch) or batch.weights is None:
        return losses
    return losses * batch.weights.reshape(*[1] * (losses.ndim - 2), -1, 1)


def _damage(batch: Batch | RunBatch) -> Metrics:
    if isinstance(batch, Batch):
        return {}
    return {
        "bad_examples": jnp.sum(batch.status > 0),
        "bad_masks": jnp.sum(batch.bad_masks),
    }
