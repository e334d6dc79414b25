"""Writes a decoder's files, once its predictions have been compared with the model's."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from samjax.export.decoder_graphs import write_pair, write_single
from samjax.export.files import FREE, Destination, NotTheModel, write_files
from samjax.export.image_graph import read_decoder
from samjax.export.onnx_graph import MADE_WITH, VERSIONS, Storage
from samjax.export.verify import (
    Agreement,
    Feeds,
    Prediction,
    agreement,
    draw_prompts,
    empty_inputs,
    predict,
)
from samjax.models.sam import Sam

Form = Literal["single", "pair"]

# With float32 weights, of mask logits over the root of their mean square, and of
# predicted IoUs.
LARGEST_ERROR = 1e-4
# With smaller weights: the mean IoU of masks with those of float32.
LEAST_IOU = {"float32": 0.999, "float16": 0.99, "int8": 0.9}


@dataclass(frozen=True, kw_only=True)
class ExportedDecoder:
    """The files of an exported decoder.

    Attributes:
        files: The graphs.
        report: The JSON file beside them, with sizes, hashes and agreement.
        agreement: How close its predictions are to the model's.
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
    takes_text: bool = False,
    about: dict[str, Any] | None = None,
    destination: Destination = FREE,
) -> ExportedDecoder:
    """Writes the mask decoder as ONNX.

    Args:
        model: The model.
        params: Its parameters.
        embeddings: Image embeddings "gh gw c" for comparing its predictions.
        out: The file; of a pair its name gets `.prepare` and `.prompt` before the
            suffix.
        form: `"single"` has the inputs and outputs of the reference's exported decoder,
            `"pair"` is a graph for an image and a faster one for a click.
        storage: How weights are stored; they are float32 when computing.
        best_mask: Whether the single graph returns one mask instead of all.
        takes_text: Whether the pair takes texts (`write_pair`).
        about: Further fields of the report, such as the model's name.
        destination: Which files may be replaced.

    Raises:
        WouldReplace: A file that is no export of samjax is in the way.
        NotTheModel: The graph's predictions differ from the model's.
        ValueError: `best_mask` with a pair, which returns all masks.
    """
    if best_mask and form == "pair":
        raise ValueError(
            "the pair returns all masks: choose among them by their scores"
        )
    decoder = read_decoder(model, params)
    if form == "pair":
        graphs = write_pair(decoder, storage, takes_text=takes_text)._asdict()
        names = {part: out.with_suffix(f".{part}{out.suffix}") for part in graphs}
    else:
        graphs = {"decoder": write_single(decoder, storage, best_mask=best_mask)}
        names = {"decoder": out}
    contents = {part: graph.SerializeToString() for part, graph in graphs.items()}
    measured = compare(contents, model, params, embeddings, best_mask=best_mask)
    check(measured, storage)
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
            "agreement": dataclasses.asdict(measured),
            **VERSIONS,
        },
        MADE_WITH,
        destination,
    )
    return ExportedDecoder(files=list(names.values()), report=path, agreement=measured)


def compare(
    contents: dict[str, bytes],
    model: Sam,
    params: Any,
    embeddings: Sequence[np.ndarray],
    *,
    best_mask: bool = False,
) -> Agreement:
    """Runs graphs in onnxruntime, and compares their predictions with the model's.

    Args:
        contents: The files' contents, `"decoder"` or `"prepare"` and `"prompt"`.
        model: The model.
        params: Its parameters.
        embeddings: Image embeddings "gh gw c".
        best_mask: Whether the graph returns one mask instead of all.
    """
    prompts = draw_prompts(model, embeddings)
    expected = predict(model, params, prompts)
    if best_mask:
        expected = [
            _best(prediction, feeds["point_labels"].shape[1])
            for prediction, feeds in zip(expected, prompts, strict=True)
        ]
    return agreement(_run(contents, prompts), expected)


def check(measured: Agreement, storage: Storage) -> None:
    """Checks that the predictions of a graph are the model's.

    Raises:
        NotTheModel: They are not.
    """
    largest = max(measured.logit_error, measured.score_error)
    # Written so that NaN fails.
    if storage == "float32" and not largest <= LARGEST_ERROR:
        raise NotTheModel(
            f"the exported decoder differs from the model by {largest:.2g}, expected at most"
            f" {LARGEST_ERROR:g}: nothing was written"
        )
    if not measured.mask_iou >= LEAST_IOU[storage]:
        raise NotTheModel(
            f"with weights stored as {storage}, masks have an IoU of"
            f" {measured.mask_iou:.3f} with the model's, expected at least"
            f" {LEAST_IOU[storage]:g}: nothing was written; store them as float32"
        )


def _run(contents: dict[str, bytes], prompts: Sequence[Feeds]) -> list[Prediction]:
    import onnxruntime

    sessions = {
        part: onnxruntime.InferenceSession(content)
        for part, content in contents.items()
    }
    results = ["low_res_masks", "iou_predictions"]
    predictions = []
    for feeds in prompts:
        if "decoder" in sessions:
            size = np.array([60, 80], np.float32)
            prompt = {**feeds, "orig_im_size": size}
            prediction: Any = sessions["decoder"].run(results, prompt)
        else:
            prompt = {k: v for k, v in feeds.items() if k.startswith("point")}
            image = {k: v for k, v in feeds.items() if k not in prompt}
            names = [output.name for output in sessions["prepare"].get_outputs()]
            # Without a text, where the graphs take texts.
            image = {**empty_inputs(sessions["prepare"]), **image}
            shared: Any = sessions["prepare"].run(names, image)
            prompt.update(zip(names, shared, strict=True))
            prompt = {**empty_inputs(sessions["prompt"]), **prompt}
            prediction = sessions["prompt"].run(results, prompt)
        predictions.append(tuple(prediction))
    return predictions


def _best(prediction: Prediction, points: int) -> Prediction:
    logits, scores = prediction
    # Two points are a single one and the padding point that a prompt without box has.
    best = 1 + int(np.argmax(scores[0, 1:])) if points <= 2 else 0
    return logits[:, best : best + 1], scores[:, best : best + 1]
