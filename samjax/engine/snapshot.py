"""Snapshots of the annotation store: shards in SA-1B's form, with a manifest.

A snapshot holds all masks as they were at one revision, so that a model can be trained
again on what another one saw.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from samjax.data.formats.annotations import make_annotation
from samjax.data.formats.sa1b import write_shard
from samjax.data.schema import ImageInfo, Record
from samjax.data.upright_files import upright_file
from samjax.engine.annotations.rows import Stored
from samjax.engine.annotations.store import AnnotationStore
from samjax.engine.marked_json import read_json, write_json
from samjax.engine.provenance import PROV, provenance
from samjax.files import sha256_of
from samjax.geometry.masks import text_to_counts

MANIFEST = "manifest.json"
_PROVENANCE = (
    *(
        "uuid",
        "stage",
        "round",
        "source",
        "edited",
        "model",
        "active_seconds",
        "clicks",
    ),
    "strokes",
)


def write_snapshot(
    store: AnnotationStore,
    read_image: Callable[[str], bytes],
    out: Path,
    *,
    revision: int | None = None,
    images_per_shard: int = 1000,
    keep: Callable[[Stored], bool] | None = None,
) -> dict[str, Any]:
    """Writes the masks of a revision as shards.

    Authors are pseudonyms, numbered by first appearance. The manifest is written last:
    a folder with one is complete, and is not written again.

    Args:
        store: The store.
        read_image: Returns the bytes of an image file by its name in the store. Files
            are turned upright; a number comes before names in folders, and before the
            second of two names that differ in their suffix.
        out: Folder of the snapshot; made if missing.
        revision: The revision; by default the newest.
        images_per_shard: Most images of a shard.
        keep: Whether a mask is part of the snapshot; None for all.

    Returns:
        The manifest: `revision`, `images`, `masks` and `shards` with `name`, `bytes`,
        `sha256`, `images`, `masks`; `prov` with the SHA-256 of `prov.json`, the
        provenance of all of it in W3C's PROV-JSON.

    Raises:
        WouldReplace: `out` has shards of these names that samjax did not write.
        OSError: An image cannot be read, or a shard cannot be written.
    """
    manifest = out / MANIFEST
    if manifest.exists():
        return read_json(manifest)
    out.mkdir(parents=True, exist_ok=True)
    revision, rows = store.snapshot(revision)
    if keep is not None:
        rows = [row for row in rows if keep(row)]
    authors: dict[str, str] = {}
    for row in rows:
        authors.setdefault(row["author"], f"person-{len(authors) + 1}")
    groups = [
        (name, list(masks))
        for name, masks in itertools.groupby(rows, lambda row: row["image"])
    ]
    plain = _plain_names([name for name, _ in groups])
    images = [
        (name, as_file, masks)
        for (name, masks), as_file in zip(groups, plain, strict=True)
    ]
    shards = []
    for start in range(0, len(images), images_per_shard):
        part = images[start : start + images_per_shard]
        path = out / f"{len(shards):06d}.tar"
        write_shard(path, _items(part, read_image, authors, start))
        shards.append(
            {
                "name": path.name,
                "bytes": path.stat().st_size,
                "sha256": sha256_of(path),
                "images": len(part),
                "masks": sum(len(masks) for *_, masks in part),
            }
        )
    content: dict[str, Any] = {
        "revision": revision,
        "images": len(images),
        "masks": len(rows),
        "shards": shards,
    }
    files = {name: as_file for name, as_file, _ in images}
    write_json(out / PROV, provenance(content, rows, files, authors))
    content["prov"] = sha256_of(out / PROV)
    write_json(manifest, content)
    return content


def _items(
    images: Sequence[tuple[str, str, list[Stored]]],
    read_image: Callable[[str], bytes],
    authors: dict[str, str],
    first: int,
) -> Iterator[tuple[str, bytes, Record]]:
    for number, (name, plain, masks) in enumerate(images, first + 1):
        # Masks of the store are of the upright image, and SA-1B's of the stored pixels.
        image = upright_file(read_image(name), name)
        yield plain, image, _record(plain, number, masks, authors)


def _plain_names(names: Sequence[str]) -> list[str]:
    """Returns names without folders; where two would have one stem, with numbers."""
    taken: set[str] = set()
    plain = []
    for number, name in enumerate(names, 1):
        *folders, last = name.split("/")
        # File systems may not tell upper from lower case.
        stem = Path(last).stem.casefold()
        last = f"{number:06d}_{last}" if folders or stem in taken else last
        taken.add(Path(last).stem.casefold())
        plain.append(last)
    return plain


def _record(
    name: str, number: int, masks: Sequence[Stored], authors: dict[str, str]
) -> Record:
    height, width = masks[0]["segmentation"]["size"]
    annotations = []
    for mask in masks:
        made: Any = make_annotation(
            text_to_counts(mask["segmentation"]["counts"]),
            (height, width),
            mask["id"],
            predicted_iou=1.0 if mask["score"] is None else mask["score"],
            points=mask["prompts"].get("points") or [],
        )
        made |= {field: mask[field] for field in _PROVENANCE}
        made |= {"version": mask["revision"], "author": authors[mask["author"]]}
        annotations.append(made)
    image = ImageInfo(image_id=number, width=width, height=height, file_name=name)
    return Record(image=image, annotations=annotations)
