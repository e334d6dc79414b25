"""Schemas of the API on reviews mask by mask, and on regions to blur."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from samjax.engine.annotations.mask_reviews import MaskVerdict
from samjax.web.schemas import Coordinate, Given, Uuid, Words
from samjax.web.task_schemas import Note

Number = Annotated[int, Field(ge=1, lt=1 << 63)]


class MaskReviewIn(Given):
    """A verdict on a version of a mask; `returned` needs a note, `open` takes it back."""

    task: Number
    revision: Number
    verdict: MaskVerdict
    note: Note = ""


class MaskReview(BaseModel):
    """The newest verdict on a mask: `accepted`, `fixed` by the reviewer, or `returned`."""

    annotation: int
    revision: int
    verdict: str
    note: str
    reviewer: str
    created: str


class MaskReviewList(BaseModel):
    """The verdicts on the masks of an image."""

    reviews: list[MaskReview]


class MaskVersions(BaseModel):
    """The versions of a mask, as annotations, the oldest first."""

    versions: list[dict[str, Any]]


class RegionIn(Given):
    """A region to blur: left, top, right, bottom in pixels of the upright image."""

    uuid: Uuid
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    author: Words = ""


class Region(BaseModel):
    """A stored region to blur."""

    uuid: str
    box: tuple[float, float, float, float]
    author: str
    created: str


class RegionList(BaseModel):
    """The regions of an image."""

    regions: list[Region]
