"""The annotation store's results and errors in the form of the API."""

import sqlite3
from typing import Any

from samjax.engine.annotations import errors
from samjax.engine.annotations.rows import Stored
from samjax.web.folder import image_id
from samjax.web.refusals import Refusal

_REFUSALS: dict[type[errors.AnnotationError], tuple[int, str]] = {
    errors.UnknownAnnotation: (404, "not_found"),
    errors.DeletedAnnotation: (404, "deleted"),
    errors.UuidTaken: (409, "uuid_taken"),
    errors.RevisionConflict: (409, "changed"),
    errors.DatabaseReplaced: (503, "storage"),
    errors.UnknownTask: (404, "not_found"),
    errors.LeaseLost: (409, "lease_lost"),
}


def annotation_body(stored: Stored) -> dict[str, Any]:
    """Returns an annotation as responses have it: its image by id, not by name."""
    body: dict[str, Any] = {}
    for name, value in stored.items():
        if name == "image":
            body["image_id"] = image_id(value)
        else:
            body[name] = value
    return body


def refusal_of(error: errors.AnnotationError | sqlite3.Error) -> Refusal:
    """Returns the refusal of a request that the annotation store did not carry out."""
    if isinstance(error, sqlite3.Error):
        message = f"nothing was stored: the database failed with {error}; try again"
        return Refusal(503, "storage", message)
    status, code = _REFUSALS[type(error)]
    more: dict[str, Any] = {}
    if isinstance(error, errors.RevisionConflict):
        # So that the page can merge without a further request.
        more["annotation"] = annotation_body(error.annotation)
    return Refusal(status, code, str(error), **more)
