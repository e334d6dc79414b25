"""What is compiled: a training step, the image encoder, everything mode's loop.

Each is the function that samjax runs, traced for shapes that lie on the devices as its
own rules (`samjax.sharding`) say. No array is ever made.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from samjax import sharding
from samjax.data.batch import Batch, RunBatch
from samjax.geometry.frame import Frame, normalize
from samjax.inference.automatic import divide_work
from samjax.inference.candidates import Filters, find_candidates, share_image
from samjax.models.sam import Sam
from samjax.training.config import Stage, TrainConfig
from samjax.training.initial.state import InitialState
from samjax.training.runtime.placement import Placement
from samjax.training.runtime.program import step_program
from samjax.training.step import init_params

# Everything mode: the photo, and the points of one call (32 x 32 points take 16).
PHOTO = (1500, 2250)
POINTS = 64


class Program(NamedTuple):
    """Something to compile.

    Attributes:
        function: A jitted function.
        arguments: Shapes with shardings.
        options: Static arguments.
        images: Images of one call.
        chips: How many chips share the call.
    """

    function: Any
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    images: int
    chips: int

    def lower(self, mesh: Mesh) -> Any:
        """Traces and lowers it for the TPUs of a mesh."""
        with jax.set_mesh(mesh):
            traced = self.function.trace(*self.arguments, **self.options)
            return traced.lower(lowering_platforms=("tpu",))


def train_step(config: TrainConfig, stage: Stage, model: Sam, mesh: Mesh) -> Program:
    """The step of a stage of a run, with batches as its source makes them."""
    placement = Placement(mesh)
    initial = InitialState(config, model, placement)
    state = initial.shapes()
    images, side, masks = stage.batch_size, stage.image_size, stage.masks_per_image
    given: dict[str, Any] = {
        "images": _shape(images, side, side, 3, dtype=jnp.uint8),
        "sizes": _shape(images, 2, dtype=jnp.int32),
        "valid": _shape(images, masks, dtype=bool),
    }
    if config.data is None:
        batch = Batch(masks=_shape(images, masks, side, side, dtype=bool), **given)
    else:
        boundaries = config.data.boundaries_per_mask
        batch = RunBatch(
            runs=_shape(images, masks, boundaries, dtype=jnp.int32),
            status=_shape(images, dtype=jnp.int32),
            bad_masks=_shape(images, dtype=jnp.int32),
            index=_shape(images, dtype=jnp.int32),
            **given,
        )
    arguments = (
        state,
        placed(batch, sharding.batch_sharding(mesh)),
        placed(jax.eval_shape(lambda: jax.random.key(0)), sharding.replicated(mesh)),
    )
    program = step_program(model, initial.optimizer, config, stage, state)
    return Program(program, arguments, {}, images, mesh.size)


def encoder(config: TrainConfig, stage: Stage, model: Sam, mesh: Mesh) -> Program:
    """Pixels to image embeddings, without gradients."""
    params = jax.eval_shape(lambda key: init_params(key, model), jax.random.key(0))

    @jax.jit
    def encode(params, images, sizes):
        pixels = normalize(images, sizes)
        return model.apply({"params": params}, pixels, method="encode_image")

    images, side = stage.batch_size, stage.image_size
    on_images = sharding.batch_sharding(mesh)
    arguments = (
        placed(params, sharding.shardings(mesh, params)),
        placed(_shape(images, side, side, 3, dtype=jnp.uint8), on_images),
        placed(_shape(images, 2, dtype=jnp.int32), on_images),
    )
    return Program(encode, arguments, {}, images, mesh.size)


def everything(config: TrainConfig, stage: Stage, model: Sam, mesh: Mesh) -> Program:
    """A chunk of points to masks that pass, on one device: as for a large photo."""
    params = jax.eval_shape(lambda key: init_params(key, model), jax.random.key(0))
    grid = config.model.grid_size
    frame = Frame.fit(PHOTO, config.model.image_size)
    down, across, pace = divide_work(frame, 4 * grid, POINTS, on_cpu=False)
    number = np.float32(0)
    filters = Filters(
        predicted_iou=number,
        stability=number,
        stability_offset=number,
        size=np.zeros(2, np.int32),
        crop_box=np.zeros(4, np.float32),
        image_box=np.zeros(4, np.float32),
    )
    features = _shape(grid, grid, config.model.prompt_embed_dim, dtype=model.dtype)
    shared = functools.partial(share_image, model=model)
    arguments = (
        params,
        jax.eval_shape(shared, params, features),
        _shape(POINTS, 2, dtype=jnp.float32),
        _shape(dtype=jnp.int32),
        down,
        across,
        filters,
    )
    options = {
        "grid": (grid, grid),
        "model": model,
        "capacity": POINTS,
        "pace": pace,
    }
    # All on one device: a mesh with others would have no part in it.
    alone = sharding.replicated(mesh)
    arguments = tuple(placed(argument, alone) for argument in arguments)
    return Program(find_candidates, arguments, options, 1, 1)


PROGRAMS: dict[str, Callable[[TrainConfig, Stage, Sam, Mesh], Program]] = {
    "train": train_step,
    "encoder": encoder,
    "everything": everything,
}


def placed(shapes: Any, where: Any) -> Any:
    """Adds shardings, one for all or one for each, to shapes."""
    if isinstance(where, NamedSharding):
        one = where
        where = jax.tree.map(lambda _: one, shapes)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, where
    )


def _shape(*sides: int, dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(sides, dtype)
