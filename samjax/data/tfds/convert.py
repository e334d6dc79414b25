"""Conversion of a part of a tar to a shard of the dataset, resumable when killed.

Memory holds one image at a time. A shard is written under a temporary name and renamed,
then its report; a shard without a report is built again, with the same bytes. A damaged
image or mask is left out on its own and listed in the report.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from samjax.data.decode import ImageFile
from samjax.data.examples import RawExample, open_image_file, smaller_size
from samjax.data.rle_parsing import read_boundaries
from samjax.data.sa1b.index import load_index
from samjax.data.sa1b.tars import TarSource
from samjax.data.schema import Annotation, Record, record_from_json
from samjax.data.tfds.layout import (
    BuildConfig,
    Plan,
    Report,
    read_report,
    sweep,
    write_report,
)
from samjax.data.tfds.schema import why_not_stored, write_stored
from samjax.data.upright_files import upright_file
from samjax.files import replacing, sharing

# TFDS's options, but without compression: JPEG files do not shrink, and compressing the
# RLE strings would save less than a tenth of a shard.
_WRITER_OPTIONS = "group_size:1,uncompressed"
_IMAGES_BETWEEN_REPORTS = 16


class Progress(NamedTuple):
    """The progress of a shard.

    Attributes:
        shard: Index of the shard.
        done: Number of images that have been processed.
        total: Number of images of its part of the tar.
        report: The report of the shard, when it is done.
        was_there: Whether the shard existed before.
    """

    shard: int
    done: int
    total: int
    report: Report | None = None
    was_there: bool = False


class Converted(NamedTuple):
    """An example of the dataset.

    Attributes:
        data: The serialized example.
        record: The record of the stored masks.
        bad_masks: The problems of the masks that were left out.
    """

    data: bytes
    record: Record
    bad_masks: list[str]


def convert_shard(plan: Plan, shard: int) -> Iterator[Progress]:
    """Writes a shard and its report, unless they exist.

    Yields:
        The progress every few images; at the end the report.

    Raises:
        OSError: The tar cannot be read, or the shard not written.
    """
    lock = plan.report(shard)
    # Two processes may build the same shard: both write the same bytes, under different
    # temporary names, which are swept only when no other process is at work.
    with sharing(lock.with_name(f".{lock.stem}.lock")) as is_alone:
        report = read_report(plan, shard)
        was_there = report is not None
        if report is None:
            report = yield from _make_shard(plan, shard)
        if is_alone():
            sweep(plan, shard)
    total = report["written"] + len(report["bad"])
    yield Progress(shard, total, total, report, was_there)


def _make_shard(plan: Plan, shard: int) -> Generator[Progress, None, Report]:
    examples = _Part(plan, shard)
    report = Report(
        tar=examples.tar.name,
        part=examples.part,
        damage=examples.damage,
        written=0,
        masks=0,
        bad={},
        bad_masks={},
        ids=[],
        bytes=0,
        example_bytes=0,
    )
    with replacing(plan.shard(shard)) as hidden:
        with _writer(hidden) as write:
            for done, raw in enumerate(examples):
                if done % _IMAGES_BETWEEN_REPORTS == 0:
                    yield Progress(shard, done, len(examples))
                if data := _convert_and_count(raw, plan.config, report):
                    write(data)
        report["bytes"] = hidden.stat().st_size
    write_report(plan, shard, report)
    return report


def convert_example(raw: RawExample, config: BuildConfig) -> Converted:
    """Converts an example; damaged masks are left out.

    Raises:
        ValueError: The image or the record is missing or damaged.
    """
    if raw.image is None or raw.record is None:
        which = "image" if raw.image is None else "JSON"
        raise ValueError(f"its {which} is missing or cannot be read")
    record = raw.record
    if isinstance(record, bytes):
        record = record_from_json(record)
    info = record["image"]
    size = (info["height"], info["width"])
    file = open_image_file(raw.image, info)
    if file.size != size:
        raise ValueError(
            f"the image has (h, w) = {file.size}, the record has {size}: they are "
            "not of the same image"
        )
    annotations, bad_masks = _sound(record["annotations"], size)
    record = Record(image=info, annotations=annotations)
    image = _stored_image(file, raw.image, config)
    return Converted(write_stored(image, record), record, bad_masks)


class _Part:
    """The raw examples of a shard: a contiguous part of a tar's."""

    def __init__(self, plan: Plan, shard: int):
        self.tar, self.part = plan.tar_and_part(shard)
        self.damage: str | None = None
        self._source: Any = ()
        try:
            self.damage = load_index(self.tar).damage
            self._source = TarSource([self.tar])
        except ValueError as error:
            # The number of shards is fixed by the plan: this one stays empty.
            self.damage = str(error).replace(str(self.tar), self.tar.name)
        count, parts = len(self._source), plan.config.parts
        bounds = [count * part // parts for part in (self.part, self.part + 1)]
        self._indices = range(*bounds)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[RawExample]:
        return (self._source[index] for index in self._indices)


def _convert_and_count(
    raw: RawExample, config: BuildConfig, report: Report
) -> bytes | None:
    """Converts an example and adds it to the report; returns None for a bad one."""
    try:
        converted = convert_example(raw, config)
    except ValueError as error:
        report["bad"][raw.name] = str(error)
        return None
    report["written"] += 1
    report["masks"] += len(converted.record["annotations"])
    report["ids"].append(converted.record["image"]["image_id"])
    report["example_bytes"] += len(converted.data)
    if converted.bad_masks:
        report["bad_masks"][raw.name] = converted.bad_masks
    return converted.data


def _sound(
    annotations: list[Annotation], size: tuple[int, int]
) -> tuple[list[Annotation], list[str]]:
    """Returns the annotations that can be stored, and the problems of the others."""
    height, width = size
    texts = [_ascii(a["segmentation"]["counts"]) for a in annotations]
    is_sound = read_boundaries(texts, size).good.tolist()
    kept, bad = [], []
    for annotation, good in zip(annotations, is_sound, strict=True):
        problem = why_not_stored(annotation, width, height)
        if problem is None and not good:
            problem = "its run lengths are damaged"
        if problem is None:
            kept.append(annotation)
        else:
            bad.append(f"{annotation['id']}: {problem}")
    return kept, bad


def _ascii(text: str) -> bytes:
    # The parser counts empty text as damaged.
    return text.encode() if text.isascii() else b""


def _stored_image(file: ImageFile, image: bytes, config: BuildConfig) -> bytes:
    import simplejpeg

    size = file.size
    if config.long_side is not None:
        size = smaller_size(size, config.long_side)
    if size == file.size and image.startswith((b"\xff\xd8", b"\x89PNG")):
        _check_end(image)
        # The features have no field for the frame: stored pixels are that of the masks.
        return image if file.frame == "stored" else upright_file(image)
    pixels = file.read(size)
    return simplejpeg.encode_jpeg(
        pixels, quality=config.quality, colorsubsampling="420"
    )


def _check_end(image: bytes) -> None:
    """Raises for a truncated JPEG file, without decoding it.

    Raises:
        ValueError: The file lacks the end marker.
    """
    # Some cameras pad their files with zeros.
    is_jpeg = image.startswith(b"\xff\xd8")
    if is_jpeg and not image.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("the image is cut off: it has no end")


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Opens a new array_record file; yields a function that appends a record.

    Raises:
        OSError: The file cannot be written.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    try:
        writer = ArrayRecordWriter(str(path), _WRITER_OPTIONS)
        try:
            yield writer.write
        finally:
            writer.close()
    # The library raises RuntimeError for a full disk too; nothing else in here does.
    except RuntimeError as error:
        raise OSError(f"{path.parent}: a shard cannot be written ({error})") from error
