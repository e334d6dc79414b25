"""The masks that people make: stored, changed, deleted, restored."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import JSONResponse, Response

from samjax.web.image_routes import ImageId
from samjax.web.mask_checks import check_mask
from samjax.web.refusals import Refusal, invalid
from samjax.web.schemas import (
    Annotation,
    AnnotationChange,
    AnnotationIn,
    Annotations,
)
from samjax.web.services import Wanted, errors

router = APIRouter(tags=["annotations"])

Number = Annotated[int, Path(description="Of an annotation.", ge=1, lt=1 << 63)]
IfMatch = Annotated[
    str | None, Header(description='The revision that was seen: "12".', max_length=64)
]
_NULLABLE = {"score", "stability_score", "level", "order"}


@router.get("/images/{image}/annotations", responses=errors(404))
def list_annotations(
    services: Wanted,
    image: ImageId,
    since: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
) -> Annotations:
    """The masks of an image; with `since` only what changed after that revision."""
    file = services.gallery.file(image)
    revision, kept, deleted = services.store.changes(file.name, since)
    return Annotations(revision=revision, annotations=kept, deleted=deleted)


@router.post(
    "/images/{image}/annotations",
    status_code=201,
    response_model=Annotation,
    responses={200: {"model": Annotation}, **errors(404, 409)},
)
def add_annotation(services: Wanted, image: ImageId, given: AnnotationIn) -> Response:
    """Stores a mask; 200 and the mask as it is now if its uuid is there already."""
    file, header = services.gallery.usable(image)
    mask = check_mask(given.segmentation, (header.height, header.width))
    fields = given.model_dump(exclude={"uuid", "segmentation"})
    stored, is_new = services.store.add(file.name, given.uuid, mask, fields)
    return _answer(stored, 201 if is_new else 200)


@router.patch(
    "/annotations/{number}",
    response_model=Annotation,
    responses=errors(404, 409, 428),
)
def change_annotation(
    services: Wanted,
    number: Number,
    given: AnnotationChange,
    if_match: IfMatch = None,
) -> Response:
    """Changes what is named of an annotation, unless somebody did meanwhile."""
    revision = _revision(if_match)
    fields = given.model_dump(exclude_unset=True)
    for name in fields.keys() - _NULLABLE:
        if fields[name] is None:
            raise invalid(
                f"{name}: got null, expected a value: leave it out to keep it"
            )
    mask = None
    if fields.pop("segmentation", None) and given.segmentation is not None:
        # Its size is that of its image when it was made.
        height, width = services.store.get(number)["segmentation"]["size"]
        mask = check_mask(given.segmentation, (height, width))
    return _answer(services.store.change(number, revision, fields, mask))


@router.delete(
    "/annotations/{number}", status_code=204, responses=errors(404, 409, 428)
)
def delete_annotation(
    services: Wanted, number: Number, if_match: IfMatch = None
) -> None:
    """Deletes an annotation, which can be undone; 204 too if it was deleted before."""
    services.store.delete(number, _revision(if_match))


@router.post(
    "/annotations/{number}/restore", response_model=Annotation, responses=errors(404)
)
def restore_annotation(services: Wanted, number: Number) -> Response:
    """Undoes the deletion of an annotation."""
    return _answer(services.store.restore(number))


def _revision(if_match: str | None) -> int:
    if if_match is None:
        raise Refusal(
            428,
            "precondition_required",
            'got no If-Match, expected the revision that was seen, such as "12"',
        )
    found = re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', if_match.strip())
    if found is None:
        raise invalid(
            f'got If-Match {ascii(if_match)[:40]}, expected a revision such as "12"'
        )
    return int(found[1])


def _answer(stored: dict[str, Any], status: int = 200) -> Response:
    headers = {"ETag": f'"{stored["revision"]}"'}
    return JSONResponse(stored, status, headers=headers)
