"""Mean IoU of texts on named things, against another name and no text."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from decoding import text_of
from examples import Example

import samjax
from samjax.models import NOT_A_POINT, PromptInputs
from samjax.models.prompt_encoder import ABSENT


def measure(predictor: samjax.Predictor, examples: list[Example]) -> str:
    """Returns a table of the scores of the best-ranked of three masks.

    A thing counts where there is one of its name in the image. `wrong` is the text of
    another thing of the image, `none` no text.
    """
    generator = np.random.default_rng(3)
    scores: dict[tuple[str, str], list[float]] = {}
    for example in examples:
        alone = [t for t in example.targets if t.count == 1 or t.captions]
        for target in alone:
            others = [t for t in example.targets if t.name != target.name]
            if not others:
                continue
            other = others[generator.integers(len(others))]
            texts = [text_of(target, generator), text_of(other, generator)]
            kind = "photos" if example.is_photo else "scenes"
            for name, value in zip(
                ("text", "wrong", "none"),
                _ious(predictor, example, target.largest, texts),
                strict=True,
            ):
                scores.setdefault((kind, name), []).append(value)
    return "\n".join(
        f"{kind} {name}: {np.mean(values):.3f} of {len(values)}"
        for (kind, name), values in scores.items()
    )


def _ious(
    predictor: samjax.Predictor, example: Example, mask: np.ndarray, texts: list[str]
) -> list[float]:
    """Returns the IoU of each text's best-ranked mask, and of that without a text."""
    vectors = np.stack([predictor.embed_text(text) for text in texts])
    points = np.zeros((1, 3, 1, 2), np.float32)
    labels = np.full((1, 3, 1), NOT_A_POINT, np.int32)
    features = jnp.asarray(example.features, jnp.float32)[None]
    tree = {"params": predictor.params}
    labels_of_none = np.full((1, 1, 1), ABSENT, np.int32)
    with_text = predictor.model.apply(
        tree,
        features,
        PromptInputs(points[:, :2], labels[:, :2], text=vectors[None]),
        method="decode",
    )
    without = predictor.model.apply(
        tree, features, PromptInputs(points[:, :1], labels_of_none), method="decode"
    )
    inside = example.inside.repeat(4, 0).repeat(4, 1)
    ious = []
    for prediction in (with_text, without):
        logits, ranks = (np.asarray(array)[0] for array in prediction)
        for masks, rank in zip(logits, ranks, strict=True):
            seen = (masks[1 + np.argmax(rank[1:])] > 0) & inside
            union = (seen | mask).sum()
            ious.append(float((seen & mask).sum() / max(union, 1)))
    return ious
