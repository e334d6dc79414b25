"""The images of an audit: drawn at random, queued, compared when they are done.

audits/01/audit.json     seed, images, and the revision before the first correction
audits/01/result.json    the figures; result.html the page
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from samjax.data.formats.annotations import make_annotation
from samjax.data.formats.sa1b import read_folder, read_shard
from samjax.data.sa1b.source import find_tars
from samjax.data.schema import Record
from samjax.engine.annotations import AnnotationStore, encoded_mask
from samjax.engine.annotations.rows import Stored
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.audit.figures import Figures, audit_records
from samjax.engine.marked_json import read_json, write_json
from samjax.engine.project_folder import ProjectFolder
from samjax.engine.sources import AUTOMATIC, is_by_people
from samjax.evaluation.datasets.mask_records import RecordSamples
from samjax.geometry.masks import text_to_counts

_NAMESPACE = uuid.UUID("1c0c6c1e-5b0a-4a55-8a37-9c4e0f6a2a77")


def begin_audit(
    project: ProjectFolder,
    number: int,
    *,
    images: int,
    seed: int,
    records: Path | None = None,
) -> dict[str, Any]:
    """Draws images with automatic masks, and adds a task to correct each.

    Done twice, it changes nothing: the images are drawn once.

    Args:
        project: The project.
        number: Number of the audit.
        images: Number of images.
        seed: Seed of the draw.
        records: Folder with records of stage 3 in SA-1B's form (`samjax engine
            automatic`), whose masks of the drawn images are put into the store; None
            audits masks that are in the store already.

    Returns:
        `images`, `seed`, `revision` and `records`.

    Raises:
        ValueError: There are no automatic masks, or the audit began otherwise.
        OSError: A file cannot be read or written.
    """
    folder = audit_folder(project, number)
    path = folder / "audit.json"
    wanted = {"seed": seed, "records": None if records is None else str(records)}
    store = project.open_store()
    try:
        if path.exists():
            begun = read_json(path)
            if {name: begun[name] for name in wanted} != wanted:
                raise ValueError(
                    f"{folder} has an audit that began with {begun['seed']=} and "
                    f"{begun['records']=}: give those, or the next --number"
                )
        else:
            names = _images_with_masks(project, store, records)
            drawn = sorted(random.Random(seed).sample(names, min(images, len(names))))
            if records is not None:
                _import(store, records, set(drawn))
            revision, _ = store.snapshot()
            folder.mkdir(parents=True, exist_ok=True)
            begun = {**wanted, "images": drawn, "revision": revision}
            write_json(path, begun)
        TaskQueue(store.database).add(
            begun["images"], "audit", round=number, priority=1.0, seed=seed
        )
    finally:
        store.close()
    return begun


def audit_result(project: ProjectFolder, number: int, *, most: int = 50) -> Figures:
    """Compares the masks before the audit with those of now.

    Masks of images whose task is not done count as they are: `images_not_done` of the
    figures is the number of these images.

    Args:
        project: The project.
        number: Number of the audit.
        most: Number of the worst pairs to keep.

    Raises:
        ValueError: The audit was not begun.
        OSError: A file cannot be read.
    """
    path = audit_folder(project, number) / "audit.json"
    if not path.exists():
        raise ValueError(f"{path} does not exist: begin the audit with --draw first")
    begun = read_json(path)
    store = project.open_store()
    try:
        _, before = store.snapshot(begun["revision"])
        _, after = store.snapshot()
        tasks = TaskQueue(store.database).counts(number)
    finally:
        store.close()
    drawn = set(begun["images"])
    masks = [row for row in before if row["image"] in drawn and _is_automatic(row)]
    ids = {row["id"] for row in masks}
    # Masks that people had made before are no corrections.
    others = {row["id"] for row in before} - ids
    corrected = [
        row for row in after if row["image"] in drawn and row["id"] not in others
    ]
    figures = audit_records(
        _samples("automatic", masks, drawn, masks),
        _samples("corrected", corrected, drawn, masks),
        pairs="id",
        seed=begun["seed"],
        most=most,
        name_of=_from_file,
    )
    figures.content["images_not_done"] = sum(
        count
        for (kind, state), count in tasks.items()
        if kind == "audit" and state != "done"
    )
    return figures


def audit_folder(project: ProjectFolder, number: int) -> Path:
    """Returns the folder of an audit."""
    return project.state / "audits" / f"{number:02d}"


def _is_automatic(row: Stored) -> bool:
    return not is_by_people(row)


def _images_with_masks(
    project: ProjectFolder, store: AnnotationStore, records: Path | None
) -> list[str]:
    names = project.names()
    if records is None:
        _, rows = store.snapshot()
        having = {row["image"] for row in rows if _is_automatic(row)}
    else:
        having = set(_records_by_name(records))
    found = [name for name in names if name in having]
    if not found:
        raise ValueError(
            f"got {len(names)} images, none with automatic masks, expected some: make "
            "them (samjax engine automatic), and name their folder with --masks"
        )
    return found


def _records_by_name(folder: Path) -> Mapping[str, Record]:
    """Reads the records of a run: files, or those in its tars."""
    tars = find_tars(str(folder))
    if not tars:
        found = (record for _, record in read_folder(folder))
    else:
        found = (record for tar in tars for _, _, record in read_shard(tar))
    return {record["image"]["file_name"]: record for record in found}


def _import(store: AnnotationStore, folder: Path, names: set[str]) -> None:
    """Stores the masks of stage 3 of some images, each once."""
    for name, record in _records_by_name(folder).items():
        if name not in names:
            continue
        size = (record["image"]["height"], record["image"]["width"])
        for annotation in record["annotations"]:
            made: Mapping[str, Any] = annotation
            counts = annotation["segmentation"]["counts"]
            own = uuid.uuid5(_NAMESPACE, f"{name}\n{annotation['id']}\n{counts}")
            fields = {
                "label": "",
                "prompts": {"points": annotation["point_coords"]},
                "score": annotation["predicted_iou"],
                "stability_score": annotation["stability_score"],
                "source": AUTOMATIC,
                "edited": False,
                "level": None,
                "order": None,
                "seconds": 0.0,
                "author": "",
                "stage": 3,
                "round": made.get("round", 0),
                "model": made.get("model", ""),
            }
            store.add(
                name, made.get("uuid", str(own)), encoded_mask(counts, size), fields
            )


def _samples(
    name: str, rows: Sequence[Stored], drawn: set[str], sized: Sequence[Stored]
) -> RecordSamples:
    """Returns masks of the store as records, one for every drawn image."""
    sizes = {row["image"]: row["segmentation"]["size"] for row in sized}
    records: list[Record] = []
    for number, image in enumerate(sorted(drawn)):
        if image not in sizes:
            continue
        height, width = sizes[image]
        annotations = [
            make_annotation(
                text_to_counts(row["segmentation"]["counts"]),
                (height, width),
                row["id"],
                predicted_iou=1.0 if row["score"] is None else row["score"],
            )
            for row in rows
            if row["image"] == image
        ]
        records.append(
            {
                "image": {
                    "image_id": number,
                    "height": height,
                    "width": width,
                    "file_name": _as_file(image),
                },
                "annotations": annotations,
            }
        )
    return RecordSamples(name=name, records=records)


def _as_file(image: str) -> str:
    """Returns a name without folders, whose stem no other image has."""
    return f"{quote(image, safe='')}.image"


def _from_file(name: str) -> str:
    return unquote(name.removesuffix(".image"))
