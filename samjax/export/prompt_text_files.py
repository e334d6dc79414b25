"""Writes the graph of text prompts of an exported decoder, once it has been compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from samjax.export.files import NotTheModel
from samjax.export.onnx_graph import Storage
from samjax.export.prompt_text_graph import write_prompt_text
from samjax.export.verify import Agreement, agreement, decode, empty_inputs
from samjax.models.prompt_encoder import NOT_A_POINT, PromptInputs
from samjax.models.sam import Sam
from samjax.models.text_sam import TextSam

LEAST_IOU = 0.8
"""Least mean IoU of masks of texts with the model's. Masks of texts that are not in the
photo are unsure, and differ most."""


def export_prompt_text(
    model: Sam,
    params: Any,
    tokens: Int[np.ndarray, "n t"],
    vectors: Float[np.ndarray, "n e"],
    features: Float[np.ndarray, "gh gw c"],
    pair: dict[str, bytes],
    out: Path,
    *,
    storage: Storage = "int8",
) -> Agreement:
    """Writes the graph that makes a prompt of a text, for a decoder that is there.

    Args:
        model: A model with text.
        params: Its parameters.
        tokens: Token ids of some texts, for the comparison.
        vectors: The model's vectors of these texts.
        features: Embedding of a photo.
        pair: The decoder's graphs `prepare` and `prompt`, which take texts.
        out: The file.
        storage: How weights are stored.

    Returns:
        The agreement of the masks of all texts with the model's.

    Raises:
        NotTheModel: The masks of the texts differ from the model's.
        OSError: It cannot be written.
    """
    content = write_prompt_text(cast(TextSam, model), params, storage)
    graphs = {**pair, "text": content.SerializeToString()}
    expected = [_predict(model, params, features, vector) for vector in vectors]
    measured = agreement(_run(graphs, tokens, features), expected)
    # Written so that NaN fails.
    if not measured.mask_iou >= LEAST_IOU:
        raise NotTheModel(
            f"masks of texts by the exported graphs have an IoU of {measured.mask_iou:.3f} "
            f"with the model's, expected at least {LEAST_IOU:g}: nothing was written"
        )
    out.write_bytes(graphs["text"])
    return measured


def _predict(
    model: Sam, params: Any, features: np.ndarray, vector: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits and scores of a text alone, by the model."""
    prompt = PromptInputs(
        jnp.zeros((1, 1, 1, 2)),
        jnp.full((1, 1, 1), NOT_A_POINT, jnp.int32),
        text=jnp.asarray(vector, jnp.float32)[None, None],
    )
    found = decode(params, jnp.asarray(features)[None], prompt, model=model)
    return np.asarray(found.low_res_logits[0]), np.asarray(found.iou_predictions[0])


def _run(
    graphs: dict[str, bytes], tokens: np.ndarray, features: np.ndarray
) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Returns the same by the graphs."""
    import onnxruntime

    sessions = {
        name: onnxruntime.InferenceSession(content) for name, content in graphs.items()
    }
    image = np.ascontiguousarray(features.transpose(2, 0, 1)[None], np.float32)
    found = []
    for row in tokens:
        feeds: dict[str, Any] = {
            "tokens": row[None].astype(np.int64),
            "image_embeddings": image,
            "point_coords": np.zeros((1, 1, 2), np.float32),
            "point_labels": np.full((1, 1), NOT_A_POINT, np.float32),
        }
        for part in ("text", "prepare", "prompt"):
            session = sessions[part]
            feeds |= {
                name: value
                for name, value in empty_inputs(session).items()
                if name not in feeds
            }
            names = [output.name for output in session.get_outputs()]
            wanted = {of.name: feeds[of.name] for of in session.get_inputs()}
            feeds |= dict(zip(names, session.run(names, wanted), strict=True))
        found.append((feeds["low_res_masks"], feeds["iou_predictions"]))
    return found
