"""Verification of a built dataset: every shard, example, image header and mask."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import NamedTuple

from samjax.data.decode import ImageFile
from samjax.data.examples import smaller_size
from samjax.data.rle_parsing import read_boundaries
from samjax.data.schema import record_from_json, record_to_json
from samjax.data.tfds.classes import check_classes
from samjax.data.tfds.schema import StoredExample, read_stored
from samjax.data.tfds.source import Shard, dataset_folder, find_shards, open_shard


class Verified(NamedTuple):
    """The result for one shard.

    Attributes:
        shard: The file, with its expected number of examples.
        images: Number of images that were checked.
        masks: Number of their masks.
        problems: The problems, one line each.
    """

    shard: Shard
    images: int
    masks: int
    problems: list[str]


def verify_shards(
    path: str | os.PathLike, *, every: int = 1, pixels: bool = False
) -> Iterator[Verified]:
    """Reads a dataset back, shard by shard.

    Args:
        path: Path of the dataset, as for `TfdsSource`.
        every: Stride: checks every n-th example of each shard; the count of examples is
            always checked.
        pixels: Whether to decode images in full, at several times the cost.

    Raises:
        ValueError: There is no such dataset.
        OSError: Its metadata cannot be read.
    """
    for shard in find_shards(path):
        yield _verify_shard(shard, every, pixels)


def read_by_tfds(path: str | os.PathLike) -> int | None:
    """Opens the dataset with plain TFDS and reads its first and last example.

    Returns:
        The number of examples according to TFDS, or None if it is not installed.

    Raises:
        ValueError: TFDS cannot read it, or would import foreign code to read it.
    """
    check_classes(dataset_folder(path))
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return None
    import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports]

    folder = dataset_folder(path)
    try:
        source = tfds.builder_from_directory(folder).as_data_source(split="train")  # pyright: ignore
        for index in sorted({0, len(source) - 1}):
            source[index]
    # TFDS passes on errors of any type.
    except Exception as error:
        raise ValueError(f"TFDS cannot read {folder}: {error}") from error
    return len(source)


def _verify_shard(shard: Shard, every: int, pixels: bool) -> Verified:
    problems: list[str] = []
    images = masks = 0
    seen: dict[int, int] = {}
    try:
        reader = open_shard(shard.path)
        count = reader.num_records()
    except (RuntimeError, OSError) as error:
        return Verified(shard, 0, 0, [f"{shard.path.name}: {_first_line(error)}"])
    if count != shard.examples:
        problems.append(
            f"{shard.path.name} has {count} examples, the metadata says "
            f"{shard.examples}"
        )
    for index in range(0, count, every):
        try:
            stored = read_stored(reader.read([index])[0])
            own_problems = _example_problems(stored, pixels)
        except (ValueError, RuntimeError) as error:
            problems.append(f"{shard.path.name}[{index}]: {_first_line(error)}")
            continue
        images += 1
        masks += len(stored.record["annotations"])
        info = stored.record["image"]
        if (first := seen.setdefault(info["image_id"], index)) != index:
            own_problems.append(
                f"it has the number of example {first}, {info['image_id']}"
            )
        name = f"{shard.path.name}[{index}] ({info['file_name']})"
        problems += [f"{name}: {problem}" for problem in own_problems]
    return Verified(shard, images, masks, problems)


def _example_problems(stored: StoredExample, pixels: bool) -> list[str]:
    # A round trip through JSON checks every field.
    record_from_json(record_to_json(stored.record))
    info, annotations = stored.record["image"], stored.record["annotations"]
    size = (info["height"], info["width"])
    file = ImageFile(stored.image)
    problems = []
    if file.size not in (size, smaller_size(size, max(file.size))):
        problems.append(f"the image has (h, w) = {file.size}, its masks {size}")
    if pixels:
        file.read(file.size)
    texts = [a["segmentation"]["counts"].encode() for a in annotations]
    good = read_boundaries(texts, size).good.tolist()
    for annotation, is_good in zip(annotations, good, strict=True):
        if not is_good or tuple(annotation["segmentation"]["size"]) != size:
            problems.append(f"mask {annotation['id']} is damaged")
    return problems


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
