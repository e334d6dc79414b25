"""Schemas of the API: JSON bodies of requests and responses, with their bounds.

Requests may not have further fields: a misspelt option would otherwise be ignored
silently.
"""

from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from samjax.prompts import KINDS
from samjax.prompts.kind import MaskImage

MOST_PROMPTS = 64
MOST_POINTS = 256
# Characters of a mask's encoding: some 20 times the length of the most ragged masks.
_LONGEST_COUNTS = 8_000_000

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Score = Annotated[float, Field(ge=-1e3, le=1e3, allow_inf_nan=False)]
Words = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
MaskSource = Literal[
    "click",
    "box",
    "everything",
    "text",
    "brush",
    "import",
    # Of the data engine: a proposal before and after a person took it, a mask of stage 3.
    "proposed",
    "proposal",
    "automatic",
]
Uuid = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Level = Literal["whole", "part", "subpart"]


class Given(BaseModel):
    """A body that a client sends, without fields that are unknown."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(BaseModel):
    """An error: a code for programs and a message for people."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """The body of every error response."""

    error: ErrorDetail


class RunLengths(Given):
    """A mask as COCO's compressed run-length encoding, with its (height, width)."""

    size: tuple[
        Annotated[int, Field(ge=1, lt=1 << 31)], Annotated[int, Field(ge=1, lt=1 << 31)]
    ]
    counts: Annotated[str, Field(max_length=_LONGEST_COUNTS)]


def _bounded(field: Any, mask: Any) -> Any:
    """Returns the type of a prompt's field with the bounds of the API.

    Args:
        field: The type in `PromptKind.fields`.
        mask: The type of masks.
    """
    if field is MaskImage:
        return mask
    if field is float:
        return Coordinate
    if field is str:
        return Words
    parts = tuple(_bounded(part, mask) for part in get_args(field))
    if get_origin(field) is list:
        return Annotated[list[parts[0]], Field(max_length=MOST_POINTS)]
    return tuple[parts] if get_origin(field) is tuple else field


PROMPT_FIELDS = {name: field for kind in KINDS for name, field in kind.fields.items()}
"""The fields of a prompt with the types of `PromptKind.fields`."""


def _model(name: str, fields: dict[str, Any]) -> type[Given]:
    """Returns a schema of fields, each a type with its default."""
    return create_model(name, __base__=Given, **fields)


_PromptFields = _model(
    "_PromptFields",
    {
        name: (_bounded(field, RunLengths) | None, None)
        for name, field in PROMPT_FIELDS.items()
    },
)


class PromptIn(_PromptFields):
    """A prompt, in pixels of the image."""


class PredictIn(PromptIn):
    """One prompt, or several under `prompts`."""

    multimask: bool | None = None
    prompts: (
        Annotated[list[PromptIn], Field(min_length=1, max_length=MOST_PROMPTS)] | None
    ) = None


class EmbeddingIn(Given):
    """Options of a request for an embedding; `prefetch` gives it a low priority."""

    prefetch: bool = False


class EverythingIn(Given):
    """Options of everything mode, as in the release; missing thresholds suit the model."""

    points_per_side: Annotated[int, Field(ge=1, le=128)] = 32
    pred_iou_thresh: Fraction | None = None
    stability_score_thresh: Fraction | None = None
    min_mask_region_area: Annotated[int, Field(ge=0, le=1_000_000)] = 0


def _recorded(field: Any) -> tuple[Any, Any]:
    """Returns the type and the default of a prompt's field in an annotation."""
    if field is MaskImage:
        return bool, False
    if get_origin(field) is list:
        return _bounded(field, bool), []
    return _bounded(field, bool) | None, None


_RecordedFields = _model(
    "_RecordedFields", {name: _recorded(field) for name, field in PROMPT_FIELDS.items()}
)


class PromptsUsed(_RecordedFields):
    """The prompts that a mask was made from; of a mask, whether there was one."""


class AnnotationIn(Given):
    """A new annotation: a mask and its provenance."""

    uuid: Uuid
    segmentation: RunLengths
    label: Words = ""
    prompts: PromptsUsed = Field(default_factory=PromptsUsed)
    score: Score | None = None
    stability_score: Score | None = None
    source: MaskSource = "click"
    edited: bool = False
    level: Level | None = None
    seconds: Seconds = 0.0
    author: Words = ""
    order: Coordinate | None = None
    active_seconds: Seconds | None = None
    clicks: Count | None = None
    strokes: Count | None = None
    undos: Count | None = None


class AnnotationChange(Given):
    """New values of an annotation's fields; fields that are left out stay."""

    segmentation: RunLengths | None = None
    label: Words | None = None
    prompts: PromptsUsed | None = None
    score: Score | None = None
    stability_score: Score | None = None
    source: MaskSource | None = None
    edited: bool | None = None
    level: Level | None = None
    seconds: Seconds | None = None
    author: Words | None = None
    order: Coordinate | None = None
    active_seconds: Seconds | None = None
    clicks: Count | None = None
    strokes: Count | None = None
    undos: Count | None = None


class Annotation(AnnotationIn):
    """A stored annotation; `bbox` ends at the last pixel, as SA-1B's."""

    id: int
    image_id: str
    revision: int
    area: int
    bbox: tuple[float, float, float, float]
    created: str
    changed: str


class Annotations(BaseModel):
    """The annotations of an image, or those that changed since a revision."""

    revision: int
    annotations: list[dict[str, Any]]
    deleted: list[int]


class Image(BaseModel):
    """An image of the folder; its size is that of the upright image."""

    id: str
    name: str
    width: int
    height: int
    bytes: int
    annotations: int
    embedded: bool
    problem: str | None


class Images(BaseModel):
    """A page of the folder's images, in natural order of their names."""

    total: int
    images: list[Image]


class EmbeddingState(BaseModel):
    """The state of an embedding.

    `position` is the number of images before it, `seconds` the time since the request,
    and `expected_seconds` the estimated time from the request to the end, if known.
    """

    state: Literal["absent", "queued", "running", "ready", "failed"]
    position: int = 0
    seconds: float = 0.0
    expected_seconds: float | None = None
    message: str | None = None


class PredictedMask(BaseModel):
    """A predicted mask; `bbox` ends at the last pixel, as SA-1B's."""

    segmentation: RunLengths
    score: float
    bbox: tuple[float, float, float, float]
    area: int


class Predicted(BaseModel):
    """The masks of one prompt, by descending predicted IoU."""

    masks: list[PredictedMask]


class PredictedMany(BaseModel):
    """The masks of several prompts, in their order."""

    results: list[Predicted]


class JobStarted(BaseModel):
    """The id of a started job; its state is at `/jobs/{job}`."""

    job: str


class JobState(BaseModel):
    """The progress of a job, in points; `records` are SA-1B's, once it is done."""

    state: Literal["running", "done", "failed", "cancelled"]
    done: int
    total: int
    seconds: float
    records: list[dict[str, Any]] | None = None
    message: str | None = None


class Health(BaseModel):
    """Confirms that the server is up."""

    ok: bool
