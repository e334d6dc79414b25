"""Who may do what on a team's server: one table of routes, and the images of a person.

A route that the table does not have is nobody's. People see the images of their own
tasks and the masks that belong to those tasks; the owner sees all.
"""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from samjax.engine.annotations.errors import UnknownAnnotation
from samjax.engine.annotations.people import Person, Role
from samjax.engine.annotations.regions import no_region
from samjax.web.guard import API
from samjax.web.jobs import EverythingJob, no_job
from samjax.web.refusals import Refusal, not_found
from samjax.web.services import Services
from samjax.web.tokens import PERSON

LEAST_ROLES: dict[tuple[str, str], Role] = {
    ("GET", "/"): "annotator",
    ("HEAD", "/"): "annotator",
    ("GET", "/config.json"): "annotator",
    ("HEAD", "/config.json"): "annotator",
    ("GET", "/page/{name:path}"): "annotator",
    ("HEAD", "/page/{name:path}"): "annotator",
    ("GET", f"{API}/health"): "annotator",
    ("GET", f"{API}/info"): "annotator",
    ("GET", f"{API}/docs"): "annotator",
    ("GET", f"{API}/openapi.json"): "annotator",
    ("GET", f"{API}/me"): "annotator",
    ("GET", f"{API}/instructions"): "annotator",
    ("GET", f"{API}/model/{{part}}.onnx"): "annotator",
    ("GET", f"{API}/images"): "annotator",
    ("GET", f"{API}/images/{{image}}"): "annotator",
    ("PUT", f"{API}/images/{{name:path}}"): "owner",
    ("GET", f"{API}/images/{{image}}/pixels"): "annotator",
    ("GET", f"{API}/images/{{image}}/thumbnail"): "annotator",
    ("POST", f"{API}/images/{{image}}/embedding"): "annotator",
    ("GET", f"{API}/images/{{image}}/embedding"): "annotator",
    ("GET", f"{API}/images/{{image}}/embedding/state"): "annotator",
    ("POST", f"{API}/images/{{image}}/predict"): "annotator",
    ("POST", f"{API}/images/{{image}}/everything"): "annotator",
    ("GET", f"{API}/jobs/{{job}}"): "annotator",
    ("DELETE", f"{API}/jobs/{{job}}"): "annotator",
    ("GET", f"{API}/images/{{image}}/annotations"): "annotator",
    ("POST", f"{API}/images/{{image}}/annotations"): "annotator",
    ("PATCH", f"{API}/annotations/{{annotation}}"): "annotator",
    ("DELETE", f"{API}/annotations/{{annotation}}"): "annotator",
    ("POST", f"{API}/annotations/{{annotation}}/restore"): "annotator",
    ("GET", f"{API}/annotations/{{annotation}}/versions"): "reviewer",
    ("POST", f"{API}/annotations/{{annotation}}/review"): "reviewer",
    ("GET", f"{API}/images/{{image}}/reviews"): "annotator",
    ("GET", f"{API}/images/{{image}}/regions"): "annotator",
    ("POST", f"{API}/images/{{image}}/regions"): "annotator",
    ("DELETE", f"{API}/regions/{{region}}"): "annotator",
    ("GET", f"{API}/tasks"): "annotator",
    ("POST", f"{API}/tasks"): "owner",
    ("POST", f"{API}/tasks/claim"): "annotator",
    ("POST", f"{API}/tasks/{{task}}/renew"): "annotator",
    ("POST", f"{API}/tasks/{{task}}/finish"): "annotator",
    ("POST", f"{API}/tasks/{{task}}/give_back"): "annotator",
    ("POST", f"{API}/tasks/{{task}}/review"): "reviewer",
    ("POST", f"{API}/tasks/{{task}}/reopen"): "owner",
    ("GET", f"{API}/statistics"): "owner",
    ("GET", f"{API}/statistics.csv"): "owner",
    ("GET", f"{API}/export"): "owner",
}
"""The least role of every route, by method and path."""

_WRITES = {
    ("POST", f"{API}/images/{{image}}/annotations"),
    ("PATCH", f"{API}/annotations/{{annotation}}"),
    ("DELETE", f"{API}/annotations/{{annotation}}"),
    ("POST", f"{API}/annotations/{{annotation}}/restore"),
}


def check_permission(request: Request) -> None:
    """Refuses a request that the person of its token may not make.

    Raises:
        Refusal: The role has too few rights, or the image is not of the person's tasks.
    """
    services: Services = request.app.state.services
    if services.team is None:
        return
    person: Person | None = request.scope.get(PERSON)
    path = request.scope["route"].path
    least = LEAST_ROLES.get((request.method, path))
    if person is None or least is None or not person.may(least):
        role = "nobody" if person is None else f"the role {person.role}"
        raise Refusal(
            403,
            "forbidden",
            f"this is not for {role}, expected {least or 'another route'}: ask the "
            "project's owner",
        )
    if person.role == "owner":
        return
    name = _image_of(services, person, request.path_params)
    if name is None or (request.method, path) not in _WRITES:
        return
    task = services.team.task_on(person.name, name)
    if task is not None and services.team.is_under_review(task.id):
        raise Refusal(
            409,
            "under_review",
            "the image is finished, and a reviewer has it: it comes back to you if there "
            "is something to do",
        )


def layer_on(services: Services, person: Person | None, image: str) -> int:
    """Returns the layer of the masks that a person sees and makes on an image.

    Args:
        services: The services.
        person: The person; None without a team.
        image: Name of the image.
    """
    if services.team is None or person is None:
        return 0
    return services.team.layers(person.name, image).get(image, 0)


def shown_name(services: Services, person: Person | None, name: str) -> str:
    """Returns a name as a person may see it: of a blind project, their own or none.

    Args:
        services: The services.
        person: The person; None without a team.
        name: The name.
    """
    project = services.settings.project
    if person is None or person.role == "owner" or project is None:
        return name
    return name if not project.blind or name == person.name else ""


def job_of(
    services: Services, person: Person | None, job_id: str
) -> tuple[EverythingJob, float]:
    """Returns a job that a person may see and cancel, and its run time in seconds.

    Args:
        services: The services.
        person: The person, who started the job or is the owner; None without a team.
        job_id: Id of the job.

    Raises:
        Refusal: There is none; as if there were no such job where it is another's.
    """
    job, seconds = services.worker.job(job_id)
    if person is not None and person.role != "owner" and job.person != person.name:
        raise no_job(job_id)
    return job, seconds


def _image_of(
    services: Services, person: Person, parameters: Mapping[str, Any]
) -> str | None:
    """Returns the name of the image that a request concerns; None for none.

    Raises:
        Refusal: It is not of the person's tasks; as if there were no such image.
    """
    assert services.team is not None
    if (image := parameters.get("image")) is not None:
        name = services.gallery.file(image).name
        if not services.team.layers(person.name, name):
            raise not_found("image", image, "GET /images lists all")
        return name
    if (region := parameters.get("region")) is not None:
        name = services.regions.image(region)
        if not services.team.layers(person.name, name):
            raise no_region(region)
        return name
    annotation = str(parameters.get("annotation", ""))
    # What is no id is refused by the route.
    if not re.fullmatch("[0-9]{1,18}", annotation):
        return None
    name, layer = services.store.place(int(annotation))
    if services.team.layers(person.name, name).get(name) != layer:
        raise UnknownAnnotation(
            f"got the id {annotation}, expected that of a stored annotation: list those "
            "of its image"
        )
    return name
