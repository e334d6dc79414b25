"""Routes of the model: embeddings, prompts, everything mode."""

import dataclasses
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from samjax.inference import AutomaticConfig
from samjax.web.decoder_cache import Part
from samjax.web.guard import API
from samjax.web.image_routes import ImageId
from samjax.web.permissions import job_of
from samjax.web.prediction import has_mask, predict
from samjax.web.refusals import Refusal, invalid, not_found
from samjax.web.schemas import (
    EmbeddingIn,
    EmbeddingState,
    EverythingIn,
    JobStarted,
    JobState,
    Predicted,
    PredictedMany,
    PredictIn,
)
from samjax.web.services import Caller, Wanted, errors

router = APIRouter(prefix=API, tags=["model"])


@router.get(
    "/model/{part}.onnx",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}} | errors(404),
)
def show_decoder(
    services: Wanted, part: Part, request: Request, sha256: str | None = None
) -> Response:
    """Sends a graph of the decoder; with its hash in the URL browsers cache it for good.

    Raises:
        Refusal: There is no decoder, or it cannot be read.
    """
    if services.decoder is None:
        raise not_found("decoder", part, "start the server without --api-only")
    file = services.decoder.part(part)
    try:
        stream = file.path.open("rb")
    except OSError as error:
        raise Refusal(
            503,
            "storage",
            f"the decoder cannot be read ({error.strerror}): restart the server",
        ) from error
    return services.static.respond(
        stream, request.headers, forever=sha256 == file.sha256
    )


@router.post(
    "/images/{image}/embedding",
    response_model=EmbeddingState,
    responses={202: {"model": EmbeddingState}} | errors(404, 503),
)
def request_embedding(
    services: Wanted, image: ImageId, given: EmbeddingIn | None = None
) -> Response:
    """Requests an embedding; 200 if it is ready, 202 if it is queued."""
    file, _ = services.gallery.usable(image)
    prefetch = given is not None and given.prefetch
    state = services.worker.request(file, prefetch=prefetch)
    return JSONResponse(state.model_dump(), 200 if state.state == "ready" else 202)


@router.get("/images/{image}/embedding/state", responses=errors(404))
def show_embedding_state(services: Wanted, image: ImageId) -> EmbeddingState:
    """Shows the state of an image's embedding."""
    file, _ = services.gallery.usable(image)
    return services.worker.state(file)


@router.get(
    "/images/{image}/embedding",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}} | errors(404, 409),
)
def show_embedding(
    services: Wanted,
    image: ImageId,
    dtype: Literal["float32", "float16"] = "float32",
) -> Response:
    """Sends an embedding as safetensors: `features`, [1, channels, height, width].

    `samjax.ImageEmbedding.load` reads the file.
    """
    file, _ = services.gallery.usable(image)
    embedding = services.worker.embedding(file)
    # The page passes the features to the exported decoder as they are.
    content = embedding.to_bytes(layout="nchw", dtype=dtype)
    return Response(
        content,
        media_type="application/octet-stream",
        headers={"Cache-Control": "private, no-cache"},
    )


@router.post("/images/{image}/predict", responses=errors(404, 409))
def predict_masks(
    services: Wanted, image: ImageId, given: PredictIn
) -> Predicted | PredictedMany:
    """Predicts masks for a prompt, or for several under `prompts`, on an embedded image."""
    if given.prompts is not None and given.model_fields_set - {"prompts", "multimask"}:
        raise invalid(
            "got prompts beside a prompt, expected either: put it in the list"
        )
    file, _ = services.gallery.usable(image)
    embedding = services.worker.embedding(file)
    prompts = [given] if given.prompts is None else given.prompts
    # Clicks have a lock of their own: a long request may also compile a program.
    is_click = given.prompts is None and not has_mask(given)
    turn = services.clicks if is_click else services.predicting
    predictions = predict(services.predictor, embedding, prompts, given.multimask, turn)
    results = [Predicted.model_validate({"masks": masks}) for masks in predictions]
    return results[0] if given.prompts is None else PredictedMany(results=results)


@router.post("/images/{image}/everything", status_code=202, responses=errors(404, 503))
def segment_everything(
    services: Wanted, caller: Caller, image: ImageId, given: EverythingIn
) -> JobStarted:
    """Starts a job of everything mode on an image."""
    file, _ = services.gallery.usable(image)
    if given.min_mask_region_area:
        try:
            import cv2  # noqa: F401
        except ImportError:
            raise invalid(
                "min_mask_region_area needs OpenCV on the server: leave it at 0, or "
                "run pip install 'samjax[eval]' there"
            ) from None
    config = AutomaticConfig().for_model(services.predictor.model.config)
    config = dataclasses.replace(config, **given.model_dump(exclude_none=True))
    person = None if caller is None else caller.name
    return JobStarted(job=services.worker.segment_everything(file, config, person).id)


@router.get("/jobs/{job}", responses=errors(404))
def show_job(services: Wanted, caller: Caller, job: str) -> JobState:
    """Shows the state of a job, and its records once it is done."""
    running, seconds = job_of(services, caller, job)
    # Once: the worker's thread may change it, and records belong to "done".
    state = running.state
    return JobState(
        state=state,
        done=running.done,
        total=running.total,
        seconds=seconds,
        records=running.records if state == "done" else None,
        message=running.message,
    )


@router.delete("/jobs/{job}", status_code=204, responses=errors(404))
def cancel_job(services: Wanted, caller: Caller, job: str) -> None:
    """Cancels a job; a job that has ended stays as it is."""
    job_of(services, caller, job)
    services.worker.cancel(job)
