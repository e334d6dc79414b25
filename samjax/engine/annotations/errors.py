"""Errors of the annotation store.

A write that raises one of them has stored nothing; after `DatabaseReplaced` it must be
taken as lost, whatever the file has. Messages have the value received, the expectation
and the remedy; a server maps the classes to its own error responses.
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


class UnknownTask(AnnotationError):
    """No task has this id."""


class UnknownRegion(AnnotationError):
    """No region has this uuid."""


class LeaseLost(AnnotationError):
    """The task belongs to somebody else by now, or was finished."""


class DatabaseReplaced(AnnotationError):
    """The files of an open database were removed, replaced or written over."""
