"""Routes of the export of annotations, in formats that other programs read."""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from samjax.data.schema import record_to_json
from samjax.engine.sources import is_open
from samjax.web.exporting import (
    AnnotatedImage,
    Format,
    archive,
    coco_chunks,
    to_record,
)
from samjax.web.folder import image_id, natural_key
from samjax.web.guard import API
from samjax.web.refusals import Refusal, not_found
from samjax.web.services import Caller, Services, Wanted, errors
from samjax.web.zip_stream import zip_chunks

router = APIRouter(prefix=API, tags=["export"])


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}, "application/json": {}}}}
    | errors(404),
)
def export_annotations(
    services: Wanted,
    caller: Caller,
    format: Annotated[Format, Query(description="Which files to make.")] = "sa1b",
    image: Annotated[str | None, Query(max_length=64)] = None,
    authors: Annotated[
        Literal["pseudonyms", "names"] | None,
        Query(description="How authors are named; pseudonyms on a team's server."),
    ] = None,
) -> Response:
    """Sends a zip of all masks; of one image a JSON file, or a zip of its label map.

    Proposals that nobody has decided on are left out.
    """
    if image is None:
        names = sorted(services.store.annotated(), key=natural_key)
    else:
        names = [services.gallery.file(image).name]
    has_names = authors == "names" or (authors is None and caller is None)
    images = _annotated(services, names, has_names)
    if image is None or format == "png":
        return _download(
            zip_chunks(archive(images, format, services.decoding)),
            f"annotations-{format}.zip",
            "application/zip",
        )
    only = next(images, None)
    if only is None:
        raise not_found("annotation of", names[0], "store a mask first")
    name = f"annotations-{format}.json"
    # One file has no room for warnings, which an archive has in `problems.txt`.
    warnings: list[str] = []
    if format == "coco":
        return _download(coco_chunks([only], warnings.append), name, "application/json")
    text = record_to_json(to_record(only, warnings.append))
    return _download(iter([text.encode()]), name, "application/json")


def _annotated(
    services: Services, names: list[str], has_names: bool
) -> Iterator[AnnotatedImage]:
    shown = None if has_names else services.people.pseudonyms()
    for name in names:
        _, annotations, _ = services.store.changes(name)
        annotations = [stored for stored in annotations if not is_open(stored)]
        if shown is not None:
            annotations = [
                # Masks that were added since have authors that are not listed.
                {**stored, "author": shown.get(stored["author"], "other")}
                for stored in annotations
            ]
        if annotations:
            yield AnnotatedImage(
                image_id=_exported_id(name),
                name=name,
                size=_size(services, name),
                annotations=annotations,
            )


def _size(services: Services, name: str) -> tuple[int, int] | None:
    try:
        _, header = services.gallery.usable(image_id(name))
    except Refusal:
        return None
    return header.height, header.width


def _exported_id(name: str) -> int:
    """Returns an image's id in exported files: always the same, below 2**53."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])


def _download(chunks: Iterator[bytes], name: str, media_type: str) -> Response:
    return StreamingResponse(
        chunks,
        media_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
