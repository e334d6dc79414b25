"""Routes about the server: its health, its model and its limits."""

from typing import Any

from fastapi import APIRouter

from samjax import __version__
from samjax.engine.annotations.people import Person
from samjax.web.decoder_cache import DecoderFile, PageDecoder, Part
from samjax.web.description import describe_model
from samjax.web.guard import API
from samjax.web.schemas import Health
from samjax.web.services import Caller, Services, Wanted, errors

router = APIRouter(prefix=API, tags=["about"])


@router.get("/health")
def health() -> Health:
    """Confirms that the server is up."""
    return Health(ok=True)


@router.get("/info", responses=errors())
def info(services: Wanted, caller: Caller) -> dict[str, Any]:
    """Describes the model, the decoder for browsers, the limits, and the labels in use.

    `team` has the person of the token on a team's server, and is null elsewhere.
    """
    settings = services.settings
    limits = settings.limits
    used = services.store.labels()
    return {
        "samjax": __version__,
        "api": 1,
        "folder": _name(services),
        "team": _team(services, caller),
        "model": describe_model(services.predictor, settings.model),
        "decoder": services.decoder and _decoder(services.decoder),
        "limits": {
            "upload_bytes": limits.upload_bytes,
            "pixels": limits.pixels,
            "prompts": limits.prompts,
            "points": limits.points,
        },
        "labels": list(dict.fromkeys([*settings.labels, *used])),
    }


def _name(services: Services) -> str:
    project = services.settings.project
    return (project and project.name) or services.gallery.folder.name


def _team(services: Services, caller: Person | None) -> dict[str, Any] | None:
    project = services.settings.project
    if project is None or caller is None:
        return None
    return {
        "name": caller.name,
        "role": caller.role,
        "blind": project.blind,
        "hint_seconds": project.hint_seconds,
    }


def _decoder(decoder: PageDecoder) -> dict[str, Any]:
    return {
        "prepare": _file("prepare", decoder.prepare),
        "prompt": _file("prompt", decoder.prompt),
        "storage": decoder.storage,
    }


def _file(part: Part, file: DecoderFile) -> dict[str, Any]:
    # The hash in the URL lets browsers cache the file for good.
    return {
        "url": f"{API}/model/{part}.onnx?sha256={file.sha256}",
        "bytes": file.bytes,
        "sha256": file.sha256,
    }
