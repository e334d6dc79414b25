"""From a part of a tar to a shard of the dataset, in little memory, killed at any time.

One image is in memory at a time. A shard is written under a hidden name and renamed,
then its report; whoever finds no report begins that shard again and gets the same bytes.
What is wrong with an image or a mask costs that image or that mask, and is in the
report.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from samjax.data.decode import ImageFile
from samjax.data.examples import RawExample, open_image_file, smaller_size
from samjax.data.runs import read_boundaries
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

# As TFDS writes them, but not compressed: JPEG files do not shrink, and the text of the
# masks shrinks a shard by less than a tenth.
_WRITER_OPTIONS = "group_size:1,uncompressed"
_IMAGES_BETWEEN_NEWS = 16


class Progress(NamedTuple):
    """How far a shard is.

    Attributes:
        shard: Its number.
        done: Images that were looked at.
        total: Images of its part of the tar.
        report: Of the shard, when it is done.
        was_there: Whether it had been done before.
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
        record: Of the masks in it.
        bad_masks: What is wrong with those that are not.
    """

    data: bytes
    record: Record
    bad_masks: list[str]


def convert_shard(plan: Plan, number: int) -> Iterator[Progress]:
    """Writes a shard and its report, unless they are there.

    Yields:
        How far it is, now and then; at last the report.

    Raises:
        OSError: the tar cannot be read, or the shard not be written.
    """
    lock = plan.report(number)
    # Two processes may make one shard: both make the same, under names of their own.
    with sharing(lock.with_name(f".{lock.stem}.lock")) as is_alone:
        report = read_report(plan, number)
        was_there = report is not None
        if report is None:
            report = yield from _make_shard(plan, number)
        if is_alone():
            sweep(plan, number)
    total = report["written"] + len(report["bad"])
    yield Progress(number, total, total, report, was_there)


def _make_shard(plan: Plan, number: int) -> Generator[Progress, None, Report]:
    examples = _Part(plan, number)
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
    with replacing(plan.shard(number)) as hidden:
        with _writer(hidden) as write:
            for done, raw in enumerate(examples):
                if done % _IMAGES_BETWEEN_NEWS == 0:
                    yield Progress(number, done, len(examples))
                if data := _converted_or_noted(raw, plan.config, report):
                    write(data)
        report["bytes"] = hidden.stat().st_size
    write_report(plan, number, report)
    return report


def convert_example(raw: RawExample, config: BuildConfig) -> Converted:
    """Makes an example of the dataset.

    Raises:
        ValueError: there is something wrong with more than single masks.
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
            f"the image has (h, w) = {file.size}, the record says {size}: they are "
            "not of one image"
        )
    annotations, bad_masks = _sound(record["annotations"], size)
    record = Record(image=info, annotations=annotations)
    image = _stored_image(file, raw.image, config)
    return Converted(write_stored(image, record), record, bad_masks)


class _Part:
    """The raw examples of a shard: a stretch of a tar's."""

    def __init__(self, plan: Plan, number: int):
        self.tar, self.part = plan.tar_and_part(number)
        self.damage: str | None = None
        self._source: Any = ()
        try:
            self.damage = load_index(self.tar).damage
            self._source = TarSource([self.tar])
        except ValueError as error:
            # The numbers of all shards are given out: this one stays empty.
            self.damage = str(error).replace(str(self.tar), self.tar.name)
        count, parts = len(self._source), plan.config.parts
        bounds = [count * part // parts for part in (self.part, self.part + 1)]
        self._indices = range(*bounds)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[RawExample]:
        return (self._source[index] for index in self._indices)


def _converted_or_noted(
    raw: RawExample, config: BuildConfig, report: Report
) -> bytes | None:
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
    """Returns the annotations that can be stored, and what is wrong with the others."""
    height, width = size
    texts = [_ascii(one["segmentation"]["counts"]) for one in annotations]
    is_sound = read_boundaries(texts, size).good.tolist()
    kept, bad = [], []
    for annotation, good in zip(annotations, is_sound, strict=True):
        why = why_not_stored(annotation, width, height)
        if why is None and not good:
            why = "its run lengths are damaged"
        if why is None:
            kept.append(annotation)
        else:
            bad.append(f"{annotation['id']}: {why}")
    return kept, bad


def _ascii(text: str) -> bytes:
    # An empty text is damaged as well.
    return text.encode() if text.isascii() else b""


def _stored_image(file: ImageFile, image: bytes, config: BuildConfig) -> bytes:
    import simplejpeg

    size = file.size
    if config.long_side is not None:
        size = smaller_size(size, config.long_side)
    if size == file.size and image.startswith((b"\xff\xd8", b"\x89PNG")):
        _check_end(image)
        # What is stored there has no frame but its own.
        return image if file.frame == "stored" else upright_file(image)
    pixels = file.read(size)
    return simplejpeg.encode_jpeg(
        pixels, quality=config.quality, colorsubsampling="420"
    )


def _check_end(image: bytes) -> None:
    """Refuses a JPEG file that is cut off; nothing else of it is looked at.

    Raises:
        ValueError: it has no end.
    """
    # Some cameras pad their files.
    is_jpeg = image.startswith(b"\xff\xd8")
    if is_jpeg and not image.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("the image is cut off: it has no end")


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Gives a function that adds a record to a new file.

    Raises:
        OSError: the file cannot be written.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    try:
        writer = ArrayRecordWriter(str(path), _WRITER_OPTIONS)
        try:
            yield writer.write
        finally:
            writer.close()
    # The library raises this for a full disk too; nothing else in here does.
    except RuntimeError as error:
        raise OSError(f"{path.parent}: a shard cannot be written ({error})") from error
