"""Time of a phrase in a text tower, and of a text prompt beside a click.

    python tools/benchmarks/text_prompts.py --json out.json

The tower is that of CLIP ViT-B/32 with random weights: from a phrase that was not asked for
before to its vector. Text prompts and click are of `small_text` on an embedding of noise, from
the prompt, in pixels of an 1800 x 1200 photo, to three boolean masks of that size; the
vectors of the texts are kept. Without samjax's comparison of the image with the text, a text
prompt is SAM's: a token. First calls, with compilation, are reported separately.
"""

import argparse
import dataclasses
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import peers

import samjax
from samjax.geometry.frame import Frame
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.texts import embed_text
from samjax.models import VIT_B
from samjax.models.clip import CLIP_VIT_B32
from samjax.models.params import PROMPT_ENCODER, TEXT_SIMILARITY
from samjax.models.text_sam import TextSam
from samjax.training.text.initial import with_text

SIZE = (1200, 1800)
TEXTS = ("a cup", "a spoon", "the car on the left", "a person")
NOUNS = ("mug", "wheel", "window", "shoe", "plate", "lamp", "leaf", "door", "sign")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    calls = {"phrase, CLIP ViT-B/32": phrase(), **prompts()}
    figures = peers.time_in_turn(calls, options.repeats)
    result = peers.report(figures, "click")
    # Of calls that follow each other: the load of the machine changes.
    clicks = np.array(figures["click"]["seconds"])
    for name in ("text prompt", "text prompt, token alone"):
        ratio = float(np.median(np.array(figures[name]["seconds"]) / clicks))
        print(f"{name} / click: {ratio:.2f}")
        result[f"ratio, {name}"] = round(ratio, 3)
    peers.write(result, options.json)


def phrase():
    """Returns a call that embeds a phrase of two to five words, another one each time."""
    model = TextSam(with_text(VIT_B, CLIP_VIT_B32))

    # Of the whole model the text tower alone.
    def draw(key):
        return model.init(key, jnp.zeros((1, 77), jnp.int32), method="embed_text")

    params = jax.jit(draw)(jax.random.key(0))["params"]
    words = itertools.cycle(itertools.permutations(NOUNS, 2))

    def call():
        first, second = next(words)
        return embed_text(model, params, f"a {first} by a {second}")

    return call


def prompts():
    """Returns calls that predict three masks for texts, and for a click."""
    model, params = samjax.load("small_text")
    assert isinstance(model, TextSam)
    predictor = samjax.Predictor(model, params)
    _, similarity = TEXT_SIMILARITY
    parts = params[PROMPT_ENCODER].items()
    encoder = {name: part for name, part in parts if name != similarity}
    plain = samjax.Predictor(
        TextSam(dataclasses.replace(model.config, text_similarity_width=0)),
        {**params, PROMPT_ENCODER: encoder},
    )
    side = model.config.grid_size
    noise = np.random.default_rng(0).standard_normal((side, side, 256), np.float32)
    frame = Frame.fit(SIZE, model.config.image_size)
    embedding = ImageEmbedding(jnp.asarray(noise), frame, predictor.fingerprint)
    texts = itertools.cycle(TEXTS)

    def text():
        return predictor.predict(embedding, samjax.Prompt(text=next(texts))).masks

    def token():
        return plain.predict(embedding, samjax.Prompt(text=next(texts))).masks

    def click():
        points = [[SIZE[1] / 3, SIZE[0] / 2]]
        return predictor.predict(embedding, samjax.Prompt(points=points)).masks

    return {"text prompt": text, "text prompt, token alone": token, "click": click}


if __name__ == "__main__":
    main()
