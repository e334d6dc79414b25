"""Where activations lie on many devices.

A mesh that is set (`jax.set_mesh`) splits attention heads over its axis `tensor`, and
images over all its other axes. Parameters are placed by whoever makes them; what is
computed from them and from images follows the images.
"""

import jax
from jax.sharding import AbstractMesh, AxisType, PartitionSpec
from jaxtyping import Array, Shaped

HEADS_AXIS = "tensor"


def current_mesh() -> AbstractMesh | None:
    """Returns the mesh that is set, if there is something to split over it.

    There is nothing on one device, nor inside a `jax.shard_map` over all of its axes.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or set(mesh.axis_types) == {AxisType.Manual}:
        return None
    return mesh


def split_of(batch: int, heads: int | None, mesh: AbstractMesh) -> PartitionSpec:
    """Says which axes of a mesh split a leading batch, and the heads after it.

    Axes whose size does not divide them are left out: their devices all have the same.
    So are those over which the caller is split already, inside a `jax.shard_map`.
    """
    axes, parts = [], 1
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    for name, size in mesh.shape.items():
        if name == HEADS_AXIS or kinds[name] == AxisType.Manual:
            continue
        if batch % (parts * size) == 0:
            axes.append(name)
            parts *= size
    of_heads = mesh.shape.get(HEADS_AXIS, 1)
    splits_heads = heads is not None and of_heads > 1 and heads % of_heads == 0
    return PartitionSpec(tuple(axes) or None, HEADS_AXIS if splits_heads else None)


def split_images(x: Shaped[Array, "b ..."]) -> Shaped[Array, "b ..."]:
    """Keeps the images of an array split over the mesh.

    A compiler that is left alone may bring images to where parameters lie, instead of
    parameters, which are less, to where images are.
    """
    mesh = current_mesh()
    if mesh is None:
        return x
    return jax.lax.with_sharding_constraint(x, split_of(x.shape[0], None, mesh))
