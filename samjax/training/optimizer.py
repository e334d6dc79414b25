"""AdamW as SAM was trained with it (SAM, appendix A), and the rules around it."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import optax
import optax.contrib
from optax import GradientTransformation, Schedule

from samjax.models.params import Params, is_constant, kind_of, layer_of, map_paths


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer; the defaults are those of ViT-H on SA-1B.

    Attributes:
        peak_learning_rate: Learning rate after the warm-up.
        warmup_steps: Steps of linear warm-up from 0.
        schedule: `"step"` divides by ten at every milestone; `"cosine"` and
            `"linear"` decay to `final_fraction` of the peak at the last step.
        milestones: Steps at which `"step"` divides, as fractions of all steps. The
            paper's are 60k and 86,666 of 90k.
        final_fraction: Final learning rate of the cosine and linear schedules, over the
            peak.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        weight_decay: Decoupled weight decay, times the learning rate of the layer.
        decay_exempt: Kinds of parameters without weight decay. The paper leaves it
            open; the default is that of ViTDet for ViT-B.
        layer_decay: Learning rate of a layer of the image encoder over that of the
            layer after it.
        encoder_rate: Learning rate of the image encoder's blocks, patch embedding and
            positions over that of everything else, before `layer_decay`: below 1 where
            the encoder is pre-trained and neck and mask decoder are not.
        clip_norm: Largest norm of the whole gradient, or None. The paper leaves it open.
        matrices: Optimizer of the kernels of dense layers: `"adam"` as for all other
            parameters, or `"muon"`, orthogonalized momentum (Jordan et al., 2024), for
            runs of few steps.
        muon_rms: Root mean square of a Muon update before the learning rate. At 0.2 it
            is that of Adam's updates, so that both share learning rate and decay.
    """

    peak_learning_rate: float = 8e-4
    warmup_steps: int = 250
    schedule: Literal["step", "cosine", "linear"] = "step"
    milestones: tuple[float, ...] = (60_000 / 90_000, 86_666 / 90_000)
    final_fraction: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.1
    decay_exempt: tuple[Literal["norm", "bias", "position", "token"], ...] = (
        "norm",
        "bias",
        "position",
    )
    layer_decay: float = 0.8
    encoder_rate: float = 1.0
    clip_norm: float | None = None
    matrices: Literal["adam", "muon"] = "adam"
    muon_rms: float = 0.2


def make_optimizer(
    config: OptimizerConfig, params: Params, *, depth: int, total_steps: int
) -> GradientTransformation:
    """Builds the optimizer of a model.

    Args:
        config: The optimizer.
        params: The parameters, or their shapes; only their paths are read.
        depth: Blocks of the image encoder.
        total_steps: Steps of the whole run.

    Returns:
        An optax transformation. The Fourier matrix gets an update of exactly zero.
    """
    frozen = map_paths(is_constant, params)
    decays = map_paths(lambda path: kind_of(path) not in config.decay_exempt, params)
    scales = map_paths(
        lambda path: layer_scale(path, depth, config.layer_decay, config.encoder_rate),
        params,
    )
    learning_rate = make_schedule(config, total_steps)
    clip = config.clip_norm
    return optax.chain(
        # First, so that the gradient's norm excludes the frozen Fourier matrix.
        optax.masked(optax.set_to_zero(), frozen),
        optax.identity() if clip is None else optax.clip_by_global_norm(clip),
        _direction(config),
        optax.add_decayed_weights(config.weight_decay, mask=decays),
        scale_by_tree(scales),
        optax.scale_by_learning_rate(learning_rate),
        # Last as well, since weight decay is added after the first.
        optax.masked(optax.set_to_zero(), frozen),
    )


def make_schedule(config: OptimizerConfig, total_steps: int) -> Schedule:
    """Builds the learning rate as a function of the step.

    Raises:
        ValueError: The config names another schedule.
    """
    peak, warmup = config.peak_learning_rate, config.warmup_steps
    rest = max(total_steps - warmup, 1)
    match config.schedule:
        case "step":
            steps = (round(total_steps * fraction) for fraction in config.milestones)
            after = optax.piecewise_constant_schedule(
                peak, {step - warmup: 0.1 for step in steps if step > warmup}
            )
        case "cosine":
            after = optax.cosine_decay_schedule(peak, rest, config.final_fraction)
        case "linear":
            after = optax.linear_schedule(peak, peak * config.final_fraction, rest)
        case other:
            raise ValueError(f"schedule={other!r}: use 'step', 'cosine' or 'linear'")
    # The ramp counts from one, so that the first step has a positive learning rate.
    ramp = optax.linear_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1))
    return optax.join_schedules([ramp, after], [warmup])


def layer_scale(
    path: str, depth: int, decay: float, encoder_rate: float = 1.0
) -> float:
    """Returns the factor on the learning rate of a parameter; 1 in the last layer."""
    layer = layer_of(path, depth)
    return decay ** (depth + 1 - layer) * (encoder_rate if layer <= depth else 1.0)


def _direction(config: OptimizerConfig) -> GradientTransformation:
    """Builds the transformation of gradients, before decay and learning rate."""
    adam = optax.scale_by_adam(b1=config.beta1, b2=config.beta2)
    if config.matrices == "adam":
        return adam
    muon = optax.chain(
        optax.contrib.scale_by_muon(weight_dimension_numbers=_as_matrices),
        optax.stateless(
            lambda updates, _: jax.tree.map(
                # The root mean square of an orthogonal matrix is max(shape) ** -0.5.
                lambda u: u * (config.muon_rms * max(u.shape) ** 0.5),
                updates,
            )
        ),
    )

    def label(path, leaf):
        is_dense = kind_of(path[-1].key) == "weight" and leaf.ndim == 2
        return "muon" if is_dense else "adam"

    return optax.partition(
        {"muon": muon, "adam": adam},
        lambda params: jax.tree_util.tree_map_with_path(label, params),
    )


def _as_matrices(updates: Any) -> Any:
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), updates)


def scale_by_tree(scales: Any) -> GradientTransformation:
    """Multiplies every update by its own constant."""

    def update(updates, params=None):
        del params
        return jax.tree.map(lambda update, scale: update * scale, updates, scales)

    return optax.stateless(update)
