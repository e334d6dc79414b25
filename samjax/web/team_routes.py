"""Routes of a team: one's own numbers, the instructions, the statistics of all."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from samjax.engine.annotations.people import Person
from samjax.engine.project import read_instructions
from samjax.engine.team_statistics import (
    set_aside,
    statistics_csv,
    team_statistics,
)
from samjax.web.folder import image_id
from samjax.web.guard import API
from samjax.web.refusals import Refusal, not_found
from samjax.web.services import Caller, Services, Wanted, errors
from samjax.web.task_routes import counts_of
from samjax.web.task_schemas import (
    Instructions,
    Me,
    Progress,
    Score,
    SetAside,
    Statistics,
)

router = APIRouter(prefix=API, tags=["team"])

_OWN = (
    *("images_done", "masks", "active_seconds_median", "wall_seconds_median"),
    *("clicks_mean", "reviewed", "accepted", "fixed", "returned"),
)


@router.get("/me", responses=errors(404))
def show_me(services: Wanted, caller: Caller) -> Me:
    """Shows the person of the token, and their own numbers."""
    person = _member(caller)
    rows = team_statistics(services.store.database, person.name)["person"]
    own: dict[str, Any] = next((r for r in rows if r["name"] == person.name), {})
    progress = _progress(services, person, own)
    return Me(
        name=person.name,
        role=person.role,
        progress=progress,
        numbers={name: own.get(name) for name in _OWN},
        gold=None if any(progress.is_left.values()) else _gold(own),
    )


@router.get("/instructions", responses=errors(404, 503))
def show_instructions(services: Wanted, caller: Caller) -> Instructions:
    """Sends the project's instructions.

    Raises:
        Refusal: The server has no project, or the file cannot be read.
    """
    _member(caller)
    folder, project = services.settings.project_folder, services.settings.project
    if folder is None or project is None:
        raise not_found("project", "", "start the server with --engine")
    try:
        return Instructions(markdown=read_instructions(folder, project))
    except (OSError, ValueError) as error:
        message = f"the instructions cannot be read ({error}): ask the project's owner"
        raise Refusal(503, "storage", message) from error


@router.get("/statistics", responses=errors(404))
def show_statistics(services: Wanted, caller: Caller) -> Statistics:
    """Sends the statistics by person, round and model; for the owner."""
    _member(caller)
    database = services.store.database
    aside = [
        SetAside(**task, image_id=image_id(task["image"]))
        for task in set_aside(database)
    ]
    table: Any = team_statistics(database)
    return Statistics(counts=counts_of(services), set_aside=aside, **table)


@router.get(
    "/statistics.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}} | errors(404),
)
def download_statistics(
    services: Wanted,
    caller: Caller,
    people: Annotated[
        Literal["pseudonyms", "names"], Query(description="How people are named.")
    ] = "pseudonyms",
) -> Response:
    """Sends the statistics as CSV; for the owner."""
    _member(caller)
    table = team_statistics(services.store.database)
    shown = str if people == "names" else services.people.pseudonyms().__getitem__
    return Response(
        statistics_csv(table, shown),
        media_type="text/csv",
        headers={
            "Content-Disposition": 'attachment; filename="statistics.csv"',
            "Cache-Control": "no-store",
        },
    )


def _member(caller: Person | None) -> Person:
    if caller is None:
        raise not_found("team", "", "start the server with --engine")
    return caller


def _progress(services: Services, person: Person, own: dict[str, Any]) -> Progress:
    names = ("images_done", "skipped", "flagged")
    kinds = ("annotate", "verify") if person.may("reviewer") else ("annotate",)
    is_left = {kind: services.tasks.has(person.name, kind) for kind in kinds}
    return Progress(
        finished=sum(own.get(name, 0) for name in names),
        is_left=is_left,
        counts=counts_of(services) if person.role == "owner" else None,
    )


def _gold(own: dict[str, Any]) -> Score | None:
    if not own.get("gold_images"):
        return None
    return Score(
        images=own["gold_images"],
        mean_iou=own["gold_iou"],
        missed=own["gold_missed"],
        extra=own["gold_extra"],
    )
