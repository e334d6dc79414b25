"""Schemas of the API on tasks and teams: JSON bodies of requests and responses."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from samjax.engine.annotations.people import Role
from samjax.engine.annotations.task_rows import TaskKind, TaskState
from samjax.web.schemas import Given, Seconds, Words

Note = Annotated[str, Field(max_length=2000)]


class NewTasks(Given):
    """Images that get a task; without `images` all of the folder, in random order."""

    images: Annotated[list[str], Field(max_length=100_000)] | None = None
    kind: TaskKind = "annotate"
    round: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    priority: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] | None = 0


class TasksAdded(BaseModel):
    """The number of new tasks."""

    added: int


class TaskCounts(BaseModel):
    """The number of tasks by kind and state."""

    counts: dict[str, dict[str, int]]


class TaskHolder(Given):
    """The person who has a task; on a team's server it is the token's, and left out."""

    person: Annotated[Words, Field(min_length=1)] | None = None


class TaskClaim(TaskHolder):
    """A person who asks for a task of some kinds."""

    kinds: Annotated[
        list[TaskKind], Field(default=["annotate"], min_length=1, max_length=3)
    ]


class TaskEnd(TaskHolder):
    """The end of the work on a task; `skipped` and `flagged` need a note."""

    state: Literal["done", "skipped", "flagged"] = "done"
    note: Note = ""


class Task(BaseModel):
    """A task; `lease_until` is in seconds since 1970."""

    id: int
    image_id: str
    image: str
    kind: TaskKind
    state: TaskState
    assignee: str | None
    lease_until: float | None
    round: int
    attempt: int
    note: str


class TaskReview(Given):
    """The verdict on a task to verify; `returned` needs a note."""

    verdict: Literal["accepted", "returned"]
    note: Note = ""
    seconds: Seconds | None = None
    active_seconds: Seconds | None = None


class TaskReopened(Given):
    """The note for the next person who gets a finished task."""

    note: Note = ""


class Progress(BaseModel):
    """The number of a person's finished images, and of all tasks by kind and state.

    On a team's server only its owner gets `counts`, so that gold images cannot be told
    by what they add to them; `is_left` says whether a task is left, by kind.
    """

    finished: int
    is_left: dict[str, bool]
    counts: dict[str, dict[str, int]] | None


class Score(BaseModel):
    """Masks of gold images compared with the trusted ones; means are over pairs."""

    images: int
    mean_iou: float | None
    missed: int
    extra: int


class Me(BaseModel):
    """A person's own numbers; `gold` once no task is left for them."""

    name: str
    role: Role
    progress: Progress
    numbers: dict[str, Any]
    gold: Score | None


class Instructions(BaseModel):
    """A project's instructions, as Markdown."""

    markdown: str


class SetAside(BaseModel):
    """A skipped or flagged task."""

    id: int
    image: str
    image_id: str
    kind: TaskKind
    state: TaskState
    person: str | None
    note: str


class Statistics(BaseModel):
    """Statistics of a team, and what was set aside."""

    person: list[dict[str, Any]]
    round: list[dict[str, Any]]
    model: list[dict[str, Any]]
    counts: dict[str, dict[str, int]]
    set_aside: list[SetAside]
