"""Sharding of a run's state and batches over its mesh, and gathering of whole copies."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import PRNGKeyArray

from samjax.sharding import batch_sharding, replicated, rows_of_process, shardings


class Placement:
    """The mesh of a run, and the transfers of its arrays to and from it.

    On a mesh of one device nothing is moved and nothing is copied.

    Args:
        mesh: From `samjax.sharding.make_mesh`, over all devices of all processes.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self._batch = batch_sharding(mesh)
        self._replicated = replicated(mesh)
        self.part, self.parts = rows_of_process(mesh)

    def check(self, batch_size: int, accumulate: int) -> None:
        """Checks that the mesh and the microbatches divide a batch.

        Raises:
            ValueError: They do not.
        """
        divisor = self.mesh.shape["data"] * self.mesh.shape["fsdp"] * accumulate
        if batch_size % divisor:
            raise ValueError(
                f"batch_size={batch_size} cannot be divided among data x fsdp x"
                f" accumulate = {self.mesh.shape['data']} x {self.mesh.shape['fsdp']} x"
                f" {accumulate}: expected a multiple of {divisor}"
            )

    def shapes(self, make: Callable[..., Any], *args: Any) -> Any:
        """Returns the abstract shapes of the result of `make`, with shardings."""
        shapes = jax.eval_shape(make, *args)
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            shapes,
            shardings(self.mesh, shapes),
        )

    def make(self, make: Callable[..., Any], *args: Any) -> Any:
        """Calls `make` under jit with sharded outputs: no device ever holds all of them.

        Args:
            make: Function that returns parameters, or a state.
            *args: Its arguments.
        """
        out = jax.tree.map(lambda leaf: leaf.sharding, self.shapes(make, *args))
        return jax.jit(make, out_shardings=out)(*args)

    def shard(self, tree: Any) -> Any:
        """Shards arrays of this process, which are equal in all processes."""

        def shard(leaf: Any, sharding: NamedSharding) -> jax.Array:
            whole = np.asarray(leaf)
            # Copies: the steps donate the memory of their arguments.
            return jax.make_array_from_callback(
                whole.shape, sharding, lambda index: np.array(whole[index])
            )

        return jax.tree.map(shard, tree, shardings(self.mesh, tree))

    def batch(self, rows: Any) -> Any:
        """Assembles a global batch from the rows of each process.

        Args:
            rows: Part `part` of `parts` of the batch, on the host or on a device.
        """
        if self.parts == 1 and jax.process_count() == 1:
            return jax.device_put(rows, self._batch)
        return jax.tree.map(
            lambda leaf: jax.make_array_from_process_local_data(
                self._batch,
                np.asarray(leaf, jax.dtypes.canonicalize_dtype(leaf.dtype)),
            ),
            rows,
        )

    def key(self, seed: int) -> PRNGKeyArray:
        """Returns a random key, replicated on all devices."""
        return jax.jit(jax.random.key, out_shardings=self._replicated)(seed)

    def whole(self, tree: Any) -> Any:
        """Gathers a whole tree on a single device of each process.

        A collective: all processes have to call it at the same time.
        """
        if self.mesh.size == 1:
            return tree
        copies = jax.jit(lambda tree: tree, out_shardings=self._replicated)(tree)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), copies)

    def first_rows(self, batch: Any, count: int) -> Any:
        """Copies this process's first images of a batch to a single device."""
        if self.mesh.size == 1:
            return jax.tree.map(lambda leaf: leaf[:count], batch)

        def rows(leaf):
            shards = {
                shard.index[0].start or 0: shard for shard in leaf.addressable_shards
            }
            first = [np.asarray(shard.data) for _, shard in sorted(shards.items())]
            return np.concatenate(first)[:count]

        return jax.tree.map(rows, batch)
