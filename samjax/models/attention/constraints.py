"""Sharding of activations over a mesh.

Where a mesh is set (`jax.set_mesh`), attention heads are sharded over its axis `tensor`,
and images over all its other axes. Parameters have the sharding of their arrays (see
`samjax.sharding`); activations follow the images.
"""

import jax
from jax.sharding import AbstractMesh, AxisType, PartitionSpec
from jaxtyping import Array, Shaped

HEADS_AXIS = "tensor"


def current_mesh() -> AbstractMesh | None:
    """Returns the mesh that is set, or None where it shards no activation.

    That is the case on one device, and inside a `jax.shard_map` over all of its axes.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or set(mesh.axis_types) == {AxisType.Manual}:
        return None
    return mesh


def split_of(batch: int, heads: int | None, mesh: AbstractMesh) -> PartitionSpec:
    """Returns the sharding of a leading batch, and of the heads after it.

    Axes whose size does not divide them are left out: their devices hold replicas. So
    are the axes of a surrounding `jax.shard_map`.
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
    """Constrains the images of an array to stay sharded over the mesh.

    Without the constraint the compiler may gather images at the shards of parameters,
    instead of gathering parameters, which are smaller.
    """
    mesh = current_mesh()
    if mesh is None:
        return x
    return jax.lax.with_sharding_constraint(x, split_of(x.shape[0], None, mesh))
