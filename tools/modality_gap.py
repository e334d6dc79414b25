"""Measures noise and mean shift against the gap between images and texts.

    python tools/modality_gap.py --seeds 2

SAM is trained with vectors of crops and prompted with vectors of texts. No weights of CLIP
are needed: a small dual encoder is trained on crops of drawn scenes and their captions
("the red cup"). Then the mask decoder of `tiny`, over its frozen image encoder, learns
from vectors of crops as in `samjax train` with text, once for each setting of `noise` and
`mean_masks` of `TextTraining`, and is prompted with captions of other scenes. Scenes,
crops, steps and the initial decoder are the same for all settings of a seed.
"""

from __future__ import annotations

import argparse
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import samjax
from samjax.data.captioned import draw_scene
from samjax.data.captioned.things import COLOURS, THINGS
from samjax.data.mask_crops import CropConfig, draw_crop
from samjax.geometry.frame import normalize
from samjax.models import NOT_A_POINT, PromptInputs
from samjax.models.clip import Clip, ClipConfig
from samjax.models.clip.crops import embed_crops, embed_phrases
from samjax.models.text_sam import TextSam
from samjax.text import WordTokenizer
from samjax.training.finetune.trainable import merge_params, split_params
from samjax.training.losses import LossConfig, mask_iou, prompt_loss
from samjax.training.text.initial import add_text_tower, with_text

SIDE = 128
"""Pixels of a scene."""
CELL = 2
"""Pixels of a scene on a side of a low-res logit."""
CROPS = CropConfig(side=48, patch=8)
VARIANTS = 4
PROMPTS = 4
"""Prompts of a scene in a step."""
SCENES = 4
"""Scenes of a step."""
HELD_OUT = 1_000_000
"""Seed of the first held-out scene."""
WORDS = ("the", *THINGS, *COLOURS)
CONTEXT = 8
CLIP = ClipConfig(
    image_size=48,
    patch_size=8,
    embed_dim=64,
    vision_width=96,
    vision_depth=3,
    vision_heads=3,
    vision_mlp_dim=192,
    text_width=64,
    text_depth=2,
    text_heads=2,
    text_mlp_dim=128,
    vocab_size=len(WORDS) + 4,
    context_length=CONTEXT,
    quick_gelu=False,
)
CLASSES = [f"the {colour} {thing}" for thing in THINGS for colour in COLOURS]
SETTINGS = [(shift, noise) for shift in (False, True) for noise in (0, 0.1, 0.2)]


class Things(NamedTuple):
    """Things of scenes that their colour and name tell apart.

    Attributes:
        images: "s h w 3".
        scene: "n", index of the image of each thing.
        masks: "n m m", at the size of the low-res logits.
        classes: "n", index of each in `CLASSES`.
        pixels: "n v s s 3", crops around each.
        inside: "n v g g", the patches of the crops that are in the mask.
    """

    images: np.ndarray
    scene: np.ndarray
    masks: np.ndarray
    classes: np.ndarray
    pixels: np.ndarray
    inside: np.ndarray


def main() -> None:
    """Trains the encoders and decoders, and prints a row for each setting."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--clip-steps", type=int, default=600)
    parser.add_argument("--steps", type=int, default=250)
    options = parser.parse_args()
    start = time.perf_counter()
    shown: dict[str, list[float]] = {}
    train = draw_things(0, options.scenes)
    test = draw_things(HELD_OUT, options.held_out)
    sam, sam_params = samjax.load("tiny")
    features = [embed_scenes(sam, sam_params, of.images) for of in (train, test)]
    print(f"{len(train.scene)} things, {len(test.scene)} held out, ", end="")
    print(f"{time.perf_counter() - start:.0f} s", flush=True)
    config = with_text(sam.config, CLIP)
    for seed in range(options.seeds):
        clip = train_clip(train, options.clip_steps, seed)
        params = add_text_tower(sam_params, clip, config, seed)
        texts = embed_classes(clip)
        crops, held_out = (embed_all(clip, of) for of in (train, test))
        for name, value in gap(held_out[:, 0], texts, test).items():
            shown.setdefault(name, []).append(value)
        for shift, noise in SETTINGS:
            moved = texts.mean(0) - crops.mean((0, 1)) if shift else 0
            vectors = noisy(crops + moved, noise, seed)
            tuned = train_decoder(
                config, params, train, features[0], vectors, options.steps, seed
            )
            found = measure(config, tuned, held_out[:, 0], texts, test, features[1])
            for kind, value in found.items():
                name = f"{'mean shift, ' if shift else ''}noise {noise}: {kind}"
                shown.setdefault(name, []).append(value)
            print(f"seed {seed}, {shift=}, {noise=}: ", end="")
            print(f"{found}, {time.perf_counter() - start:.0f} s", flush=True)
    report(shown)


def report(shown: dict[str, list[float]]) -> None:
    """Prints the mean of every value, and those of the seeds."""
    for name, values in shown.items():
        each = " ".join(f"{value:.3f}" for value in values)
        print(f"  {name:48} {np.mean(values):.3f}  ({each})", flush=True)


def draw_things(first: int, scenes: int) -> Things:
    """Draws scenes, and crops of the things in them that are told apart."""
    generator = np.random.default_rng(first)
    images, rows = [], []
    for index in range(scenes):
        scene = draw_scene(first + index, SIDE)
        images.append(scene.image)
        for thing in scene.objects:
            plain = [c for c in thing.captions if c.colour and not (c.size or c.place)]
            small = thing.mask.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL)
            small = small.mean((1, 3)) >= 0.5
            if thing.parent >= 0 or not plain or small.sum() < 12:
                continue
            crops = [
                draw_crop(generator, scene.image, thing.mask, CROPS)
                for _ in range(VARIANTS)
            ]
            rows.append(
                (
                    index,
                    small,
                    CLASSES.index(f"the {plain[0].colour} {plain[0].thing}"),
                    np.stack([crop.pixels for crop in crops]),
                    np.stack([crop.inside for crop in crops]),
                )
            )
    return Things(np.stack(images), *map(np.array, zip(*rows, strict=True)))


def embed_scenes(sam: Any, params: Any, images: np.ndarray) -> np.ndarray:
    """Returns the image embeddings of scenes, "s h w c"."""

    @jax.jit
    def embed(images):
        sizes = jnp.full((len(images), 2), SIDE)
        pixels = normalize(images, sizes)
        return sam.apply({"params": params}, pixels, method="encode_image")

    return np.concatenate([np.asarray(embed(image[None])) for image in images])


def embed_all(params: Any, things: Things) -> np.ndarray:
    """Returns the vectors of all crops, "n v e"."""
    flat = [
        leaf.reshape(-1, *leaf.shape[2:]) for leaf in (things.pixels, things.inside)
    ]
    vectors = []
    for start in range(0, len(flat[0]), 64):
        # Filled up, so that one program serves all.
        rows = np.arange(start, start + 64) % len(flat[0])
        part = (leaf[rows] for leaf in flat)
        vectors.append(np.asarray(embed_crops(params, *part, model=Clip(CLIP))))
    whole = np.concatenate(vectors)[: len(flat[0])]
    return whole.reshape(len(things.scene), VARIANTS, -1)


def embed_classes(params: Any) -> np.ndarray:
    """Returns the vectors of `CLASSES`."""
    return np.asarray(embed_phrases(params, tokens_of(CLASSES), model=Clip(CLIP)))


def gap(crops: np.ndarray, texts: np.ndarray, things: Things) -> dict[str, float]:
    """Measures the gap between images and texts of held-out things."""
    paired = texts[things.classes]
    right = (crops @ texts.T).argmax(1) == things.classes
    return {
        "captions of crops that are right": float(right.mean()),
        "distance of the means": float(np.linalg.norm(crops.mean(0) - paired.mean(0))),
        "mean cosine of pairs": float(np.sum(crops * paired, axis=1).mean()),
    }


def noisy(vectors: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Returns vectors as `TextSource` gives them, three draws of noise of each."""
    vectors = np.repeat(vectors, 3, axis=1)
    generator = np.random.default_rng(seed)
    vectors = vectors + noise * generator.standard_normal(vectors.shape)
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def train_clip(things: Things, steps: int, seed: int) -> Any:
    """Trains the dual encoder by the symmetric softmax loss of CLIP."""
    model, generator = Clip(CLIP), np.random.default_rng(seed)
    params = model.init(
        jax.random.key(seed), jnp.zeros((1, 48, 48, 3)), jnp.zeros((1, CONTEXT), int)
    )["params"]
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-3, steps), weight_decay=0.05)
    state, tokens = optimizer.init(params), tokens_of(CLASSES)

    @jax.jit
    def step(params, state, pixels, inside, tokens, same):
        def loss(params):
            images = embed_crops(params, pixels, inside, model=model)
            texts = embed_phrases(params, tokens, model=model)
            logits = jnp.exp(params["logit_scale"]) * images @ texts.T
            # A caption that occurs twice in a batch is right for both.
            right = same / same.sum(1, keepdims=True)
            rows = optax.softmax_cross_entropy(logits, right)
            return (rows + optax.softmax_cross_entropy(logits.T, right)).mean() / 2

        gradients = jax.grad(loss)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        rows = generator.integers(0, len(things.scene), 48)
        crops = generator.integers(0, VARIANTS, 48)
        classes = things.classes[rows]
        params, state = step(
            params,
            state,
            things.pixels[rows, crops],
            things.inside[rows, crops],
            tokens[classes],
            (classes[:, None] == classes[None]).astype(np.float32),
        )
    return params


def train_decoder(
    config: Any,
    params: Any,
    things: Things,
    features: np.ndarray,
    vectors: np.ndarray,
    steps: int,
    seed: int,
) -> Any:
    """Trains decoder and projection with vectors of crops; returns all parameters."""
    generator = np.random.default_rng(seed)
    trained, frozen = split_params(
        jax.tree.map(jnp.asarray, params), "decoder_and_prompts"
    )
    init, step = compiled(config)
    state = init(trained)
    by_scene = [np.flatnonzero(things.scene == i) for i in range(len(features))]
    scenes = [i for i, rows in enumerate(by_scene) if len(rows)]
    for number in range(steps):
        chosen = generator.choice(scenes, SCENES)
        rows = np.array([generator.choice(by_scene[i], PROMPTS) for i in chosen])
        drawn = generator.integers(0, vectors.shape[1], rows.shape)
        share = min(1, (number + 1) / 20) * (1 + np.cos(np.pi * number / steps)) / 2
        trained, state = step(
            trained,
            state,
            frozen,
            features[chosen],
            np.float32(vectors[rows, drawn]),
            things.masks[rows],
            np.float32(5e-4 * share),
        )
    return merge_params(trained, frozen)


@functools.cache
def compiled(config: Any):
    """Returns the initialization of the optimizer's state, and a step."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.inject_hyperparams(optax.adamw)(learning_rate=0.0, weight_decay=0.01),
    )

    @jax.jit
    def step(trained, state, frozen, features, vectors, masks, rate):
        state[1].hyperparams["learning_rate"] = rate

        def loss(trained):
            params = merge_params(trained, frozen)
            logits, scores = decode(config, params, features, vectors)
            inside = jnp.ones((len(masks), *masks.shape[2:]), bool)
            total = 0.0
            for candidates in ([True, False, False, False], [False, True, True, True]):
                allowed = jnp.array(candidates).reshape(1, 1, -1)
                losses = prompt_loss(
                    logits, scores, masks, inside, allowed, LossConfig()
                )
                total += jnp.mean(losses.total)
            return total

        updates, state = optimizer.update(jax.grad(loss)(trained), state, trained)
        return optax.apply_updates(trained, updates), state

    return optimizer.init, step


def decode(config: Any, params: Any, features: Any, vectors: Any) -> Any:
    """Predicts masks for vectors alone, "b p m h w", and their predicted IoUs."""
    sets = vectors.shape[:2]
    prompts = PromptInputs(
        jnp.zeros((*sets, 1, 2)),
        jnp.full((*sets, 1), NOT_A_POINT, jnp.int32),
        text=vectors,
    )
    tree = {"params": params}
    return TextSam(config).apply(tree, features, prompts, method="decode")


@functools.partial(jax.jit, static_argnames="config")
def ious_of(params, features, vectors, masks, config):
    """Returns the IoU of the single mask and of the best-ranked one of three."""
    logits, scores = decode(config, params, features[None], vectors[None, None])
    ious = mask_iou(logits > 0, masks[None, None, None])[0, 0]
    return jnp.stack([ious[0], ious[1 + jnp.argmax(scores[0, 0, 1:])]])


def measure(
    config: Any,
    params: Any,
    crops: np.ndarray,
    texts: np.ndarray,
    things: Things,
    features: np.ndarray,
) -> dict[str, float]:
    """Returns mean IoUs on held-out scenes for texts, wrong texts and crops."""
    found: dict[str, list[np.ndarray]] = {}
    for row, scene in enumerate(things.scene):
        others = things.classes[(things.scene == scene)]
        others = others[others != things.classes[row]]
        vectors = {"crop": crops[row], "text": texts[things.classes[row]]}
        if len(others):
            vectors["wrong text"] = texts[others[0]]
        for kind, vector in vectors.items():
            ious = ious_of(params, features[scene], vector, things.masks[row], config)
            found.setdefault(kind, []).append(np.asarray(ious))
    return {
        f"{kind}, {masks}": float(np.mean(ious, axis=0)[index])
        for kind, ious in found.items()
        for index, masks in enumerate(("single mask", "best-ranked"))
    }


def tokens_of(texts: list[str]) -> np.ndarray:
    """Returns the token ids of texts, rows of the context."""
    return WordTokenizer(words=WORDS, context_length=CONTEXT)(texts)


if __name__ == "__main__":
    main()
