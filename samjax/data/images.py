"""Where many images come from: files, folders, tars, datasets; one list of `Item`s.

Every source is a sequence with random access, so that processes share it by index and a
run resumes anywhere. Nothing of an image is read before its turn.
"""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from samjax.data.folders import SUFFIXES, has_image_name, list_images, read_regular
from samjax.data.sa1b.headers import DamagedTar, open_tar, read_members


@runtime_checkable
class RandomAccess(Protocol):
    """What sequences, sources of grain and datasets of TFDS have in common."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Item(NamedTuple):
    """An image of a source.

    Attributes:
        name: Its file name, without a folder; unlike all others of its source but for
            the suffix.
        read: Returns the bytes of its file, or the image as an array or of Pillow's.
            Raises OSError or ValueError where that fails.
        path: Where the file is, if it is one of its own.
    """

    name: str
    read: Callable[[], Any]
    path: Path | None = None

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return Path(self.name).stem


def find_images(
    places: Sequence[str | os.PathLike | RandomAccess],
) -> list[Item]:
    """Finds the images that places name, in a lasting order.

    Args:
        places: each a file; a folder, of which the images are taken in order of their
            names, but not those of its folders (`samjax.data.folders`); an uncompressed
            tar, its images in order of their names; `tfds:NAME/SPLIT` or
            `tfds:FOLDER:SPLIT`, a dataset of TFDS with a feature `image`; or a sequence of arrays, of the bytes of files, or of
            mappings with these at `image`, such as a source of grain. Elements of
            datasets and sequences are named by their place.

    Raises:
        ValueError: there are no images, or two would have results of the same name.
        OSError: a place is not there or cannot be read.
        ImportError: a dataset of TFDS is named, and TFDS is missing.
    """
    items, remarks = list_items(places)
    for remark in remarks:
        warnings.warn(remark, stacklevel=2)
    check_names([item.name for item in items])
    return items


def list_items(
    places: Sequence[str | os.PathLike | RandomAccess],
) -> tuple[list[Item], list[str]]:
    """Lists the images that places name, as `find_images` does, of any names.

    Returns:
        The images, and remarks on files of folders that were passed over.
    """
    remarks: list[str] = []
    items = [item for place in places for item in _expand(place, remarks)]
    if not items:
        said = f" ({'; '.join(remarks)})" if remarks else ""
        raise ValueError(
            "no image is there: give images, folders or tars with "
            + ", ".join(sorted(SUFFIXES))
            + said
        )
    return items, remarks


def check_names(names: Sequence[str]) -> None:
    """Checks that results of images, named by their stems, have different names.

    Raises:
        ValueError: two would have the same name.
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


def _expand(place: Any, remarks: list[str]) -> list[Item]:
    if not isinstance(place, str | os.PathLike):
        return _of_sequence(place)
    if str(place).startswith("tfds:"):
        return _of_sequence(_tfds_source(str(place).removeprefix("tfds:")))
    path = Path(place)
    if path.is_dir():
        listing = list_images(path)
        if remark := listing.remark(path):
            remarks.append(remark)
        return [_of_file(file) for file in listing.images]
    if path.suffix.lower() == ".tar":
        return _of_tar(path)
    if not path.exists():
        raise FileNotFoundError(2, "no such file or folder", str(path))
    return [_of_file(path)]


def _of_file(path: Path) -> Item:
    return Item(path.name, functools.partial(read_regular, path), path)


def _of_tar(path: Path) -> list[Item]:
    """The images of a tar, read in place by where their bytes lie.

    Of a tar that is cut off or damaged, those before that; an item of its own name, last,
    says so when it is read.
    """
    found: list[Item] = []
    damage: DamagedTar | None = None
    with open_tar(path) as stream:
        file = stream.fileno()
        try:
            for member in read_members(file, os.fstat(file).st_size):
                # As paths of the system are decoded, so that every name is some text.
                name = os.fsdecode(member.name.rpartition(b"/")[2])
                if has_image_name(name):
                    found.append(Item(name, _Slice(path, member.offset, member.size)))
        except DamagedTar as error:
            damage = error
    if damage is not None and not found:
        raise ValueError(
            f"{path} cannot be read as an uncompressed tar ({damage}): "
            "unpack a compressed one first"
        )
    items = sorted(found, key=lambda item: item.name)
    if damage is not None:
        said = f"{damage}; the {len(items)} images before that are used"
        items.append(Item(path.name, _Damage(f"{path}: {said}")))
    return items


class _Damage(NamedTuple):
    """Stands for what is lost of a damaged tar: reading it fails."""

    what: str

    def __call__(self) -> bytes:
        raise ValueError(self.what)


class _Slice(NamedTuple):
    """Reads a stretch of a file."""

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


def _of_sequence(source: RandomAccess) -> list[Item]:
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
        # TFDS's own form of SA-1B has the bytes one level further down.
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
    # Decoding is left to us, who are strict and do not turn what is not to be turned.
    skip: Any = tfds.decode.SkipDecoding()
    if hasattr(builder.info.features["image"], "keys"):  # pyright: ignore
        # TFDS's own form of SA-1B has the bytes one level further down.
        skip = {"content": skip}
    try:
        return builder.as_data_source(split=split, decoders={"image": skip})  # pyright: ignore
    except NotImplementedError as error:
        raise ValueError(
            f"tfds:{name} is not stored as array_record, which alone can be read at any "
            "place: prepare it with file_format='array_record'"
        ) from error
