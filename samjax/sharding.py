"""Device mesh, and sharding rules of parameters and batches.

A mesh has three axes. The images of a batch are sharded over `data` and `fsdp`. Every
large parameter and its optimizer state are sharded over `fsdp` too, and gathered only
where they are used; attention heads and hidden units of MLPs are sharded over `tensor`.
Sharding changes no result, except for the order of sums.
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

# The axes that images are sharded over.
BATCH = ("data", "fsdp")

# Arrays of fewer elements are replicated: sharding them saves little memory, and each
# sharded array costs a collective.
SMALLEST = 2**14


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Sizes of the mesh's axes, in devices.

    Attributes:
        data: Number of replicas of the parameters; -1 for as many as the devices allow.
        fsdp: Number of devices that each large parameter is sharded over.
        tensor: Number of devices that attention heads and MLPs are sharded over.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1

    def sizes(self, num_devices: int) -> tuple[int, int, int]:
        """Returns (data, fsdp, tensor) for a number of devices.

        Raises:
            ValueError: A mesh of these sizes does not use all devices.
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
    """Returns a mesh with the axes `data`, `fsdp` and `tensor`.

    Devices that are adjacent along `tensor` and `fsdp`, which communicate most, are
    adjacent in the machine; TPU slices, connected by the slower network, are separated
    along `data` only.

    Args:
        config: Sizes of the axes.
        devices: The devices, or a TPU topology's; all devices of all processes by
            default.

    Raises:
        ValueError: Such a mesh does not use all devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    data, *inner = sizes = config.sizes(len(devices))
    # Hosts with GPUs have a `slice_index` too, but one network for all axes.
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
    """Returns the shardings of a tree of parameters, optimizer state, or both.

    Paths of the optimizer's arrays end in the path of their parameter, so that they are
    sharded like it.

    Args:
        mesh: From `make_mesh`.
        shapes: Arrays or their shapes, as from `jax.eval_shape`.

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
    """Returns the partition spec of one array.

    Args:
        path: Path of the array in the tree, joined by slashes.
        shape: Shape of the array.
        mesh: From `make_mesh`.
    """
    if math.prod(shape) < SMALLEST:
        return PartitionSpec()
    axes: list[str | None] = [None] * len(shape)
    rule = tensor_axes(path)
    # Scanned blocks have leading dimensions before those of the rule.
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
    """Returns the sharding of a batch: images over `data` and `fsdp`."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Returns the sharding of arrays that every device holds in full."""
    return NamedSharding(mesh, PartitionSpec())


def rows_of_process(mesh: Mesh, process: int | None = None) -> tuple[int, int]:
    """Returns the part of each batch that a process has to load.

    Args:
        mesh: From `make_mesh`.
        process: Index of the process; this one by default.

    Returns:
        `(index, count)`: the batch is split into `count` equal parts, and the process
        loads the one of that index. Processes that share images (their devices differ
        along `tensor` alone) have the same index.

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
    """Returns the number of devices that a batch is sharded over, while tracing.

    It is 1 where no mesh is set (`jax.set_mesh`).
    """
    mesh = jax.sharding.get_abstract_mesh()
    return math.prod(mesh.shape.get(axis, 1) for axis in BATCH)


def constrain_batch(tree: T, axis: int = 0) -> T:
    """Constrains arrays to stay sharded by image, inside a jitted function.

    Does nothing where no mesh is set (`jax.set_mesh`), or one of a single device.

    Args:
        tree: Arrays.
        axis: Dimension of the images.
    """
    spec = PartitionSpec(*[None] * axis, BATCH)
    return _constrain(tree, lambda path, leaf, mesh: spec)


def constrain_params(tree: T) -> T:
    """Constrains arrays shaped like parameters, such as gradients, to their shardings.

    Does nothing where no mesh is set (`jax.set_mesh`), or one of a single device.
    """
    return _constrain(
        tree, lambda path, leaf, mesh: partition(_name(path), leaf.shape, mesh)
    )


def gather_params(tree: T) -> T:
    """Gathers parameters over `fsdp`, before a loop that uses them.

    Otherwise every iteration would gather them. Sharding over `tensor` stays.
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
