"""Routes of annotation tasks: the queue of images, claimed by one person at a time."""

import contextlib
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from samjax.engine.annotations.people import Person
from samjax.engine.annotations.task_rows import Task as QueuedTask
from samjax.engine.annotations.team import ReviewTimes
from samjax.web.folder import image_id
from samjax.web.guard import API
from samjax.web.refusals import Refusal, invalid, not_found
from samjax.web.services import Caller, Services, Wanted, errors
from samjax.web.task_schemas import (
    NewTasks,
    Task,
    TaskClaim,
    TaskCounts,
    TaskEnd,
    TaskHolder,
    TaskReopened,
    TaskReview,
    TasksAdded,
)

router = APIRouter(prefix=API, tags=["tasks"])

TaskId = Annotated[int, Path(description="Its id.", ge=1, lt=1 << 63)]

_EMBEDDED_AHEAD = 2


@router.get("/tasks")
def count_tasks(services: Wanted, caller: Caller) -> TaskCounts:
    """Counts the tasks by kind and state; on a team's server, for its owner.

    Raises:
        Refusal: The person is not the owner.
    """
    if caller is not None and caller.role != "owner":
        raise Refusal(403, "forbidden", "GET /me has your own numbers")
    return TaskCounts(counts=counts_of(services))


@router.post("/tasks", status_code=201, responses=errors(404))
def add_tasks(services: Wanted, given: NewTasks) -> TasksAdded:
    """Adds a task for images that have none of this kind and round; all by default."""
    if given.images is None:
        names = [file.name for file in services.gallery.files()]
    else:
        names = [services.gallery.file(image).name for image in given.images]
    added = services.tasks.add(
        names,
        given.kind,
        round=given.round,
        priority=given.priority,
        seed=given.seed,
    )
    return TasksAdded(added=added)


@router.post(
    "/tasks/claim",
    response_model=Task,
    responses={204: {"description": "No task is open"}} | errors(),
)
def claim_task(services: Wanted, caller: Caller, given: TaskClaim) -> Task | Response:
    """Leases the next task to a person; the one that the person has, if there is one.

    Raises:
        Refusal: Reviews are claimed by a person who is no reviewer.
    """
    is_review = set(given.kinds) != {"annotate"}
    if is_review and caller is not None and not caller.may("reviewer"):
        raise Refusal(403, "forbidden", "reviews are for reviewers and the owner")
    person = _person(caller, given)
    task = services.tasks.claim(person, given.kinds)
    if task is None:
        return Response(status_code=204)
    _embed_ahead(services, given, person)
    return _body(task, caller)


@router.post("/tasks/{task}/renew", responses=errors(404, 409))
def renew_task(
    services: Wanted, caller: Caller, task: TaskId, given: TaskHolder
) -> Task:
    """Extends a person's lease."""
    return _body(services.tasks.renew(task, _person(caller, given)), caller)


@router.post("/tasks/{task}/finish", responses=errors(404, 409))
def finish_task(services: Wanted, caller: Caller, task: TaskId, given: TaskEnd) -> Task:
    """Ends a person's work on a task: done, or skipped or flagged with a reason."""
    if given.state != "done" and not given.note.strip():
        raise invalid(f"note: got none, expected why the task is {given.state}")
    person = _person(caller, given)
    try:
        done = services.tasks.finish(task, person, given.state, given.note)
    except ValueError as error:
        raise invalid(str(error)) from error
    return _body(done, caller)


@router.post("/tasks/{task}/give_back", responses=errors(404, 409))
def give_task_back(
    services: Wanted, caller: Caller, task: TaskId, given: TaskHolder
) -> Task:
    """Opens a claimed task again for anybody."""
    return _body(services.tasks.give_back(task, _person(caller, given)), caller)


@router.post("/tasks/{task}/review", responses=errors(404, 409))
def review_task(
    services: Wanted, caller: Caller, task: TaskId, given: TaskReview
) -> Task:
    """Ends a task to verify with a verdict, on a team's server."""
    if services.team is None or caller is None:
        raise not_found("review", "", "start the server with --engine")
    try:
        times = ReviewTimes(given.seconds, given.active_seconds)
        person, verdict = caller.name, given.verdict
        done = services.team.review(task, person, verdict, given.note, times)
    except ValueError as error:
        raise invalid(str(error)) from error
    return _body(done, caller)


@router.post("/tasks/{task}/reopen", responses=errors(404, 409))
def reopen_task(
    services: Wanted, caller: Caller, task: TaskId, given: TaskReopened
) -> Task:
    """Returns a finished, skipped or flagged task to the queue, before all others."""
    return _body(services.tasks.reopen(task, given.note), caller)


def counts_of(services: Services) -> dict[str, dict[str, int]]:
    """Returns the number of tasks by kind and state."""
    counts: dict[str, dict[str, int]] = {}
    for (kind, state), count in services.tasks.counts().items():
        counts.setdefault(kind, {})[state] = count
    return counts


def _person(caller: Person | None, given: TaskHolder) -> str:
    """Returns the token's person; without a team, the one that the client names."""
    if caller is not None:
        return caller.name
    if given.person is None:
        raise invalid("person: got none, expected the name of who has the task")
    return given.person


def _body(task: QueuedTask, caller: Person | None) -> Task:
    # Others see who made what in `GET /statistics` alone, and nothing tells gold images.
    assignee = task.assignee
    if caller is not None and caller.role != "owner":
        assignee = caller.name
    return Task(
        id=task.id,
        image_id=image_id(task.image),
        image=task.image,
        kind=task.kind,
        state=task.state,
        assignee=assignee,
        lease_until=task.lease_until,
        round=task.round,
        attempt=task.attempt,
        note=task.note,
    )


def _embed_ahead(services: Services, given: TaskClaim, person: str) -> None:
    """Embeds the images of the next tasks, before anybody asks for them."""
    names = services.tasks.upcoming(_EMBEDDED_AHEAD, given.kinds, person)
    if services.team is not None:
        names += filter(None, [services.team.next_gold(person)])
    for name in names:
        # An image that is gone is for whoever claims it to skip.
        with contextlib.suppress(Refusal):
            file = services.gallery.file(image_id(name))
            services.worker.request(file, prefetch=True)
