"""The annotation store's results and errors in the form of the API."""

import sqlite3
from collections.abc import Callable
from typing import Any

from samjax.engine.annotations import errors
from samjax.engine.annotations.people import Person
from samjax.engine.annotations.rows import Stored
from samjax.web.folder import image_id
from samjax.web.permissions import shown_name
from samjax.web.refusals import Refusal
from samjax.web.services import Services

_REFUSALS: dict[type[errors.AnnotationError], tuple[int, str]] = {
    errors.UnknownAnnotation: (404, "not_found"),
    errors.DeletedAnnotation: (404, "deleted"),
    errors.UuidTaken: (409, "uuid_taken"),
    errors.RevisionConflict: (409, "changed"),
    errors.DatabaseReplaced: (503, "storage"),
    errors.UnknownRegion: (404, "not_found"),
    errors.UnknownTask: (404, "not_found"),
    errors.LeaseLost: (409, "lease_lost"),
}


def annotation_body(
    stored: Stored, services: Services, caller: Person | None
) -> dict[str, Any]:
    """Returns an annotation as responses have it: its image by id, not by name.

    In a blind project only the owner sees the authors of other people's masks.

    Args:
        stored: The annotation.
        services: The services.
        caller: The person of the request; None without a team.
    """
    body: dict[str, Any] = {}
    for name, value in stored.items():
        if name == "image":
            body["image_id"] = image_id(value)
        else:
            body[name] = value
    body["author"] = shown_name(services, caller, body["author"])
    return body


def refusal_of(
    error: errors.AnnotationError | sqlite3.Error,
    body_of: Callable[[Stored], dict[str, Any]],
) -> Refusal:
    """Returns the refusal of a request that the annotation store did not carry out.

    Args:
        error: The error of the store.
        body_of: Returns an annotation as the person of the request may see it.
    """
    if isinstance(error, sqlite3.Error):
        message = f"nothing was stored: the database failed with {error}; try again"
        return Refusal(503, "storage", message)
    status, code = _REFUSALS[type(error)]
    more: dict[str, Any] = {}
    if isinstance(error, errors.RevisionConflict):
        # So that the page can merge without a further request.
        more["annotation"] = body_of(error.annotation)
    return Refusal(status, code, str(error), **more)
