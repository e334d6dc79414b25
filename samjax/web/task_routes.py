"""Routes of annotation tasks: the queue of images, claimed by one person at a time."""

import contextlib
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from samjax.engine.annotations.tasks import Task as QueuedTask
from samjax.web.folder import image_id
from samjax.web.refusals import Refusal, invalid
from samjax.web.schemas import (
    NewTasks,
    Task,
    TaskClaim,
    TaskCounts,
    TaskEnd,
    TaskHolder,
    TasksAdded,
)
from samjax.web.services import Services, Wanted, errors

router = APIRouter(tags=["tasks"])

TaskId = Annotated[int, Path(description="Its id.", ge=1, lt=1 << 63)]

_EMBEDDED_AHEAD = 2


@router.get("/tasks")
def count_tasks(services: Wanted) -> TaskCounts:
    """Counts the tasks by kind and state."""
    counts: dict[str, dict[str, int]] = {}
    for (kind, state), count in services.tasks.counts().items():
        counts.setdefault(kind, {})[state] = count
    return TaskCounts(counts=counts)


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
def claim_task(services: Wanted, given: TaskClaim) -> Task | Response:
    """Leases the next task to a person; the one that the person has, if there is one."""
    task = services.tasks.claim(given.person, given.kinds)
    if task is None:
        return Response(status_code=204)
    _embed_ahead(services, given)
    return _body(task)


@router.post("/tasks/{task}/renew", responses=errors(404, 409))
def renew_task(services: Wanted, task: TaskId, given: TaskHolder) -> Task:
    """Extends a person's lease."""
    return _body(services.tasks.renew(task, given.person))


@router.post("/tasks/{task}/finish", responses=errors(404, 409))
def finish_task(services: Wanted, task: TaskId, given: TaskEnd) -> Task:
    """Ends a person's work on a task: done, or skipped or flagged with a reason."""
    if given.state != "done" and not given.note.strip():
        raise invalid(f"note: got none, expected why the task is {given.state}")
    return _body(services.tasks.finish(task, given.person, given.state, given.note))


@router.post("/tasks/{task}/give_back", responses=errors(404, 409))
def give_task_back(services: Wanted, task: TaskId, given: TaskHolder) -> Task:
    """Opens a claimed task again for anybody."""
    return _body(services.tasks.give_back(task, given.person))


def _body(task: QueuedTask) -> Task:
    return Task(
        id=task.id,
        image_id=image_id(task.image),
        image=task.image,
        kind=task.kind,
        state=task.state,
        assignee=task.assignee,
        lease_until=task.lease_until,
        round=task.round,
        attempt=task.attempt,
        note=task.note,
    )


def _embed_ahead(services: Services, given: TaskClaim) -> None:
    """Embeds the images of the next tasks, before anybody asks for them."""
    for name in services.tasks.upcoming(_EMBEDDED_AHEAD, given.kinds):
        # An image that is gone is for whoever claims it to skip.
        with contextlib.suppress(Refusal):
            file = services.gallery.file(image_id(name))
            services.worker.request(file, prefetch=True)
