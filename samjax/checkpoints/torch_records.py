"""Values of a pickle of tensors: locations of data, and what stands for objects."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class StorageRecord:
    """The data of one or more tensors in the archive.

    Attributes:
        key: Name of the archive's record.
        dtype: A key of `samjax.checkpoints.mapped.DTYPES`.
        count: Number of elements.
        view: Old files only: (key, first element, elements) within the storage.
    """

    key: str
    dtype: str
    count: int
    view: tuple[str, int, int] | None = None


@dataclasses.dataclass(frozen=True)
class TensorRecord:
    """A tensor: a storage seen through a shape.

    Attributes:
        storage: The data.
        offset: Element of the storage where the tensor starts.
        shape: Elements along each axis.
        strides: Elements from one index to the next along each axis.
    """

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Opaque:
    """Data beside the weights that is passed over.

    Attributes:
        kind: Name of the object's type, which was not made.
    """

    kind: str


class ScriptModule(dict):
    """A module of a TorchScript archive: its attributes by name, and no code."""
