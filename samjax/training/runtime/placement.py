"""Puts the state and the batches of a run on its mesh, and takes whole copies back."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import PRNGKeyArray

from samjax.sharding import batch_sharding, replicated, rows_of_process, shardings


class Placement:
    """Where the arrays of a run live.

    On a mesh of one device nothing is moved and nothing is copied.

    Args:
        mesh: From `samjax.sharding.make_mesh`, over all devices of all processes.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self._batch = batch_sharding(mesh)
        self._whole = replicated(mesh)
        self.part, self.parts = rows_of_process(mesh)

    def check(self, batch_size: int, accumulate: int) -> None:
        """Checks that batches can be dealt out.

        Raises:
            ValueError: They cannot.
        """
        places = self.mesh.shape["data"] * self.mesh.shape["fsdp"] * accumulate
        if batch_size % places:
            raise ValueError(
                f"batch_size={batch_size} cannot be dealt out to data x fsdp x"
                f" accumulate = {self.mesh.shape['data']} x {self.mesh.shape['fsdp']} x"
                f" {accumulate}: expected a multiple of {places}"
            )

    def shapes(self, make: Callable[..., Any], *args: Any) -> Any:
        """Says what `make` returns, as shapes that know where they lie."""
        found = jax.eval_shape(make, *args)
        return jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=place
            ),
            found,
            shardings(self.mesh, found),
        )

    def make(self, make: Callable[..., Any], *args: Any) -> Any:
        """Calls `make` so that each device only ever holds its part of what it returns.

        Args:
            make: What returns parameters, or a state.
            *args: What it is given.
        """
        places = jax.tree.map(lambda leaf: leaf.sharding, self.shapes(make, *args))
        return jax.jit(make, out_shardings=places)(*args)

    def place(self, tree: Any) -> Any:
        """Deals out arrays of this process, which are the same in all processes."""

        def deal_out(leaf: Any, place: NamedSharding) -> jax.Array:
            whole = np.asarray(leaf)
            # Copies: the steps reuse the memory of what they are given.
            return jax.make_array_from_callback(
                whole.shape, place, lambda index: np.array(whole[index])
            )

        return jax.tree.map(deal_out, tree, shardings(self.mesh, tree))

    def batch(self, rows: Any) -> Any:
        """Makes a batch of what each process has of it.

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
        """Makes a random key that all devices have."""
        return jax.jit(jax.random.key, out_shardings=self._whole)(seed)

    def whole(self, tree: Any) -> Any:
        """Gathers all of a tree on a single device of each process.

        All processes have to call this at the same time.
        """
        if self.mesh.size == 1:
            return tree
        copies = jax.jit(lambda tree: tree, out_shardings=self._whole)(tree)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), copies)

    def some_rows(self, batch: Any, number: int) -> Any:
        """Takes some of this process's images of a batch, onto a single device."""
        if self.mesh.size == 1:
            return jax.tree.map(lambda leaf: leaf[:number], batch)

        def rows(leaf):
            shards = {
                shard.index[0].start or 0: shard for shard in leaf.addressable_shards
            }
            first = [np.asarray(shard.data) for _, shard in sorted(shards.items())]
            return np.concatenate(first)[:number]

        return jax.tree.map(rows, batch)
