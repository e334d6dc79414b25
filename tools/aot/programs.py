"""The programs to compile: a training step, the image encoder, everything mode's loop.

Each is the function that samjax runs, traced for shapes that are sharded by its own
rules (`samjax.sharding`). No array is allocated.
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
from samjax.inference.automatic.device import Filters, find_candidates, prepare_image
from samjax.inference.automatic.schedule import make_schedule
from samjax.models.sam import Sam
from samjax.training.config import Stage, TrainConfig
from samjax.training.initial.state import InitialState
from samjax.training.runtime.placement import Placement
from samjax.training.runtime.program import step_program
from samjax.training.step import init_params

# Everything mode: size of the photo, and points per call (16 calls for 32 x 32 points).
PHOTO = (1500, 2250)
POINTS = 64


class Program(NamedTuple):
    """A program to compile.

    Attributes:
        function: A jitted function.
        arguments: Shapes with shardings.
        options: Static arguments.
        images: Images per call.
        chips: Number of chips that share a call.
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
    """Returns the step of a stage of a run, with batches in its source's form."""
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
    """Returns the program from pixels to image embeddings, without gradients."""
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
    """Returns everything mode's program for a chunk of points, on one device."""
    params = jax.eval_shape(lambda key: init_params(key, model), jax.random.key(0))
    grid = config.model.grid_size
    frame = Frame.fit(PHOTO, config.model.image_size)
    down, across, group_sizes = make_schedule(frame, 4 * grid, POINTS, on_cpu=False)
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
    prepare = functools.partial(prepare_image, model=model)
    arguments = (
        params,
        jax.eval_shape(prepare, params, features),
        _shape(POINTS, 2, dtype=jnp.float32),
        _shape(dtype=jnp.int32),
        down,
        across,
        filters,
    )
    options = {
        "model": model,
        "capacity": POINTS,
        "group_sizes": group_sizes,
    }
    # On a single device: the others of the mesh do not take part.
    replicated = sharding.replicated(mesh)
    arguments = tuple(placed(argument, replicated) for argument in arguments)
    return Program(find_candidates, arguments, options, 1, 1)


PROGRAMS: dict[str, Callable[[TrainConfig, Stage, Sam, Mesh], Program]] = {
    "train": train_step,
    "encoder": encoder,
    "everything": everything,
}


def placed(shapes: Any, where: Any) -> Any:
    """Adds shardings to shapes: one for all, or a tree of them."""
    if isinstance(where, NamedSharding):
        for_all = where
        where = jax.tree.map(lambda _: for_all, shapes)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, where
    )


def _shape(*sides: int, dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(sides, dtype)
