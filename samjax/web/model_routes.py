"""What the model does: embeddings, answers to prompts, everything in an image."""

import dataclasses
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from samjax.inference import AutomaticConfig
from samjax.web.decoder_cache import Part
from samjax.web.image_routes import ImageId
from samjax.web.prediction import predict
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
from samjax.web.services import Wanted, errors

router = APIRouter(tags=["model"])


@router.get(
    "/model/{part}.onnx",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **errors(404)},
)
def show_decoder(
    services: Wanted, part: Part, request: Request, sha256: str | None = None
) -> Response:
    """A graph of the decoder; with its hash in the address it is kept for good."""
    if services.decoder is None:
        raise not_found("decoder", part, "start the server without --api-only")
    file = services.decoder.part(part)
    try:
        stream = file.path.open("rb")
    except OSError as error:
        raise Refusal(
            503,
            "storage",
            f"the decoder cannot be read ({error.strerror}): start again",
        ) from error
    return services.static.respond(
        stream, request.headers, forever=sha256 == file.sha256
    )


@router.post(
    "/images/{image}/embedding",
    response_model=EmbeddingState,
    responses={202: {"model": EmbeddingState}, **errors(404, 503)},
)
def ask_for_embedding(
    services: Wanted, image: ImageId, given: EmbeddingIn | None = None
) -> Response:
    """Has an image embedded; 200 when it is, 202 when it will be."""
    file, _ = services.gallery.usable(image)
    prefetch = given is not None and given.prefetch
    state = services.worker.request(file, prefetch=prefetch)
    return JSONResponse(state.model_dump(), 200 if state.state == "ready" else 202)


@router.get("/images/{image}/embedding/state", responses=errors(404))
def show_embedding_state(services: Wanted, image: ImageId) -> EmbeddingState:
    """How far the embedding of an image is."""
    file, _ = services.gallery.usable(image)
    return services.worker.state(file)


@router.get(
    "/images/{image}/embedding",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **errors(404, 409)},
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
def answer_prompts(
    services: Wanted, image: ImageId, given: PredictIn
) -> Predicted | PredictedMany:
    """Answers a prompt, or several under `prompts`, on an image that is embedded."""
    if given.prompts is not None and given.model_fields_set - {"prompts", "multimask"}:
        raise invalid(
            "got prompts beside a prompt, expected either: put it in the list"
        )
    file, _ = services.gallery.usable(image)
    embedding = services.worker.embedding(file)
    prompts = [given] if given.prompts is None else given.prompts
    # A click waits for other clicks only: long requests may compile something, too.
    is_click = given.prompts is None and given.mask is None
    turn = services.clicks if is_click else services.predicting
    answers = predict(services.predictor, embedding, prompts, given.multimask, turn)
    results = [Predicted.model_validate({"masks": masks}) for masks in answers]
    return results[0] if given.prompts is None else PredictedMany(results=results)


@router.post("/images/{image}/everything", status_code=202, responses=errors(404, 503))
def segment_everything(
    services: Wanted, image: ImageId, given: EverythingIn
) -> JobStarted:
    """Starts to look for everything in an image."""
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
    return JobStarted(job=services.worker.segment_everything(file, config).id)


@router.get("/jobs/{job}", responses=errors(404))
def show_job(services: Wanted, job: str) -> JobState:
    """How far a job is; its records once it is done."""
    found, seconds = services.worker.job(job)
    state = found.state
    return JobState(
        state=state,
        done=found.done,
        total=found.total,
        seconds=seconds,
        records=found.records if state == "done" else None,
        message=found.message,
    )


@router.delete("/jobs/{job}", status_code=204, responses=errors(404))
def cancel_job(services: Wanted, job: str) -> None:
    """Cancels a job; one that ended stays as it is."""
    services.worker.cancel(job)
