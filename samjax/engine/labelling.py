"""Pseudo-labels of many photos in one COCO file, as a run that can be resumed.

    labels.json            the labels; complete or absent
    labels.json.partial    during a run: a line with its settings, and one per labelled
                           photo

Photos in either file are not labelled again. An incomplete last line, of a process that
was killed, is dropped and its photo labelled again, so that the labels are those of an
uninterrupted run.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data.formats.coco import read_coco, write_coco
from samjax.data.formats.coco_content import read_content
from samjax.data.schema import ImageInfo, Record, record_from_json, record_to_json
from samjax.engine.photos import Photos, PhotoToLabel
from samjax.engine.pseudo_labels import PseudoLabelConfig, label_photo
from samjax.engine.run import Done, plain_options
from samjax.engine.run_folder import check_same_settings
from samjax.engine.schedule import Generate, Outcome, generate_for_many
from samjax.files import json_text, locked, replacing
from samjax.inference.embedding import weights_fingerprint
from samjax.inference.predictor import Predictor

FORMAT = "samjax pseudo-labels"
VERSION = 1


def label_photos(
    predictor: Predictor,
    photos: Photos,
    out: str | os.PathLike,
    config: PseudoLabelConfig | None = None,
    *,
    in_flight: int = 2,
    generate: Generate | None = None,
) -> Iterator[Done]:
    """Labels photos and writes the labels to one COCO file at the end.

    Images keep their ids and fields, licences included; those without a label are in the
    file too. `info` has the weights and options that the labels were made with.

    Args:
        predictor: The model.
        photos: The photos of the whole run.
        out: The file; its folder must exist.
        config: Options.
        in_flight: Number of photos in flight on each device.
        generate: Returns the labels of a photo; None for `label_photo`.

    Yields:
        Every photo: those labelled before, then the others in order. The file is written
        after the last.

    Raises:
        ValueError: The file exists and has other weights, options or photos, or is no
            file of such a run.
        InUse: Another process writes the file.
        OSError: A file cannot be read or written.
    """
    config = config or PseudoLabelConfig()
    # Two runs into one file would drop each other's lines.
    out = Path(out)
    lock = out.with_name(f".{out.name}.lock")
    with locked(lock, str(out), "wait for it, or name another file"):
        yield from _label_photos(predictor, photos, out, config, in_flight, generate)


def _label_photos(
    predictor: Predictor,
    photos: Photos,
    out: Path,
    config: PseudoLabelConfig,
    in_flight: int,
    generate: Generate | None,
) -> Iterator[Done]:
    info = _info(predictor, config)
    labels = _Labels(out, info)
    names = {photo.item.name for photo in photos.photos}
    if foreign := sorted(labels.records.keys() - names):
        raise ValueError(
            f"{out} has {len(foreign)} photos that are none of these, {foreign[0]} "
            "among them: name another file"
        )
    to_do = [photo for photo in photos.photos if photo.item.name not in labels.records]
    for photo in photos.photos:
        if photo.item.name in labels.records:
            yield Done(photo.item, labels.records[photo.item.name], None)
    outcomes = generate_for_many(
        predictor,
        [photo.item for photo in to_do],
        in_flight=in_flight,
        generate=generate or functools.partial(label_photo, config=config),
    )
    for photo, outcome in zip(to_do, outcomes, strict=True):
        record = None
        if outcome.problem is None:
            record = _record(photo, outcome)
            labels.add(record)
        yield Done(photo.item, record, outcome)
    labels.finish(photos)


class _Labels:
    """The labels of a run so far, in its two files.

    Attributes:
        records: Records of the labelled photos, by name.
    """

    def __init__(self, path: Path, info: Mapping[str, Any]):
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self.info = info
        self.records: dict[str, Record] = {}
        if path.exists():
            check_same_settings(path, _settings(info), _settings(_info_of(path)))
            self._keep(read_coco(path))
        if self.partial.exists():
            self._keep(self._read_partial())
        else:
            with replacing(self.partial) as hidden:
                hidden.write_text(json_text(info) + "\n", "utf-8")

    def add(self, record: Record) -> None:
        """Appends the labels of a photo."""
        with self.partial.open("a", encoding="utf-8", newline="\n") as file:
            file.write(record_to_json(record) + "\n")
        self._keep([record])

    def finish(self, photos: Photos) -> None:
        """Writes the labels of all photos in order, and removes the partial file."""
        records = []
        for photo in photos.photos:
            record = self.records.get(photo.item.name)
            if record is not None:
                image: ImageInfo = {**record["image"], "image_id": photo.image_id}
                records.append(Record(image=image, annotations=record["annotations"]))
        write_coco(
            self.path,
            records,
            info=self.info,
            licences=photos.licences,
            image_fields={photo.image_id: photo.fields for photo in photos.photos},
        )
        self.partial.unlink()

    def _read_partial(self) -> Iterator[Record]:
        """Yields the records of the partial file, and cuts off an incomplete last line."""
        content = self.partial.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        first, *lines = whole.split(b"\n")[:-1] or [b""]
        try:
            info = _checked(json.loads(first))
            records = [record_from_json(line) for line in lines]
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{self.partial} is damaged, or no file of `samjax data label`: move it "
                "away to begin anew"
            ) from error
        check_same_settings(self.partial, _settings(self.info), _settings(info))
        if len(whole) < len(content):
            os.truncate(self.partial, len(whole))
        yield from records

    def _keep(self, records: Any) -> None:
        for record in records:
            self.records[record["image"]["file_name"]] = record


def _info(predictor: Predictor, config: PseudoLabelConfig) -> dict[str, Any]:
    """Returns the weights and options of labels, as JSON types."""
    from samjax import __version__

    options = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name != "everything"
    }
    info = {
        "format": FORMAT,
        "version": VERSION,
        "samjax": __version__,
        "weights": weights_fingerprint(predictor.model.config, predictor.params),
        "dtype": np.dtype(predictor.model.dtype).name,
        "options": options | plain_options(config.everything),
    }
    return json.loads(json_text(info))


def _settings(info: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entries of `info` that all labels of a file must share."""
    return {key: info.get(key) for key in ("weights", "dtype")} | info["options"]


def _info_of(path: Path) -> dict[str, Any]:
    """Reads the weights and options of the labels of a file.

    Raises:
        ValueError: It is no file of labels.
    """
    try:
        return _checked(read_content(path).get("info"))
    except ValueError as error:
        raise ValueError(
            f"{path} is there and is no file of `samjax data label`, which alone would "
            "be replaced: name another file"
        ) from error


def _checked(info: Any) -> dict[str, Any]:
    kind = (info.get("format"), info.get("version")) if isinstance(info, dict) else None
    if kind != (FORMAT, VERSION) or not isinstance(info.get("options"), dict):
        raise ValueError(f"got {ascii(kind)[:80]}, expected {(FORMAT, VERSION)}")
    return info


def _record(photo: PhotoToLabel, outcome: Outcome) -> Record:
    height, width = outcome.size
    image = ImageInfo(
        image_id=photo.image_id, width=width, height=height, file_name=photo.item.name
    )
    return Record(image=image, annotations=list(outcome.annotations))
