"""Writes a decoder's files, once it has been run and found to be the model."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from samjax.export.decoder_graphs import write_pair, write_single
from samjax.export.files import FREE, NotTheModel, Place, write_files
from samjax.export.image_graph import read_decoder
from samjax.export.onnx_graph import MADE_WITH, VERSIONS, Storage
from samjax.export.verify import (
    Agreement,
    Answer,
    Feeds,
    agreement,
    answers_of_model,
    draw_questions,
)
from samjax.models.sam import Sam

Form = Literal["single", "pair"]

# Of float32 weights: of logits over the root of their mean square, and of scores.
LARGEST_ERROR = 1e-4
# Of weights that are stored smaller: the mean IoU of masks with those of float32.
LEAST_IOU = {"float32": 0.999, "float16": 0.99, "int8": 0.9}


@dataclass(frozen=True, kw_only=True)
class ExportedDecoder:
    """What was written.

    Attributes:
        files: The graphs.
        report: The file beside them that says what was found of them.
        agreement: With the model.
    """

    files: list[Path]
    report: Path
    agreement: Agreement


def export_decoder(
    model: Sam,
    params: Any,
    embeddings: Sequence[np.ndarray],
    out: Path,
    *,
    form: Form = "single",
    storage: Storage = "float32",
    best_mask: bool = False,
    about: dict[str, Any] | None = None,
    place: Place = FREE,
) -> ExportedDecoder:
    """Writes the mask decoder as ONNX.

    Args:
        model: The model.
        params: Its parameters.
        embeddings: Image embeddings "gh gw c", over which it is compared.
        out: The file; of a pair its name gets `.prepare` and `.prompt` before the
            suffix.
        form: `"single"` has the inputs and outputs of the reference's exported decoder,
            `"pair"` is a graph for an image and a faster one for a click.
        storage: How weights are stored. What is computed is float32.
        best_mask: Whether the single graph returns one mask instead of all.
        about: What else the report is to say, such as the model's name.
        place: What may be replaced.

    Raises:
        WouldReplace: Something else is where a file goes.
        NotTheModel: The graph does not answer as the model does.
        ValueError: The pair cannot choose a mask.
    """
    if best_mask and form == "pair":
        raise ValueError(
            "the pair returns all masks: choose among them by their scores"
        )
    decoder = read_decoder(model, params)
    if form == "pair":
        graphs = write_pair(decoder, storage)._asdict()
        names = {part: out.with_suffix(f".{part}{out.suffix}") for part in graphs}
    else:
        graphs = {"decoder": write_single(decoder, storage, best_mask=best_mask)}
        names = {"decoder": out}
    contents = {part: graph.SerializeToString() for part, graph in graphs.items()}
    found = compare(contents, model, params, embeddings, best_mask=best_mask)
    check(found, storage)
    path = out.with_suffix(".json")
    write_files(
        {names[part]: content for part, content in contents.items()},
        path,
        {
            **(about or {}),
            "form": form,
            "storage": storage,
            "image_size": model.config.image_size,
            "best_mask": best_mask,
            "agreement": dataclasses.asdict(found),
            **VERSIONS,
        },
        MADE_WITH,
        place,
    )
    return ExportedDecoder(files=list(names.values()), report=path, agreement=found)


def compare(
    contents: dict[str, bytes],
    model: Sam,
    params: Any,
    embeddings: Sequence[np.ndarray],
    *,
    best_mask: bool = False,
) -> Agreement:
    """Runs graphs in onnxruntime, and compares what they answer with the model.

    Args:
        contents: The files' contents, `"decoder"` or `"prepare"` and `"prompt"`.
        model: The model.
        params: Its parameters.
        embeddings: Image embeddings "gh gw c".
        best_mask: Whether the graph returns one mask instead of all.
    """
    questions = draw_questions(model, embeddings)
    wanted = answers_of_model(model, params, questions)
    if best_mask:
        wanted = [
            _best(answer, feeds["point_labels"].shape[1])
            for answer, feeds in zip(wanted, questions, strict=True)
        ]
    return agreement(_run(contents, questions), wanted)


def check(found: Agreement, storage: Storage) -> None:
    """Checks that a graph is the model.

    Raises:
        NotTheModel: It is not.
    """
    largest = max(found.logit_error, found.score_error)
    # Not a number is no agreement either.
    if storage == "float32" and not largest <= LARGEST_ERROR:
        raise NotTheModel(
            f"what was made differs from the model by {largest:.2g}, expected at most"
            f" {LARGEST_ERROR:g}: nothing was written"
        )
    if not found.mask_iou >= LEAST_IOU[storage]:
        raise NotTheModel(
            f"with weights stored as {storage}, masks have an IoU of"
            f" {found.mask_iou:.3f} with the model's, expected at least"
            f" {LEAST_IOU[storage]:g}: nothing was written; store them as float32"
        )


def _run(contents: dict[str, bytes], questions: Sequence[Feeds]) -> list[Answer]:
    import onnxruntime

    sessions = {
        part: onnxruntime.InferenceSession(content)
        for part, content in contents.items()
    }
    results = ["low_res_masks", "iou_predictions"]
    found = []
    for feeds in questions:
        if "decoder" in sessions:
            size = np.array([60, 80], np.float32)
            given = {**feeds, "orig_im_size": size}
            answer: Any = sessions["decoder"].run(results, given)
        else:
            prompt = {k: v for k, v in feeds.items() if k.startswith("point")}
            image = {k: v for k, v in feeds.items() if k not in prompt}
            names = [output.name for output in sessions["prepare"].get_outputs()]
            shared: Any = sessions["prepare"].run(names, image)
            prompt.update(zip(names, shared, strict=True))
            answer = sessions["prompt"].run(results, prompt)
        found.append(tuple(answer))
    return found


def _best(answer: Answer, points: int) -> Answer:
    logits, scores = answer
    # Two points are a lone one, and the one that stands for no box.
    best = 1 + int(np.argmax(scores[0, 1:])) if points <= 2 else 0
    return logits[:, best : best + 1], scores[:, best : best + 1]
