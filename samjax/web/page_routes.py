"""Routes of the page: its static files and its configuration."""

from typing import Any

from fastapi import APIRouter, Request, Response

from samjax.web.guard import API
from samjax.web.page import find_file
from samjax.web.refusals import not_found
from samjax.web.services import Wanted

router = APIRouter(include_in_schema=False)
_READS = ["GET", "HEAD"]


@router.api_route("/config.json", methods=_READS)
def configuration() -> dict[str, Any]:
    """Returns the page's configuration: the server mode and the path of the API."""
    return {"mode": "server", "api": API}


@router.api_route("/", methods=_READS)
def start_page(services: Wanted, request: Request) -> Response:
    """Sends the start page."""
    return page_file(services, "index.html", request)


@router.api_route("/page/{name:path}", methods=_READS)
def page_file(services: Wanted, name: str, request: Request) -> Response:
    """Sends a file of the page."""
    file = None if services.page is None else find_file(services.page, name)
    if file is None:
        raise not_found("file", name, f"the API is at {API}/docs")
    return services.static.respond(file, request.headers)
