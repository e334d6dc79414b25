"""Images from files, folders, tars and datasets, as one list of `Item`s.

The list has random access, so that processes can shard it by index and a run can resume
anywhere. An image is read only when its item is.
"""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from samjax.data.folders import SUFFIXES, has_image_name, list_images
from samjax.data.sa1b.headers import DamagedTar, open_tar, read_members
from samjax.files import read_regular


@runtime_checkable
class RandomAccess(Protocol):
    """The common interface of sequences, grain's sources and TFDS datasets."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Item(NamedTuple):
    """An image of a source.

    Attributes:
        name: File name without a folder; its stem is unique in the list.
        read: Returns the bytes of the image's file, an array, or a Pillow image. Raises
            OSError or ValueError on failure.
        path: Path of the file, if the image is a file of its own.
    """

    name: str
    read: Callable[[], Any]
    path: Path | None = None

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return Path(self.name).stem


def find_images(
    sources: Sequence[str | os.PathLike | RandomAccess],
) -> list[Item]:
    """Lists the images of all sources, in a reproducible order.

    Args:
        sources: Each is a file; a folder, whose images are listed by name, not
            recursively (`samjax.data.folders`); an uncompressed tar, whose images are
            listed by name; `tfds:NAME/SPLIT` or `tfds:FOLDER:SPLIT`, a TFDS dataset
            with a feature `image`; or a sequence (such as a grain source) of arrays, of
            the bytes of files, or of mappings with these under `image`. Elements of
            datasets and sequences are named by their index.

    Raises:
        ValueError: There are no images, or results of two images would have the same
            name.
        OSError: A source does not exist or cannot be read.
        ImportError: A TFDS dataset is given, and TFDS is missing.
    """
    items, remarks = list_items(sources)
    for remark in remarks:
        warnings.warn(remark, stacklevel=2)
    check_names([item.name for item in items])
    return items


def list_items(
    sources: Sequence[str | os.PathLike | RandomAccess],
) -> tuple[list[Item], list[str]]:
    """Lists images as `find_images` does, without checking their names.

    Returns:
        The images, and remarks on files of folders that were passed over.

    Raises:
        ValueError: There is no image.
    """
    remarks: list[str] = []
    items = [item for source in sources for item in _expand(source, remarks)]
    if not items:
        skipped = f" ({'; '.join(remarks)})" if remarks else ""
        raise ValueError(
            "no image is there: give images, folders or tars with "
            + ", ".join(sorted(SUFFIXES))
            + skipped
        )
    return items, remarks


def check_names(names: Sequence[str]) -> None:
    """Checks that results of images, named by their stems, have different names.

    Raises:
        ValueError: Two would have the same name.
    """
    owners: dict[str, str] = {}
    for name in names:
        stem = Path(name).stem
        if stem in owners:
            raise ValueError(
                f"the results of {name} and {owners[stem]} would have the same name: "
                "give them in two runs, with folders of their own"
            )
        owners[stem] = name


def _expand(source: Any, remarks: list[str]) -> list[Item]:
    if not isinstance(source, str | os.PathLike):
        return _items_of_sequence(source)
    if str(source).startswith("tfds:"):
        return _items_of_sequence(_tfds_source(str(source).removeprefix("tfds:")))
    path = Path(source)
    if path.is_dir():
        listing = list_images(path)
        if remark := listing.remark(path):
            remarks.append(remark)
        return [_item_of_file(file) for file in listing.images]
    if path.suffix.lower() == ".tar":
        return _items_of_tar(path)
    if not path.exists():
        raise FileNotFoundError(2, "no such file or folder", str(path))
    return [_item_of_file(path)]


def _item_of_file(path: Path) -> Item:
    return Item(path.name, functools.partial(read_regular, path), path)


def _items_of_tar(path: Path) -> list[Item]:
    """Returns the images of a tar, each read in place at its offset.

    If the tar is truncated or damaged, these are the images before the damage, and a
    last item with the tar's own name raises an error when it is read.
    """
    members: list[Item] = []
    damage: DamagedTar | None = None
    with open_tar(path) as stream:
        file = stream.fileno()
        try:
            for member in read_members(file, os.fstat(file).st_size):
                # With surrogate escapes, as for paths: any bytes decode to some text.
                name = os.fsdecode(member.name.rpartition(b"/")[2])
                if has_image_name(name):
                    members.append(Item(name, _Slice(path, member.offset, member.size)))
        except DamagedTar as error:
            damage = error
    if damage is not None and not members:
        raise ValueError(
            f"{path} cannot be read as an uncompressed tar ({damage}): "
            "unpack a compressed one first"
        )
    items = sorted(members, key=lambda item: item.name)
    if damage is not None:
        message = f"{damage}; the {len(items)} images before that are used"
        items.append(Item(path.name, _Damage(f"{path}: {message}")))
    return items


class _Damage(NamedTuple):
    """The lost part of a damaged tar; reading it raises an error."""

    message: str

    def __call__(self) -> bytes:
        raise ValueError(self.message)


class _Slice(NamedTuple):
    """Reads a range of bytes of a file."""

    path: Path
    offset: int
    size: int

    def __call__(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise ValueError(f"{self.path} ends within this image")
        return content


def _items_of_sequence(source: RandomAccess) -> list[Item]:
    digits = max(6, len(str(len(source))))
    return [
        Item(f"{index:0{digits}d}.png", _Element(source, index))
        for index in range(len(source))
    ]


class _Element(NamedTuple):
    """Reads an element of a sequence."""

    source: RandomAccess
    index: int

    def __call__(self) -> Any:
        element = self.source[self.index]
        # TFDS's own dataset `segment_anything` nests the bytes one level deeper.
        for key in ("image", "content"):
            if isinstance(element, Mapping):
                element = element[key]
        return element


def _tfds_source(name: str) -> RandomAccess:
    from samjax.data.tfds.classes import check_classes

    try:
        import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "a dataset of TFDS needs its package: run pip install 'samjax[tfds]'",
            name="tensorflow_datasets",
        ) from error
    folder = re.fullmatch(r"([^:]+):(.+)", name)
    if folder:
        check_classes(folder[1])
        builder, split = tfds.builder_from_directory(folder[1]), folder[2]
    else:
        dataset, _, split = name.rpartition("/")
        builder = tfds.builder(dataset or name)
    # TFDS would decode leniently and apply no EXIF orientation; samjax decodes itself.
    skip: Any = tfds.decode.SkipDecoding()
    if hasattr(builder.info.features["image"], "keys"):  # pyright: ignore
        # TFDS's own dataset `segment_anything` nests the bytes one level deeper.
        skip = {"content": skip}
    try:
        return builder.as_data_source(split=split, decoders={"image": skip})  # pyright: ignore
    except NotImplementedError as error:
        raise ValueError(
            f"tfds:{name} is not stored as array_record, which is needed for random "
            "access: prepare it with file_format='array_record'"
        ) from error
