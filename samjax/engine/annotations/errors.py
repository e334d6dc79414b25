"""Errors of the annotation store.

A read or write that raises one of them has changed nothing. Messages say what was got,
what was expected and what to do; how a server reports them is the server's part.
"""

from typing import Any


class AnnotationError(Exception):
    """A read or write of annotations that was not carried out."""


class UnknownAnnotation(AnnotationError):
    """No annotation has this id."""


class DeletedAnnotation(AnnotationError):
    """The annotation was deleted, and has to be restored first."""


class UuidTaken(AnnotationError):
    """The uuid of a new annotation belongs to a deleted one or to another image."""


class RevisionConflict(AnnotationError):
    """The annotation was changed since the revision that the caller names.

    Attributes:
        annotation: The annotation as it is now.
    """

    def __init__(self, message: str, annotation: dict[str, Any]):
        super().__init__(message)
        self.annotation = annotation


class DatabaseReplaced(AnnotationError):
    """The files of an open database were removed, replaced or written over."""
