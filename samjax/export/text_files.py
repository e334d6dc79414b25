"""Writes a text tower's file, once its vectors have been compared with the model's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int

from samjax.export.files import FREE, Destination, NotTheModel, write_files
from samjax.export.onnx_graph import MADE_WITH, VERSIONS, Storage
from samjax.export.text_graph import write_text_tower
from samjax.models.sam import Sam
from samjax.models.text_sam import TextSam

# Largest difference of a vector of length 1, by storage.
LARGEST_ERROR = {"float32": 1e-4, "float16": 0.02, "int8": 0.2}


@dataclass(frozen=True, kw_only=True)
class ExportedText:
    """The files of an exported text tower.

    Attributes:
        file: The graph.
        report: The JSON file beside it: tokens, sizes, hashes and the error.
        error: The largest difference of a text's vector from the model's; vectors have
            length 1.
    """

    file: Path
    report: Path
    error: float


def export_text(
    model: Sam,
    params: Any,
    tokens: Int[np.ndarray, "n t"],
    vectors: Float[np.ndarray, "n e"],
    out: Path,
    *,
    storage: Storage = "float32",
    about: dict[str, Any] | None = None,
    destination: Destination = FREE,
) -> ExportedText:
    """Writes the text tower and the projection to a prompt token as ONNX.

    Args:
        model: A model with text.
        params: Its parameters.
        tokens: Token ids of some texts.
        vectors: The model's vectors of these texts, for comparison with the graph's.
        out: The file.
        storage: How weights are stored.
        about: Further fields of the report, such as the model's name.
        destination: Which files may be replaced.

    Raises:
        WouldReplace: A file that is no export of samjax is in the way.
        NotTheModel: The graph's vectors differ from the model's.
        ValueError: The model has no text.
    """
    if not model.has_text:
        raise ValueError(
            "got a model without a text tower, expected one with text, such as "
            "small_text"
        )
    tower = cast(TextSam, model)
    content = write_text_tower(tower, params, storage).SerializeToString()
    error = _difference(content, tokens, vectors)
    # Written so that NaN fails.
    if not error <= LARGEST_ERROR[storage]:
        raise NotTheModel(
            f"the exported tower's vectors differ from the model's by {error:.2g}, "
            f"expected at most {LARGEST_ERROR[storage]:g}: nothing was written"
        )
    config, report = tower.config, out.with_suffix(".json")
    write_files(
        {out: content},
        report,
        {
            **(about or {}),
            "storage": storage,
            "context_length": config.context_length,
            # A vocabulary of whole words is needed to make tokens of texts: word i is
            # i + 1, then come unknown, start and end.
            "words": list(config.words),
            "tokenizer": _name_tokenizer(config),
            "vector_error": error,
            **VERSIONS,
        },
        MADE_WITH,
        destination,
    )
    return ExportedText(file=out, report=report, error=error)


def _name_tokenizer(config: Any) -> str:
    if config.words:
        return "words"
    return "SigLIP's" if config.text_tower == "siglip" else "CLIP's byte pairs"


def _difference(
    content: bytes, tokens: np.ndarray, expected: Float[np.ndarray, "n e"]
) -> float:
    """Runs a graph in onnxruntime; returns the largest difference of its vectors."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    found: Any = session.run(["text"], {"tokens": tokens.astype(np.int64)})[0]
    return float(np.max(np.abs(found - expected)))
