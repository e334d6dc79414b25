"""Trainable and frozen parameters of a run.

The step differentiates with respect to the trainable part of the tree alone: frozen
parameters have no gradient, no update and no optimizer state. A frozen part that only
feeds the trained one, such as the image encoder below a trained mask decoder, is
computed forward alone: its backward pass is not in the program at all.

`samjax.training.step` uses it; `make_optimizer` and the moving average take the trainable
part too.
"""

from collections.abc import Mapping
from typing import Any

from samjax.models.params import ADAPTERS, TRAINED, Params, Trainable, is_constant


def split_params(
    params: Params, preset: Trainable
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits parameters into a trainable and a frozen part.

    Only paths are read, so that leaves may be arrays, shapes or shardings. The Fourier
    matrix of the prompt encoder is a constant and never trained.

    Args:
        params: The parameters of a model, with adapters under `ADAPTERS` or without.
        preset: The trained part of the model.

    Returns:
        The trainable part and the frozen part, trees without the other's leaves.

    Raises:
        ValueError: There is no such preset, it trains nothing, or weights with adapters
            are trained themselves.
    """
    if preset not in TRAINED:
        raise ValueError(f"trainable={preset!r}: use one of {', '.join(TRAINED)}")
    parts = TRAINED[preset]
    if preset == "adapters" and ADAPTERS not in params:
        raise ValueError(
            "trainable='adapters' trains nothing without adapters: give lora.rank, or "
            "train the 'decoder'"
        )
    doubled = sorted(part for part in params.get(ADAPTERS, {}) if f"{part}/" in parts)
    if doubled:
        raise ValueError(
            f"trainable={preset!r} trains the {doubled[0]} itself, and lora has adapters "
            "on it: use trainable='adapters', or leave lora's targets there empty"
        )
    trained = (*parts, f"{ADAPTERS}/")
    return _split(params, "", lambda path: path.startswith(trained))


def merge_params(trainable: Params, frozen: Params) -> dict[str, Any]:
    """Joins the two parts of `split_params` again.

    Raises:
        ValueError: A leaf is in both.
    """
    merged = dict(frozen)
    for name, value in trainable.items():
        if name not in frozen:
            merged[name] = value
        elif isinstance(value, Mapping) and isinstance(frozen[name], Mapping):
            merged[name] = merge_params(value, frozen[name])
        else:
            raise ValueError(
                f"got {name} in both parts, expected the parts that split_params gave"
            )
    return merged


def _split(tree: Params, path: str, is_trained) -> tuple[dict, dict]:
    trained: dict[str, Any] = {}
    frozen: dict[str, Any] = {}
    for name, value in tree.items():
        place = f"{path}/{name}" if path else name
        if isinstance(value, Mapping):
            for side, part in zip(
                (trained, frozen), _split(value, place, is_trained), strict=True
            ):
                if part:
                    side[name] = part
        else:
            side = trained if is_trained(place) and not is_constant(place) else frozen
            side[name] = value
    return trained, frozen
