"""The cost of decoding prompts over a prepared image, counted in the program itself."""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from samjax.models.amortized.decoder import AmortizedDecoder
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import Sam, SamConfig


def prompt_multiply_adds(
    config: SamConfig, image_size: int, sets: int, points: int
) -> int:
    """Counts the multiply-adds of the matrix products of `decode_prompts`.

    The program is traced over shapes and not run, so that the count follows the algebra
    and the order of its products. `prepare_image` is left out: one image is used for
    many such calls.

    Args:
        config: Sizes of the model.
        image_size: Side of the square input in pixels.
        sets: Prompt sets without masks.
        points: Points of a set, tokens of boxes and empty slots included.
    """
    model = Sam(config)
    grid = image_size // config.patch_size
    embedding = jax.ShapeDtypeStruct((grid, grid, config.prompt_embed_dim), jnp.float32)
    prompts = jax.eval_shape(
        lambda: PromptInputs(
            jnp.zeros((1, sets, points, 2)), jnp.zeros((1, sets, points), jnp.int32)
        )
    )

    def init(embedding, prompts):
        # Through `decode`, to have the parameters of the decoder but no encoder's.
        return model.init(jax.random.key(0), embedding[None], prompts, method="decode")[
            "params"
        ]

    decoder = AmortizedDecoder(model)
    params = jax.eval_shape(init, embedding, prompts)
    image = jax.eval_shape(decoder.prepare_image, params, embedding)
    decode = jax.make_jaxpr(decoder.decode_prompts)
    return _multiply_adds(decode(params, image, prompts).jaxpr)


def _multiply_adds(jaxpr: Any) -> int:
    """Counts multiply-adds of all products, those of programs called in it included."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = math.prod(left[axis] for axis in contracted)
            total += depth * math.prod(equation.outvars[0].aval.shape)
        total += sum(_multiply_adds(inner) for inner in _called(equation))
    return total


def _called(equation: Any) -> Iterator[Any]:
    for value in equation.params.values():
        jaxpr = getattr(value, "jaxpr", value)
        if hasattr(jaxpr, "eqns"):
            yield jaxpr
