"""Routes of annotations: stored, listed, changed, deleted, restored."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import JSONResponse, Response

from samjax.engine.sources import decided
from samjax.web.guard import API
from samjax.web.image_routes import ImageId
from samjax.web.mask_checks import check_mask
from samjax.web.permissions import layer_on
from samjax.web.refusals import Refusal, invalid
from samjax.web.schemas import (
    Annotation,
    AnnotationChange,
    AnnotationIn,
    Annotations,
)
from samjax.web.services import Caller, Wanted, errors
from samjax.web.stored_annotations import annotation_body

router = APIRouter(prefix=API, tags=["annotations"])

AnnotationId = Annotated[int, Path(description="Its id.", ge=1, lt=1 << 63)]
IfMatch = Annotated[
    str | None,
    Header(
        description='The revision that the request is based on: "12".', max_length=64
    ),
]
_NULLABLE = {
    *("score", "stability_score", "level", "order"),
    *("active_seconds", "clicks", "strokes", "undos"),
}


@router.get("/images/{image}/annotations", responses=errors(404))
def list_annotations(
    services: Wanted,
    caller: Caller,
    image: ImageId,
    since: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
) -> Annotations:
    """Lists the masks of an image; with `since` only changes after that revision."""
    file = services.gallery.file(image)
    layer = layer_on(services, caller, file.name)
    revision, kept, deleted = services.store.changes(file.name, since, layer)
    bodies = [annotation_body(stored, services, caller) for stored in kept]
    return Annotations(revision=revision, annotations=bodies, deleted=deleted)


@router.post(
    "/images/{image}/annotations",
    status_code=201,
    response_model=Annotation,
    responses={200: {"model": Annotation}} | errors(404, 409),
)
def add_annotation(
    services: Wanted, caller: Caller, image: ImageId, given: AnnotationIn
) -> Response:
    """Stores a mask; 200 and the stored mask if its uuid is known already."""
    file, header = services.gallery.usable(image)
    mask = check_mask(given.segmentation, (header.height, header.width))
    fields = given.model_dump(exclude={"uuid", "segmentation"})
    layer = layer_on(services, caller, file.name)
    if (project := services.settings.project) is not None and caller is not None:
        fields |= {"author": caller.name, "round": project.round}
        fields |= {"stage": project.stage, "model": services.predictor.fingerprint}
    stored, is_new = services.store.add(file.name, given.uuid, mask, fields, layer)
    body = annotation_body(stored, services, caller)
    return _response(body, 201 if is_new else 200)


@router.patch(
    "/annotations/{annotation}",
    response_model=Annotation,
    responses=errors(404, 409, 428),
)
def change_annotation(
    services: Wanted,
    caller: Caller,
    annotation: AnnotationId,
    given: AnnotationChange,
    if_match: IfMatch = None,
) -> Response:
    """Changes the given fields of an annotation, unless it was changed meanwhile.

    A change of a proposal, of the source `proposed`, takes it: `proposal`.
    """
    revision = _revision(if_match)
    fields = given.model_dump(exclude_unset=True)
    for name in fields.keys() - _NULLABLE:
        if fields[name] is None:
            raise invalid(
                f"{name}: got null, expected a value: leave it out to keep it"
            )
    mask, before = None, services.store.get(annotation)
    if fields.pop("segmentation", None) and given.segmentation is not None:
        # The size is that of the image when the mask was stored: its file may have been
        # replaced since.
        height, width = before["segmentation"]["size"]
        mask = check_mask(given.segmentation, (height, width))
    try:
        fields = decided(before, fields, mask is not None)
    except ValueError as error:
        raise invalid(str(error)) from error
    if caller is not None:
        fields["author"] = caller.name
    stored = services.store.change(annotation, revision, fields, mask)
    return _response(annotation_body(stored, services, caller))


@router.delete(
    "/annotations/{annotation}", status_code=204, responses=errors(404, 409, 428)
)
def delete_annotation(
    services: Wanted, caller: Caller, annotation: AnnotationId, if_match: IfMatch = None
) -> None:
    """Deletes an annotation, which can be restored; 204 also if it was deleted before.

    A proposal is rejected thereby: it is not proposed again.
    """
    author = None if caller is None else caller.name
    services.store.delete(annotation, _revision(if_match), author)


@router.post(
    "/annotations/{annotation}/restore",
    response_model=Annotation,
    responses=errors(404),
)
def restore_annotation(
    services: Wanted, caller: Caller, annotation: AnnotationId
) -> Response:
    """Restores a deleted annotation."""
    author = None if caller is None else caller.name
    stored = services.store.restore(annotation, author)
    return _response(annotation_body(stored, services, caller))


def _revision(if_match: str | None) -> int:
    if if_match is None:
        raise Refusal(
            428,
            "precondition_required",
            "got no If-Match, expected the revision that the request is based on, such "
            'as "12"',
        )
    match = re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', if_match.strip())
    if match is None:
        raise invalid(
            f'got If-Match {ascii(if_match)[:40]}, expected a revision such as "12"'
        )
    return int(match[1])


def _response(body: dict[str, Any], status: int = 200) -> Response:
    headers = {"ETag": f'"{body["revision"]}"'}
    return JSONResponse(body, status, headers=headers)
