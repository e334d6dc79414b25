"""The ASGI application: routes behind a guard, and one form for every error."""

import contextlib
import logging
import reprlib
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from samjax import __version__
from samjax.engine.annotations import AnnotationError
from samjax.inference import Predictor
from samjax.web import (
    annotation_routes,
    export_routes,
    image_routes,
    info_routes,
    model_routes,
    page_routes,
    region_routes,
    review_routes,
    task_routes,
    team_routes,
)
from samjax.web.decoder_cache import PageDecoder
from samjax.web.document import POLICY, write_document
from samjax.web.guard import API, Guard
from samjax.web.permissions import check_permission
from samjax.web.refusals import CODES, Refusal, error_body
from samjax.web.services import make_services
from samjax.web.settings import Settings
from samjax.web.stored_annotations import annotation_body, refusal_of
from samjax.web.tokens import PERSON

_ABOUT = (
    "Segments images of a folder, and stores the masks that people make. "
    'Every error is {"error": {"code", "message"}}; coordinates are in pixels.'
)
_MOST_PROBLEMS = 5

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    predictor: Predictor,
    *,
    decoder: PageDecoder | None = None,
    page: Path | None = None,
) -> FastAPI:
    """Returns the application of a server.

    Args:
        settings: Settings of the server.
        predictor: The model.
        decoder: The ONNX graphs that the page runs; None where there is no page.
        page: Folder of the page's files; None serves the API alone.

    Raises:
        ValueError: The database cannot be used.
        OSError: A folder cannot be read or written.
    """
    services = make_services(settings, predictor, decoder, page)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services.start()
        yield
        services.close()

    app = FastAPI(
        title="samjax serve",
        version=__version__,
        description=_ABOUT,
        # FastAPI's documentation pages load scripts from a CDN.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        # A path with a trailing slash is an error, not a redirect.
        redirect_slashes=False,
        dependencies=[Depends(check_permission)] if services.team else None,
    )
    app.state.services = services
    for routes in (
        info_routes,
        image_routes,
        model_routes,
        annotation_routes,
        review_routes,
        region_routes,
        task_routes,
        team_routes,
        export_routes,
    ):
        app.include_router(routes.router)
    app.include_router(_description_routes(app))
    app.include_router(page_routes.router)
    _add_error_handlers(app)
    tokens = services.tokens if services.team else None
    app.add_middleware(Guard, settings=settings, tokens=tokens)
    return app


def _description_routes(app: FastAPI) -> APIRouter:
    router = APIRouter(prefix=API, tags=["about"])

    @router.get("/openapi.json")
    def describe() -> dict[str, Any]:
        """Returns this description in the OpenAPI format."""
        return app.openapi()

    @router.get("/docs", response_class=HTMLResponse)
    def document() -> Response:
        """Shows this description as a page."""
        headers = {"Content-Security-Policy": POLICY}
        return HTMLResponse(write_document(app.openapi()), headers=headers)

    return router


def _add_error_handlers(app: FastAPI) -> None:
    """Gives every error response the form of the API."""

    @app.exception_handler(Refusal)
    def refuse(request: Request, error: Refusal) -> Response:
        body = error_body(error.code, error.message) | error.more
        return JSONResponse(body, error.status)

    @app.exception_handler(AnnotationError)
    @app.exception_handler(sqlite3.Error)
    def refuse_annotation(
        request: Request, error: AnnotationError | sqlite3.Error
    ) -> Response:
        if isinstance(error, sqlite3.Error):
            logger.error("the database failed", exc_info=error)
        services, caller = request.app.state.services, request.scope.get(PERSON)
        shown = partial(annotation_body, services=services, caller=caller)
        return refuse(request, refusal_of(error, shown))

    @app.exception_handler(HTTPException)
    def refuse_http(request: Request, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, "refused")
        if error.status_code == 404:
            message = (
                f"there is nothing at {ascii(request.url.path)[:80]}: see {API}/docs"
            )
        else:
            message = str(error.detail)
        body = error_body(code, message)
        return JSONResponse(body, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def refuse_invalid(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse(error_body("invalid", _validation_message(error)), 422)

    @app.exception_handler(ClientDisconnect)
    def give_up(request: Request, error: ClientDisconnect) -> Response:
        # The client is gone: this is for the log alone.
        return JSONResponse(error_body("cut_off", "the upload ended early"), 400)


def _validation_message(error: RequestValidationError) -> str:
    problems = error.errors()
    messages = []
    for problem in problems[:_MOST_PROBLEMS]:
        if problem["type"] == "json_invalid":
            messages.append("the body is not JSON")
            continue
        field = ".".join(str(part)[:40] for part in problem["loc"])
        # Shortened: a body may have megabytes in one field.
        value = reprlib.repr(problem.get("input"))
        messages.append(f"{field}: {problem['msg']}, got {value}")
    if len(problems) > _MOST_PROBLEMS:
        messages.append(f"and {len(problems) - _MOST_PROBLEMS} more")
    return "; ".join(messages)
