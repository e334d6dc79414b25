"""How arrays lie on many devices: the mesh, and the rules for parameters and batches.

A mesh has three axes. Over `data` and `fsdp` the images of a batch are dealt out; over
`fsdp` also every large parameter is cut, with its optimizer state, and put together
only where it is used; over `tensor` attention heads and hidden units of MLPs are. Where
an array lies never changes what is computed, beyond the order of sums.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from samjax.models.params import tensor_axes

T = TypeVar("T")

AXES = ("data", "fsdp", "tensor")

# The axes over which images are dealt out.
BATCH = ("data", "fsdp")

# Arrays of fewer elements are copied to every device: to cut them saves nothing, and
# each cut costs a message.
SMALLEST = 2**14


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How many devices lie along each axis of the mesh.

    Attributes:
        data: Groups of devices that each hold all parameters; -1 for as many as there
            are devices for.
        fsdp: Devices over which each large parameter is cut.
        tensor: Devices over which attention heads and MLPs are cut.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1

    def sizes(self, num_devices: int) -> tuple[int, int, int]:
        """Returns (data, fsdp, tensor) for so many devices.

        Raises:
            ValueError: They do not fill a mesh of these sizes.
        """
        inner = self.fsdp * self.tensor
        if self.fsdp < 1 or self.tensor < 1 or (self.data < 1 and self.data != -1):
            raise ValueError(
                f"got {self}, expected sizes of 1 or more (data may be -1: all devices)"
            )
        data = num_devices // inner if self.data == -1 else self.data
        if data * inner != num_devices:
            raise ValueError(
                f"{self} does not fill the {num_devices} devices that there are: set"
                " mesh.data, mesh.fsdp and mesh.tensor to numbers whose product is that"
            )
        return data, self.fsdp, self.tensor


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Lays devices out along the axes `data`, `fsdp` and `tensor`.

    Neighbours along `tensor` and `fsdp`, which talk most, are neighbours in the
    machine; between slices of TPUs, which are joined by the slower network, lies only
    `data`.

    Args:
        config: The sizes.
        devices: The devices, or a TPU topology's; all devices of all processes by
            default.

    Raises:
        ValueError: The devices do not fill such a mesh.
    """
    devices = list(jax.devices() if devices is None else devices)
    data, *inner = sizes = config.sizes(len(devices))
    # Hosts with GPUs have an index like that of a slice, but one network for all axes.
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices > 1 and devices[0].platform == "tpu":
        if data % slices:
            raise ValueError(
                f"mesh.data={data} is no multiple of the {slices} slices of the"
                " machine: fsdp and tensor have to fit in one slice"
            )
        grid = mesh_utils.create_hybrid_device_mesh(
            (data // slices, *inner),
            (slices, 1, 1),
            devices,
            allow_split_physical_axes=True,
        )
    else:
        grid = mesh_utils.create_device_mesh(
            sizes, devices, allow_split_physical_axes=True
        )
    # Not `jax.make_mesh`, whose axes would be Explicit by default and which cannot
    # split the axes of a torus.
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def shardings(mesh: Mesh | AbstractMesh, shapes: Any) -> Any:
    """Says where each array of a tree lies: parameters, optimizer state, or both.

    The optimizer's arrays end in the path of their parameter and lie where it does.

    Args:
        mesh: From `make_mesh`.
        shapes: Arrays or their shapes, as `jax.eval_shape` gives them.

    Returns:
        A tree of `NamedSharding`.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(
            mesh, partition(_name(path), leaf.shape, mesh)
        ),
        shapes,
    )


def partition(
    path: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh
) -> PartitionSpec:
    """Says over which axes of a mesh the dimensions of one array are cut.

    Args:
        path: Its place in the tree, joined by slashes.
        shape: Its shape.
        mesh: From `make_mesh`.
    """
    if math.prod(shape) < SMALLEST:
        return PartitionSpec()
    axes: list[str | None] = [None] * len(shape)
    rule = tensor_axes(path)
    # A scan over blocks puts dimensions before those of the rule.
    for i, axis in enumerate(rule, start=len(shape) - len(rule)):
        if axis is not None and shape[i] % mesh.shape[axis] == 0:
            axes[i] = axis
    free = [
        i
        for i, side in enumerate(shape)
        if axes[i] is None and side % mesh.shape["fsdp"] == 0
    ]
    if free:
        axes[max(free, key=lambda i: shape[i])] = "fsdp"
    return PartitionSpec(*axes)


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Says where the arrays of a batch lie: the images over `data` and `fsdp`."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Says that every device holds all of an array."""
    return NamedSharding(mesh, PartitionSpec())


def rows_of_process(mesh: Mesh, process: int | None = None) -> tuple[int, int]:
    """Says which part of each batch a process has to provide.

    Args:
        mesh: From `make_mesh`.
        process: Its number; this process by default.

    Returns:
        `(index, count)`: the batch is in `count` equal parts, and this is the one of
        that index. Processes that share images (their devices differ along `tensor`
        alone) get the same index.

    Raises:
        ValueError: The mesh gives processes different numbers of images.
    """
    process = jax.process_index() if process is None else process
    grid = mesh.devices.reshape(-1, mesh.shape["tensor"])
    parts: dict[int, set[int]] = {}
    for row, devices in enumerate(grid):
        for device in devices:
            parts.setdefault(device.process_index, set()).add(row)
    groups = sorted({tuple(sorted(rows)) for rows in parts.values()})
    if len({len(rows) for rows in groups}) > 1 or sum(map(len, groups)) != len(grid):
        raise ValueError(
            f"a mesh of {dict(mesh.shape)} cuts the images unequally among"
            f" {len(parts)} processes: choose mesh.tensor to divide the devices of a"
            " process, or to be a multiple of them"
        )
    return groups.index(tuple(sorted(parts[process]))), len(groups)


def devices_of_batch() -> int:
    """Returns over how many devices a batch's images are dealt out, while tracing.

    One where no mesh is set (`jax.set_mesh`).
    """
    mesh = jax.sharding.get_abstract_mesh()
    return math.prod(mesh.shape.get(axis, 1) for axis in BATCH)


def constrain_batch(tree: T, axis: int = 0) -> T:
    """Keeps the images of arrays dealt out, inside a jitted function.

    Does nothing where no mesh is set (`jax.set_mesh`), or one of a single device.

    Args:
        tree: Arrays.
        axis: Which of their dimensions the images are along.
    """
    spec = PartitionSpec(*[None] * axis, BATCH)
    return _constrain(tree, lambda path, leaf, mesh: spec)


def constrain_params(tree: T) -> T:
    """Keeps arrays that are like parameters, such as gradients, where those lie.

    Does nothing where no mesh is set (`jax.set_mesh`), or one of a single device.
    """
    return _constrain(
        tree, lambda path, leaf, mesh: partition(_name(path), leaf.shape, mesh)
    )


def gather_params(tree: T) -> T:
    """Puts parameters together that are cut over `fsdp`, before a loop that uses them.

    Within a loop they would be put together each time. What `tensor` cuts stays cut.
    Does nothing where no mesh is set (`jax.set_mesh`), or one of a single device.
    """

    def spec_of(path: Any, leaf: Any, mesh: AbstractMesh) -> PartitionSpec:
        axes = partition(_name(path), leaf.shape, mesh)
        return PartitionSpec(*(None if axis == "fsdp" else axis for axis in axes))

    return _constrain(tree, spec_of)


def _constrain(tree: Any, spec_of: Any) -> Any:
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return tree
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.lax.with_sharding_constraint(
            leaf, spec_of(path, leaf, mesh)
        ),
        tree,
    )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
