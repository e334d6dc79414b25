"""Second stage: the mask decoder learns to draw what a text names.

The decoder of the base model goes on, over the comparison of the first stage: its
transformer, tokens and heads, the token of a text and the dense embedding of the map.
Upscaling, whose edges are good, stays that of the base. The first stage goes on beside it,
some steps for each of the decoder's, which take twenty times as long. All of it resumes
from a file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from alignment import Aligner
from examples import CELL, Example, Target
from flax.traverse_util import flatten_dict, unflatten_dict
from phrases import SYNONYMS, caption_in_words, kinds_of, name_in_words

from samjax.models import FOREGROUND, NOT_A_POINT, PromptInputs
from samjax.models.params import (
    TEXT_DECODING,
    TEXT_ENCODER,
    TEXT_SIMILARITY,
    join,
    value_at,
)
from samjax.models.prompt_encoder import ABSENT
from samjax.models.text_sam import TextSam, TextSamConfig
from samjax.text import WordTokenizer
from samjax.training.losses import LossConfig, prompt_loss

ALIGNMENT_STEPS = 4
"""Steps of the first stage for one of the decoder."""
ALIGNMENT_RATE = 7e-4
CLICKS = 0.2
"""Share of prompts with a click on the thing beside the text."""
NOISE = 0.2
"""Deviation of the noise on an embedding, in deviations of its channels."""
ABSENT_TEXTS = 0.08
"""Share of prompts whose text names nothing in the image: its mask is empty."""


class Prompts(NamedTuple):
    """Images and prompts of a step, with their masks.

    Attributes:
        features: "b h w c".
        tokens: "b p l".
        points: "b p 2 2".
        labels: "b p 2".
        targets: "b p m m".
        inside: "b m m".
        empty: "b p", whether the text names nothing.
    """

    features: np.ndarray
    tokens: np.ndarray
    points: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    inside: np.ndarray
    empty: np.ndarray


def text_of(target: Target, generator: np.random.Generator) -> str:
    """Returns a text of a thing; short ones are most of what people type."""
    if not target.captions:
        return name_in_words(target.name, generator)
    last = min(len(target.captions), 1 + generator.geometric(0.4))
    return caption_in_words(target.captions[generator.integers(last)], generator)


def draw_prompts(
    examples: list[Example],
    config: TextSamConfig,
    generator: np.random.Generator,
    images: int,
    each: int,
) -> Prompts:
    """Draws images, photos and scenes in equal parts, and prompts for things in them."""
    tokenize = WordTokenizer(words=config.words, context_length=config.context_length)
    photos = [e for e in examples if e.is_photo and e.targets]
    scenes = [e for e in examples if not e.is_photo and e.targets]
    chosen = []
    for _ in range(images):
        group = photos if photos and generator.uniform() < 0.6 else scenes or photos
        chosen.append(group[generator.integers(len(group))])
    texts: list[str] = []
    low = CELL * config.grid_size
    points = np.zeros((images, each, 2, 2), np.float32)
    labels = np.full((images, each, 2), NOT_A_POINT, np.int32)
    labels[..., 1] = ABSENT
    targets = np.zeros((images, each, low, low), bool)
    empty = np.zeros((images, each), bool)
    for row, example in enumerate(chosen):
        for column in range(each):
            target = example.targets[generator.integers(len(example.targets))]
            other = _absent_name(example, photos, generator)
            if other is not None and generator.uniform() < ABSENT_TEXTS:
                texts.append(name_in_words(other, generator))
                empty[row, column] = True
                continue
            texts.append(text_of(target, generator))
            targets[row, column] = target.largest
            if generator.uniform() < CLICKS:
                places = np.argwhere(target.largest)
                y, x = places[generator.integers(len(places))]
                scale = config.image_size / low
                points[row, column, 0] = (np.array([x, y]) + 0.5) * scale - 0.5
                labels[row, column] = FOREGROUND, NOT_A_POINT
    inside = np.stack([e.inside for e in chosen]).repeat(CELL, 1).repeat(CELL, 2)
    return Prompts(
        np.stack([e.features for e in chosen]),
        tokenize(texts).reshape(images, each, -1),
        points,
        labels,
        targets,
        inside,
        empty,
    )


def _absent_name(
    example: Example, photos: list[Example], generator: np.random.Generator
) -> str | None:
    """Returns a name that is known to be absent from a photo."""
    if not example.is_complete or not example.is_photo:
        return None
    name = str(generator.choice(list(SYNONYMS)))
    here = {word for target in example.targets for word in target.name.split()}
    here |= {kind for target in example.targets for kind in kinds_of(target.name)}
    written = " ".join(example.captions).lower()
    if here & set(name.split()) or name in written:
        return None
    return name


def loss_function(config: TextSamConfig, frozen: dict[str, Any]):
    """Returns the loss of a batch: the single mask, and the best of the three."""
    model: Any = TextSam(config)
    losses = LossConfig()

    def loss_of(trained, aligned, batch: Any, key):
        tree = {"params": _whole(frozen, aligned, trained)}
        rows = batch.tokens.reshape(-1, batch.tokens.shape[-1])
        vectors = model.apply(tree, rows, method="embed_text")
        vectors = jnp.asarray(vectors).reshape(*batch.tokens.shape[:2], -1)
        prompts = PromptInputs(batch.points, batch.labels, text=vectors)
        # Noise against maps that are surer on these photos than on others.
        features = batch.features.astype(jnp.float32)
        spread = NOISE * jnp.std(features, axis=(1, 2), keepdims=True)
        features += spread * jax.random.normal(key, features.shape)
        logits, scores = model.apply(tree, features, prompts, method="decode")
        total, ious = 0.0, []
        # An empty mask has no overlap to gain: its loss is a tenth.
        weights = jnp.where(batch.empty, 0.1, 1.0)
        for candidates in ([True, False, False, False], [False, True, True, True]):
            chosen = jnp.array(candidates).reshape(1, 1, -1)
            loss = prompt_loss(
                logits, scores, batch.targets, batch.inside, chosen, losses
            )
            total += jnp.mean(loss.total * weights + loss.iou_error)
            ious.append(jnp.sum(loss.iou * ~batch.empty) / jnp.sum(~batch.empty))
        return total, jnp.stack(ious)

    return loss_of


def _whole(
    frozen: dict[str, Any], aligned: dict[str, Any], trained: dict[str, Any]
) -> dict[str, Any]:
    """Returns the tree of all parameters."""
    parts = {
        **{f"{TEXT_ENCODER}/{k}": v for k, v in flatten(aligned["text"]).items()},
        **{f"{_SIMILARITY}/{k}": v for k, v in flatten(aligned["cells"]).items()},
    }
    # The first stage does not train the map's network.
    return unflatten_dict({**frozen, **parts, **trained}, sep="/")


def flatten(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by their joined paths."""
    return flatten_dict(tree, sep="/")


_SIMILARITY = join(TEXT_SIMILARITY)


def decode(
    config: TextSamConfig,
    params: dict[str, Any],
    examples: list[Example],
    steps: int,
    kept: Path,
    *,
    images: int = 4,
    each: int = 4,
    rate: float = 3e-4,
    until: float | None = None,
) -> dict[str, Any]:
    """Trains; saves its state now and then, and goes on from it.

    Args:
        config: The model.
        params: Its parameters without the image encoder, after the first stage.
        examples: Images.
        steps: Steps in all.
        kept: File of the state.
        images: Images of a step.
        each: Prompts of an image.
        rate: Learning rate.
        until: Seconds after which it stops, wherever it is; the schedule then follows
            the time.
    """
    flat = flatten(params)
    trained = {
        k: jnp.asarray(v) for k, v in flat.items() if k.startswith(TEXT_DECODING)
    }
    cells = value_at(params, TEXT_SIMILARITY)
    aligned = {"text": params[TEXT_ENCODER], "cells": cells}
    aligner = Aligner(config, jax.tree.map(jnp.asarray, aligned), examples)
    parts = (TEXT_ENCODER, _SIMILARITY)
    frozen = {
        k: jnp.asarray(v)
        for k, v in flat.items()
        if k not in trained and not k.startswith(parts)
    }
    init, step = _compiled(config, frozen)
    tree = (trained, init(trained), aligner.params, aligner.state)
    first, spent, tree = _read(kept, tree)
    trained, state, aligner.params, aligner.state = tree
    shown, start = [], time.perf_counter()
    for number in range(first, steps):
        passed = spent + time.perf_counter() - start
        done = number / steps if until is None else max(number / steps, passed / until)
        if done >= 1:
            break
        generator = np.random.default_rng((number, 1))
        batch = draw_prompts(examples, config, generator, images, each)
        share = _share(number, done)
        for further in range(ALIGNMENT_STEPS * number, ALIGNMENT_STEPS * (number + 1)):
            aligner.advance(further, ALIGNMENT_RATE * share)
        now, key = jnp.float32(rate * share), jax.random.key(number)
        trained, state, loss, ious = step(
            trained, state, aligner.params, batch, now, key
        )
        shown.append((float(loss), *map(float, ious)))
        if number % 10 == 9 or number == steps - 1:
            values = " ".join(f"{value:.3f}" for value in np.mean(shown[-40:], 0))
            passed = spent + time.perf_counter() - start
            print(f"decode {number + 1}: {values}, {passed:.0f} s", flush=True)
            tree = (trained, state, aligner.params, aligner.state)
            _keep(kept, number + 1, passed, tree)
    return _whole(frozen, aligner.params, trained)


def _compiled(config: TextSamConfig, frozen: dict[str, Any]):
    """Returns the initialization of the optimizer's state, and a step."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.inject_hyperparams(optax.adamw)(learning_rate=0.0, weight_decay=0.01),
    )
    loss_of = loss_function(config, frozen)

    @jax.jit
    def step(trained, state, aligned, batch, rate, key):
        state[1].hyperparams["learning_rate"] = rate
        (loss, ious), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            trained, aligned, batch, key
        )
        updates, state = optimizer.update(gradients, state, trained)
        return optax.apply_updates(trained, updates), state, loss, ious

    return optimizer.init, step


def _share(number: int, done: float) -> float:
    """Returns the share of the learning rate: a warm-up, and half a cosine."""
    return min(1.0, (number + 1) / 20) * (0.03 + 0.97 * (1 + np.cos(np.pi * done)) / 2)


def _read(path: Path, tree: Any) -> tuple[int, float, Any]:
    """Returns the steps and seconds of before, and the state after them."""
    if not path.is_file():
        return 0, 0.0, tree
    with np.load(path) as file:
        leaves = [file[f"leaf_{i}"] for i in range(len(file.files) - 2)]
        whole = jax.tree.unflatten(jax.tree.structure(tree), leaves)
        return int(file["step"]), float(file["seconds"]), whole


def _keep(path: Path, step: int, seconds: float, tree: Any) -> None:
    leaves = jax.tree.leaves(tree)
    arrays: dict[str, Any] = {
        f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)
    }
    hidden = path.with_suffix(".part.npz")
    np.savez(hidden, step=step, seconds=seconds, **arrays)
    os.replace(hidden, path)
