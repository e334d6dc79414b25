"""One step of training: a pure function of (state, batch, key).

The rounds of prompts and their losses are those of SAM, section 3 and appendix A.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from samjax.data.batch import Batch, RunBatch, dense_batch
from samjax.geometry.frame import normalize
from samjax.models.params import DECODING_PARTS, Params, select_parts
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import MaskPrediction, Sam
from samjax.sharding import constrain_batch, gather_params
from samjax.training.finetune.lora import LoraConfig, merge_lora
from samjax.training.finetune.trainable import Trainable, merge_params, split_params
from samjax.training.initial.crops import at_crop, draw_origin
from samjax.training.losses import (
    LossConfig,
    PromptLoss,
    grouping_loss,
    mean_over_valid,
    prompt_loss,
)
from samjax.training.microbatches import accumulate_gradients, map_masks
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

Metrics = dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """Config of a training step: the fields of a run and of its stage that it reads.

    `TrainConfig.stage_step` fills every field from the field of the same name of the
    stage, or of the run.

    Attributes:
        losses: Weights and constants of the losses.
        prompts: The rounds of prompts.
        resolution: Resolution at which predictions are compared with targets.
        crops: Whether the images are crops of an input of the model's own size.
        repeat_masks: Whether free mask slots repeat the masks of their image.
        ema_decay: Decay of the moving average of the parameters, or None for none.
        accumulate: Microbatches of a step (gradient accumulation); the update is that
            of the whole batch.
        trainable: Trained parameters.
        lora: Adapters; rank 0 for none.
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
    """State of a run: all arrays that a step updates.

    Attributes:
        step: Int "", steps done.
        params: The parameters, a plain nested dict of float32.
        opt_state: Optimizer state of the trainable parameters.
        ema_params: Moving average of the trainable parameters, or None.
    """

    step: Array
    params: Any
    opt_state: Any
    ema_params: Any


def init_params(key: PRNGKeyArray, model: Sam) -> Params:
    """Draws random parameters; their shapes depend on the model's config alone."""
    config = model.config
    side = config.image_size
    prompts = PromptInputs(jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1), jnp.int32))

    # Under jit XLA removes the forward pass, whose results are unused.
    @jax.jit
    def draw(key):
        return model.init(key, jnp.zeros((1, side, side, 3)), prompts)["params"]

    return draw(key)


def init_state(
    params: Params, optimizer: optax.GradientTransformation, config: StepConfig
) -> TrainState:
    """Returns the state before the first step."""
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
    """Returns the parameters, with moving averages for the trainable ones if kept."""
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
    """Takes one optimizer step.

    Args:
        state: State before the step.
        batch: Images and target masks.
        key: Random key of the step, for prompts, crops and drop path.
        model: The model; its dtype is the compute dtype.
        optimizer: From `make_optimizer`, for the trainable parameters.
        config: The step.

    Returns:
        The state after the step, and scalar metrics.
    """
    trained, frozen = split_params(state.params, config.trainable)

    def loss(trained, batch, key):
        params = merge_lora(merge_params(trained, frozen), config.lora)
        return batch_loss(params, batch, key, model, config)

    gradient_of = jax.value_and_grad(loss, has_aux=True)
    metrics, gradients = accumulate_gradients(
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
    """Computes the loss of a batch, and scalar metrics.

    The loss of a target mask is summed (or averaged) over its rounds of prompts, then
    averaged over all valid target masks of the batch; the grouping loss on the image
    embedding is added where it has a weight. Losses are multiplied by the weights of
    their examples where the batch has weights, and still divided by the number of
    masks. Metrics of single losses are unweighted means.
    """
    drop_key, prompt_key, origin_key = jax.random.split(key, 3)
    dense = dense_batch(batch)
    if isinstance(batch, RunBatch) and batch.embeddings is not None:
        embeddings, origin = batch.embeddings, None
    else:
        embeddings, origin = _embed_batch(
            params, dense, drop_key, origin_key, model, config
        )
    grid = embeddings.shape[1:3]
    targets = make_targets(
        dense.masks,
        dense.valid,
        dense.sizes,
        config.resolution,
        (4 * grid[0], 4 * grid[1]),
    )._replace(text=dense.text)
    targets = repeat_targets(targets) if config.repeat_masks else targets

    decoder = functools.partial(
        decoder_of,
        params={**params, **gather_params(select_parts(params, DECODING_PARTS))},
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


def _embed_batch(
    params: Params,
    batch: Batch,
    drop_key: PRNGKeyArray,
    origin_key: PRNGKeyArray,
    model: Sam,
    config: StepConfig,
) -> tuple[Float[Array, "b gh gw c"], Int[Array, "2"] | None]:
    """Encodes the images of a batch; returns the position of crops, too."""
    encoder, tables, origin = model, params, None
    if config.crops:
        side = batch.images.shape[1]
        origin = draw_origin(origin_key, model.config, side)
        encoder, tables = at_crop(model, params, side, origin)
    embeddings = embed(
        encoder,
        tables,
        normalize(batch.images, batch.sizes),
        deterministic=model.config.drop_path_rate == 0.0,
        rngs={"drop_path": drop_key},
    )
    return embeddings, origin


def embed(
    model: Sam, params: Any, pixels: Float[Array, "b h w 3"], **options: Any
) -> Float[Array, "b gh gw c"]:
    """Encodes normalized images.

    Args:
        model: The model, or for crops the one from `at_crop`.
        params: Its parameters.
        pixels: The images.
        **options: Options of `Sam.apply`, such as keys for drop path.
    """
    embeddings = model.apply(
        {"params": params}, pixels, method="encode_image", **options
    )
    return constrain_batch(cast(Array, embeddings))


def decoder_of(
    embeddings: Float[Array, "b gh gw c"],
    params: Any,
    model: Sam,
    origin: Int[Array, "2"] | None = None,
) -> Decode:
    """Returns the function from prompts to masks for encoded images.

    Args:
        embeddings: Image embeddings.
        params: The model's parameters.
        model: The model.
        origin: (x, y) of a crop's first patch in the model's input grid, so that
            positions are those of the whole input; None for whole images.
    """

    def decode(prompts: PromptInputs) -> MaskPrediction:
        prediction = model.apply(
            {"params": params}, embeddings, prompts, origin, method="decode"
        )
        return cast(MaskPrediction, prediction)

    return decode


def losses_of_rounds(
    embeddings: Float[Array, "b gh gw c"],
    targets: Targets,
    decoder: Callable[[Array], Decode],
    key: PRNGKeyArray,
    config: StepConfig,
) -> PromptLoss:
    """Computes the losses of all rounds of prompts, for some targets at a time.

    Args:
        embeddings: Image embeddings.
        targets: The target masks.
        decoder: Maps embeddings to their decoding function, as `decoder_of` does.
        key: Random key of the prompts.
        config: The step.

    Returns:
        The losses, "rounds b k".
    """

    def losses_of_part(images: Any, masks: Any) -> PromptLoss:
        embeddings, inside, sizes = images
        masks, valid, text, keys = masks
        part = Targets(masks, valid, inside, sizes, targets.pixel_side, text)

        def loss_of_round(logits, scores, candidates):
            return prompt_loss(logits, scores, masks, inside, candidates, config.losses)

        return simulate_prompts(
            decoder(embeddings), loss_of_round, part, keys, config.prompts
        )

    return map_masks(
        losses_of_part,
        (embeddings, targets.inside, targets.sizes),
        (targets.masks, targets.valid, targets.text, keys_of_targets(key, targets)),
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
