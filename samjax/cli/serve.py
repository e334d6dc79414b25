"""`samjax serve FOLDER`: the page and the API on a folder of images."""

from __future__ import annotations

import atexit
import os
import secrets
import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL, bound_pixels, parse
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder

if TYPE_CHECKING:
    from samjax.engine.project import Project

MEBIBYTE = 1 << 20
# Bound on pixels that no image reaches.
NO_BOUND = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Segments and annotates the images of a folder in a browser.

    Prints the address to open once the server is ready. Masks are stored in
    FOLDER/.samjax; images can be added while it runs. Only this machine can reach it
    unless --host is set: then requests need the token, which is part of the printed
    address. Ctrl-C ends it; saved masks are never lost, however it ends.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")] = (
        Path(".")
    )
    """Folder of images, and of folders of images; made if it does not exist."""

    model: str = DEFAULT_MODEL
    """small, small_text (with a field for texts), tiny, vit_b, vit_l, vit_h, or a file or
    folder of weights."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype of the server."""

    storage: Literal["float32", "float16", "int8"] = "float16"
    """Dtype of the stored weights of the decoder that browsers download."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all addresses of this machine."""

    port: int = 8000
    """Port; 0 for any free one."""

    token: str | None = None
    """Token that requests need. Default: $SAMJAX_TOKEN; otherwise none on this machine
    alone, and a random one with --host."""

    allow_host: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME")
    ] = ()
    """Additional host name of the server, as behind a proxy; may be repeated."""

    state: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the stored masks. Default: FOLDER/.samjax."""

    label: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="LABEL")
    ] = ()
    """Label to offer in the page; may be repeated."""

    upload_limit: Annotated[int, tyro.conf.arg(metavar="MIB")] = 64
    """Largest image that can be uploaded, in MiB."""

    max_pixels: int | None = None
    """Most pixels of an image, 0 for no bound. Default:
    $SAMJAX_MAX_PIXELS, or about 89 million, a guard against decompression bombs."""

    cache_limit: Annotated[int, tyro.conf.arg(metavar="MIB")] = 4096
    """Size of the cache of embeddings and thumbnails, in MiB."""

    open: bool = False
    """Opens the page in a browser."""

    queue: bool = False
    """Makes an annotation task for every image that has none: the page then hands out
    images, each to one person at a time."""

    engine: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Serves a team's project instead of FOLDER: its images and masks are in DIR, and
    people sign in with the tokens of samjax engine people."""

    api_only: bool = False
    """Serves the API without the page."""


def run(arguments: list[str]) -> None:
    """Serves until it is interrupted.

    Raises:
        ValueError: The page is not complete in this installation.
    """
    options = parse(Serve, "samjax serve", arguments)
    _check(options)
    bound_pixels(options.max_pixels)
    _check_installed(options)

    from samjax.web.page import missing_files, page_folder
    from samjax.web.serving import address_of, bind, serve
    from samjax.web.settings import Limits, Settings, is_any_address, is_loopback

    page = None if options.api_only else page_folder()
    if page is not None and (missing := missing_files(page)):
        raise ValueError(
            f"the page is not complete here, {missing[0]} is missing: run make page in a "
            "checkout, or serve the API alone with --api-only"
        )
    project = None if options.engine is None else _project(options.engine)
    folder, state = _folders(options)
    token = None
    if project is None:
        token = options.token or os.environ.get("SAMJAX_TOKEN") or None
        if token is None and not is_loopback(options.host):
            token = secrets.token_urlsafe(24)

    from samjax.data.bounds import max_pixels
    from samjax.files import cache_folder

    cache = cache_folder() / "serve"
    settings = Settings(
        folder=folder,
        state=state,
        cache=cache,
        cache_bytes=options.cache_limit * MEBIBYTE,
        host=options.host,
        token=token,
        hosts=options.allow_host,
        model=options.model,
        labels=(*options.label, *(() if project is None else project.labels)),
        queue=options.queue,
        project=project,
        project_folder=options.engine and options.engine.expanduser().resolve(),
        limits=Limits(
            upload_bytes=options.upload_limit * MEBIBYTE,
            pixels=max_pixels() or NO_BOUND,
        ),
    )
    # The address is bound first: one in use is reported before the model is loaded.
    with bind(options.host, options.port) as own:
        app = _make_app(options, settings, page)
        host = "127.0.0.1" if is_any_address(options.host) else options.host
        address = address_of(own, host, token)

        def say() -> None:
            print(f"serving {folder} at {address}", flush=True)
            if project is not None:
                print(f"people sign in at {address}?token=TOKEN", flush=True)
            if options.open:
                webbrowser.open(address)

        serve(app, own, say)


def _check(options: Serve) -> None:
    if not 0 <= options.port < 1 << 16:
        raise UsageError(f"--port {options.port}: expected 0 to 65535")
    for name in ("upload_limit", "cache_limit"):
        if getattr(options, name) < 1:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {getattr(options, name)}: use at least 1")
    if options.token is not None and not options.token:
        raise UsageError("--token is empty: expected a token, or leave it out")
    if options.engine is not None:
        others = {"--token": options.token, "--state": options.state}
        others |= {"--queue": options.queue or None}
        others |= {"FOLDER": None if options.folder == Path(".") else options.folder}
        for name, value in others.items():
            if value is not None:
                raise UsageError(
                    f"{name}: a project has its own folders, queue and tokens: leave it "
                    "out beside --engine"
                )
    if options.open and options.api_only:
        raise UsageError("--open: there is no page to open with --api-only")


def _check_installed(options: Serve) -> None:
    """Checks that the packages of the server are installed, before the model is loaded."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401

        if not options.api_only:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"samjax serve needs {error.name}: run pip install 'samjax[web]'",
            name=error.name,
        ) from error


def _project(folder: Path) -> Project:
    """Returns a team's project, which has to have an owner."""
    from samjax.engine.annotations import AnnotationStore
    from samjax.engine.annotations.people import People
    from samjax.engine.project import DATABASE, open_project

    folder = folder.expanduser()
    project = open_project(folder)
    store = AnnotationStore(folder / DATABASE)
    try:
        people = People(store.database).all()
    finally:
        store.close()
    if not any(person.role == "owner" and not person.is_removed for person in people):
        raise UsageError(
            f"{folder} has no owner: give samjax engine people add NAME --role owner "
            f"--engine {folder}"
        )
    return project


def _folders(options: Serve) -> tuple[Path, Path]:
    """Makes the folders of images and of masks, and checks that masks can be written."""
    if options.engine is not None:
        folder = options.engine.expanduser().resolve()
        return folder / "images", folder
    folder = options.folder.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / ".samjax" if options.state is None else options.state.expanduser()
    try:
        make_folder(state)
    except OSError as error:
        raise OSError(
            f"masks cannot be stored in {state} ({(error.strerror or '').lower()}): name "
            "a folder for them with --state DIR"
        ) from error
    return folder.resolve(), state.resolve()


def _make_app(options: Serve, settings, page: Path | None):
    from samjax.web.app import create_app

    predictor = load_predictor(options.model, options.dtype)
    decoder = None if page is None else _decoder(options, settings.cache, predictor)
    return create_app(settings, predictor, decoder=decoder, page=page)


def _decoder(options: Serve, cache: Path, predictor):
    """Returns the page's decoder from the cache, or exported for this run alone."""
    from samjax.web.decoder_cache import obtain_decoder

    def obtain(folder: Path):
        return obtain_decoder(
            predictor,
            folder / "decoders",
            storage=options.storage,
            before_export=lambda: print(
                "exporting the decoder for the page, once for this model", flush=True
            ),
        )

    try:
        return obtain(cache)
    except OSError as error:
        # A full or read-only cache folder does not prevent annotating.
        own = tempfile.TemporaryDirectory(prefix="samjax-serve-")
        atexit.register(own.cleanup)
        print(
            f"the decoder cannot be kept in {cache} ({(error.strerror or '').lower()}): "
            "it is exported for this run alone; SAMJAX_CACHE names another folder",
            flush=True,
        )
        return obtain(Path(own.name))
