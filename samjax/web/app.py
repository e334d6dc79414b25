"""The application: routes behind a guard, and every error in one form."""

import contextlib
import logging
import reprlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
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
)
from samjax.web.decoder_cache import Decoder
from samjax.web.document import POLICY, write_document
from samjax.web.guard import API, Guard
from samjax.web.refusals import CODES, Refusal, error_body
from samjax.web.services import make_services
from samjax.web.settings import Settings
from samjax.web.stored_annotations import refusal_of

_ABOUT = (
    "Segments images of a folder, and keeps the masks that people make. "
    'Every error is {"error": {"code", "message"}}; numbers are in pixels.'
)
_MOST_PROBLEMS = 5

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    predictor: Predictor,
    *,
    decoder: Decoder | None = None,
    page: Path | None = None,
) -> FastAPI:
    """Makes the application of a server.

    Args:
        settings: What it is told.
        predictor: The model.
        decoder: The graphs that the page runs; None where there is no page.
        page: The folder of the page's files; None serves the API alone.

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
        # Theirs load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        # An address with one slash too many is not another way to write it.
        redirect_slashes=False,
    )
    app.state.services = services
    for part in (
        info_routes,
        image_routes,
        model_routes,
        annotation_routes,
        export_routes,
    ):
        app.include_router(part.router, prefix=API)
    app.include_router(_about_itself(app), prefix=API)
    app.include_router(page_routes.router)
    _answer_errors(app)
    app.add_middleware(Guard, settings=settings)
    return app


def _about_itself(app: FastAPI) -> APIRouter:
    router = APIRouter(tags=["about"])

    @router.get("/openapi.json")
    def describe() -> dict[str, Any]:
        """This description, in OpenAPI's form."""
        return app.openapi()

    @router.get("/docs", response_class=HTMLResponse)
    def document() -> Response:
        """This description, for people."""
        headers = {"Content-Security-Policy": POLICY}
        return HTMLResponse(write_document(app.openapi()), headers=headers)

    return router


def _answer_errors(app: FastAPI) -> None:
    """Gives every error the API's form."""

    @app.exception_handler(Refusal)
    def refuse(request: Request, error: Refusal) -> Response:
        body = error_body(error.code, error.message) | error.more
        return JSONResponse(body, error.status)

    @app.exception_handler(AnnotationError)
    def refuse_annotation(request: Request, error: AnnotationError) -> Response:
        return refuse(request, refusal_of(error))

    @app.exception_handler(HTTPException)
    def refuse_http(request: Request, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, "refused")
        if error.status_code == 404:
            said = f"there is nothing at {ascii(request.url.path)[:80]}: see {API}/docs"
        else:
            said = str(error.detail)
        body = error_body(code, said)
        return JSONResponse(body, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def refuse_invalid(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse(error_body("invalid", _in_words(error)), 422)

    @app.exception_handler(sqlite3.Error)
    def refuse_storage(request: Request, error: sqlite3.Error) -> Response:
        logger.error("the database failed", exc_info=error)
        said = f"nothing was stored: the database says {error}; try again"
        return JSONResponse(error_body("storage", said), 503)

    @app.exception_handler(ClientDisconnect)
    def give_up(request: Request, error: ClientDisconnect) -> Response:
        # Nobody reads it.
        return JSONResponse(error_body("cut_off", "the upload ended early"), 400)


def _in_words(error: RequestValidationError) -> str:
    problems = error.errors()
    said = []
    for one in problems[:_MOST_PROBLEMS]:
        place = ".".join(str(part)[:40] for part in one["loc"])
        if one["type"] == "json_invalid":
            said.append("the body is not JSON")
            continue
        said.append(f"{place}: {one['msg']}, got {reprlib.repr(one.get('input'))}")
    if len(problems) > _MOST_PROBLEMS:
        said.append(f"and {len(problems) - _MOST_PROBLEMS} more")
    return "; ".join(said)
