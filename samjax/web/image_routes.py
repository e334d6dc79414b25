"""Routes of images: listed, uploaded, and sent in full or as thumbnails."""

from collections.abc import Callable
from io import BufferedReader
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from samjax.engine.annotations.people import Person
from samjax.web.folder import FolderImage, image_id
from samjax.web.guard import API
from samjax.web.image_files import NotAnImage, convert_for_browser, make_thumbnail
from samjax.web.refusals import Refusal
from samjax.web.schemas import Image, Images
from samjax.web.sending import FileStream
from samjax.web.services import Caller, Services, Wanted, errors

router = APIRouter(prefix=API, tags=["images"])

ImageId = Annotated[
    str, Path(description="Its id, from the list of images.", max_length=64)
]


@router.get("/images", responses=errors())
def list_images(
    services: Wanted,
    caller: Caller,
    offset: Annotated[int, Query(ge=0, lt=1 << 31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Images:
    """Lists images in natural order of their names, also those that are damaged.

    On a team's server people get the images of their own tasks, and the owner all.
    """
    files = services.gallery.files()
    if services.team is not None and caller is not None and caller.role != "owner":
        own = services.team.layers(caller.name)
        files = [file for file in files if file.name in own]
    listed = files[offset : offset + limit]
    return Images(total=len(files), images=_described(services, listed, caller))


@router.get("/images/{image}", responses=errors(404))
def show_image(services: Wanted, caller: Caller, image: ImageId) -> Image:
    """Describes an image."""
    return _described(services, [services.gallery.file(image)], caller)[0]


@router.put(
    "/images/{name:path}",
    status_code=201,
    response_model=Image,
    responses={200: {"model": Image}} | errors(409, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def send_image(
    services: Wanted,
    caller: Caller,
    name: Annotated[str, Path(description="Path in the folder, with /.")],
    request: Request,
) -> Response:
    """Stores an image under a name; 200 if it is there already."""
    is_new = await services.uploads.take(name, request.stream())
    # In a thread: this coroutine runs in the event loop, which must not block.
    stored = await run_in_threadpool(_queued, services, caller, name)
    return JSONResponse(stored.model_dump(), 201 if is_new else 200)


@router.get(
    "/images/{image}/pixels",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}} | errors(404),
)
def show_pixels(services: Wanted, image: ImageId, request: Request) -> Response:
    """Sends an image for browsers, upright, at its full size."""
    file, header = services.gallery.usable(image)
    headers = _caching(file, "pixels")
    if _has_it(request, headers):
        return Response(status_code=304, headers=headers)
    if header.media_type is not None:
        stream = services.gallery.open(file)
        return FileStream(stream, media_type=header.media_type, headers=headers)
    most = services.settings.limits.pixels

    def make(source: BufferedReader) -> bytes:
        return convert_for_browser(source, most)

    return _preview(services, file, "full.png", make, headers)


@router.get(
    "/images/{image}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}} | errors(404),
)
def show_thumbnail(
    services: Wanted,
    image: ImageId,
    request: Request,
    size: Annotated[int, Query(ge=16, le=1024)] = 256,
) -> Response:
    """Sends a JPEG of the upright image with at most `size` pixels on its longer side."""
    file, _ = services.gallery.usable(image)
    headers = _caching(file, f"thumbnail-{size}")
    if _has_it(request, headers):
        return Response(status_code=304, headers=headers)
    most = services.settings.limits.pixels

    def make(source: BufferedReader) -> bytes:
        return make_thumbnail(source, size, most)

    return _preview(services, file, f"{size}.jpg", make, headers)


def _queued(services: Services, caller: Person | None, name: str) -> Image:
    """Describes an image that was uploaded; of a team, it gets a task."""
    if (project := services.settings.project) is not None:
        services.tasks.add([name], round=project.round)
    return show_image(services, caller, image_id(name))


def _described(
    services: Services, files: list[FolderImage], caller: Person | None
) -> list[Image]:
    layers = {}
    if services.team is not None and caller is not None:
        only = files[0].name if len(files) == 1 else None
        layers = services.team.layers(caller.name, only)
    counts = services.store.counts([file.name for file in files], layers)
    described = []
    for file in files:
        header = services.gallery.header(file)
        problem = header if isinstance(header, str) else None
        described.append(
            Image(
                id=file.id,
                name=file.name,
                width=0 if isinstance(header, str) else header.width,
                height=0 if isinstance(header, str) else header.height,
                bytes=file.bytes,
                annotations=counts.get(file.name, 0),
                embedded=problem is None and services.worker.has(file),
                problem=problem,
            )
        )
    return described


def _preview(
    services: Services,
    file: FolderImage,
    form: str,
    make: Callable[[BufferedReader], bytes],
    headers: dict[str, str],
) -> Response:
    """Returns a response with a converted image from the cache; converts it if missing."""
    key = f"{file.version}.{form}"
    media_type = "image/png" if form.endswith("png") else "image/jpeg"
    preview = services.previews.open(key)
    if preview is None:
        with services.decoding:
            # Another request may have made it while this one waited.
            preview = services.previews.open(key) or _made(services, file, key, make)
    if isinstance(preview, bytes):
        return Response(preview, media_type=media_type, headers=headers)
    return FileStream(preview, media_type=media_type, headers=headers)


def _made(
    services: Services,
    file: FolderImage,
    key: str,
    make: Callable[[BufferedReader], bytes],
) -> BufferedReader | bytes:
    """Converts an image and stores it; returns the file, or the bytes without a disk."""
    try:
        with services.gallery.open(file) as source:
            content = make(source)
    except NotAnImage as error:
        raise Refusal(422, "unusable_image", f"{file.name}: {error}") from error
    try:
        services.previews.put(key, lambda hidden: hidden.write_bytes(content))
    except OSError:
        # On a full disk the response is sent from memory.
        return content
    return services.previews.open(key) or content


def _caching(file: FolderImage, form: str) -> dict[str, str]:
    return {"ETag": f'"{file.version}-{form}"', "Cache-Control": "private, no-cache"}


def _has_it(request: Request, headers: dict[str, str]) -> bool:
    return headers["ETag"] in request.headers.get("if-none-match", "")
