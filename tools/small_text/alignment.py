"""First stage: texts and the cells of image embeddings in one space.

A text tower over fixed vectors of words, and the comparison of `TextSimilarity`, learn
where a text is true: cell by cell for names and captions with masks, and somewhere in
the photo for the words of captions. There is no mask decoder, so a step takes a tenth of
a second, and all photos are seen many times.
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from batches import (
    ABSENT,
    MASKED,
    SOMEWHERE,
    STRIDE,
    Batch,
    draw_batch,
    texts_with_masks,
)
from examples import Example

from samjax.models.clip.text_tower import TextTower
from samjax.models.text_sam import TextSamConfig
from samjax.models.text_sam.model import normalize_vectors
from samjax.models.text_similarity import TextSimilarity
from samjax.text import WordTokenizer

NOISE = 0.15
"""Deviation of the noise on an embedding, in deviations of its channels."""


def tower_of(config: TextSamConfig) -> TextTower:
    """Returns the text tower of a model."""
    return TextTower(
        width=config.text_width,
        depth=config.text_depth,
        num_heads=config.text_heads,
        mlp_dim=config.text_mlp_dim,
        embed_dim=config.text_embed_dim,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        quick=config.quick_gelu,
    )


def similarity_of(config: TextSamConfig) -> TextSimilarity:
    """Returns the comparison of a model."""
    return TextSimilarity(
        config.text_similarity_width, config.text_embed_dim, config.prompt_embed_dim
    )


def initial_params(config: TextSamConfig, vectors: np.ndarray) -> dict[str, Any]:
    """Returns random parameters over given vectors of the words."""
    grid = config.grid_size
    text = tower_of(config).init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))
    cells = similarity_of(config).init(
        jax.random.key(1),
        jnp.zeros((1, grid, grid, config.prompt_embed_dim)),
        jnp.zeros((1, 1, config.text_embed_dim)),
        (grid, grid),
    )
    params = {"text": text["params"], "cells": cells["params"]}
    table = np.random.default_rng(0).standard_normal(
        (config.vocab_size, config.text_width), np.float32
    )
    table[1 : 1 + len(vectors)] = vectors
    params["text"]["token_embedding"]["embedding"] = jnp.asarray(table)
    return params


def loss_function(config: TextSamConfig):
    """Returns the loss of a batch."""
    tower: Any = tower_of(config)
    similarity: Any = similarity_of(config)
    frame = (config.grid_size // STRIDE, config.grid_size // STRIDE)

    def loss_of(params, batch: Batch, key):
        text = normalize_vectors(tower.apply({"params": params["text"]}, batch.tokens))
        a, b = jax.random.split(key)
        features = batch.features.astype(jnp.float32)
        # Noise against learning the few photos by heart.
        spread = jnp.std(features, axis=(1, 2), keepdims=True)
        features += NOISE * spread * jax.random.normal(a, features.shape)
        kept = (len(features), 1, 1, features.shape[-1])
        features *= jax.random.bernoulli(b, 0.9, kept)
        cells = similarity.apply(
            {"params": params["cells"]},
            features,
            frame,
            (batch.origin + 0.5) / STRIDE - 0.5,
            method="embed_cells",
        )
        # All images are compared with all texts.
        every = jnp.broadcast_to(text[None], (len(cells), *text.shape))
        logits = similarity.apply(
            {"params": params["cells"]}, cells, every, method="compare"
        )
        inside = batch.inside[:, None]

        def mean(values, where):
            total = jnp.sum(values * where, (2, 3))
            return total / jnp.maximum(jnp.sum(where, (2, 3)), 0.5)

        positive = mean(jax.nn.softplus(-logits), batch.covered)
        outside = mean(jax.nn.softplus(logits), (1 - batch.covered) * inside)
        best = _mean_of_best(logits, inside, 12)
        other = _mean_of_best(logits, inside & (batch.covered < 0.1), 8)
        masked = positive + 3 * outside + 0.3 * jax.nn.softplus(other)
        somewhere = jax.nn.softplus(-best) + 0.5 * outside
        absent = jax.nn.softplus(best) + outside
        each = jnp.select(
            [batch.kinds == MASKED, batch.kinds == SOMEWHERE],
            [masked, somewhere],
            absent,
        )
        balance = jnp.where(batch.kinds == ABSENT, 0.15, 1.0) * batch.weights
        dense = jnp.sum(each * balance) / jnp.sum(balance)
        # The mean cell of a mask belongs to its text and to no other of the batch.
        means = jnp.einsum("bhwe,bthw->bte", cells, batch.covered)
        scores = 12 * jnp.einsum("bte,ue->btu", normalize_vectors(means), text)
        mine = jnp.eye(len(text), dtype=bool)[None]
        against = (batch.kinds == ABSENT) & (batch.weights > 0)
        scores = jnp.where(mine | against[:, None], scores, -1e9)
        chosen = jnp.diagonal(jax.nn.log_softmax(scores, -1), axis1=1, axis2=2)
        is_masked = (batch.kinds == MASKED) & (jnp.sum(batch.covered, (2, 3)) > 0.5)
        contrast = -jnp.sum(chosen * is_masked) / jnp.maximum(jnp.sum(is_masked), 1)
        return dense + 0.3 * contrast, (dense, contrast)

    return loss_of


def _mean_of_best(logits, where, count: int):
    """Returns the mean of the highest logits of each map."""
    kept = jnp.where(where, logits, -1e3).reshape(*logits.shape[:2], -1)
    return jnp.mean(jax.lax.top_k(kept, min(count, kept.shape[-1]))[0], -1)


class Aligner:
    """The first stage, step by step.

    Args:
        config: The model.
        params: Of text tower and comparison; the vectors of words stay.
        examples: Images.
        images: Images of a step.

    Attributes:
        params: The parameters.
        state: The optimizer's state.
    """

    def __init__(
        self,
        config: TextSamConfig,
        params: dict[str, Any],
        examples: list[Example],
        images: int = 8,
    ):
        self._config, self._examples, self._images = config, examples, images
        optimizer = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.scale_by_adam(),
            optax.add_decayed_weights(0.05),
        )
        loss_of = loss_function(config)
        table = params["text"]["token_embedding"]["embedding"]
        self.params, self.state = params, optimizer.init(params)

        @jax.jit
        def step(params: Any, state, batch, key, rate):
            (_, parts), gradients = jax.value_and_grad(loss_of, has_aux=True)(
                params, batch, key
            )
            updates, state = optimizer.update(gradients, state, params)
            updates = jax.tree.map(lambda update: -rate * update, updates)
            params = optax.apply_updates(params, updates)
            params["text"]["token_embedding"]["embedding"] = table
            return params, state, jnp.stack(parts)

        self._step = step

    def advance(self, number: int, rate: float) -> np.ndarray:
        """Makes a step; returns its two losses.

        Args:
            number: Number of the step, which its images follow from.
            rate: Learning rate.
        """
        generator = np.random.default_rng((number, 2))
        batch = draw_batch(self._examples, self._config, generator, self._images)
        self.params, self.state, parts = self._step(
            self.params, self.state, batch, jax.random.key(number), jnp.float32(rate)
        )
        return np.asarray(parts)


def align(
    config: TextSamConfig,
    params: dict[str, Any],
    examples: list[Example],
    steps: int,
    *,
    rate: float = 1.5e-3,
) -> dict[str, Any]:
    """Trains text tower and comparison; the vectors of words stay."""
    aligner = Aligner(config, params, examples)
    schedule = optax.warmup_cosine_decay_schedule(0, rate, min(50, steps // 4), steps)
    shown, start = [], time.process_time()
    for number in range(steps):
        shown.append(aligner.advance(number, float(np.asarray(schedule(number)))))
        if number % 100 == 99 or number == steps - 1:
            dense, contrast = np.mean(shown[-100:], 0)
            spent = time.process_time() - start
            print(
                f"align {number + 1}: dense {dense:.3f}, contrast {contrast:.3f}, "
                f"{spent:.0f} CPU s",
                flush=True,
            )
    return aligner.params


def point_at(
    config: TextSamConfig, params: dict[str, Any], examples: list[Example]
) -> dict[str, float]:
    """Measures on images whether the best cell of a name lies on it.

    Returns:
        For photos and scenes the share of texts whose best cell is on a mask of theirs,
        the share of the image that those masks cover (chance), and the average
        precision of the cells.
    """
    generator = np.random.default_rng(5)
    tower: Any = tower_of(config)
    similarity: Any = similarity_of(config)
    tokenize = WordTokenizer(words=config.words, context_length=config.context_length)
    found: dict[str, list[float]] = {}
    for example in examples:
        kind = "photos" if example.is_photo else "scenes"
        texts = texts_with_masks(example, generator, frozenset())
        if not texts:
            continue
        tokens = jnp.asarray(tokenize([text for text, _ in texts]))
        text = normalize_vectors(tower.apply({"params": params["text"]}, tokens))
        grid = (config.grid_size, config.grid_size)
        variables = {"params": params["cells"]}
        features = jnp.asarray(example.features, jnp.float32)[None]
        cells = similarity.apply(variables, features, grid, method="embed_cells")
        logits = similarity.apply(variables, cells, text[None], method="compare")
        for (_, covered), values in zip(texts, np.asarray(logits)[0], strict=True):
            on, seen = covered[example.inside] > 0.3, values[example.inside]
            if on.any():
                order = on[np.argsort(-seen)]
                precision = np.cumsum(order) / np.arange(1, len(order) + 1)
                found.setdefault(f"{kind} pointing", []).append(float(order[0]))
                found.setdefault(f"{kind} chance", []).append(float(on.mean()))
                found.setdefault(f"{kind} AP", []).append(
                    float(precision[order].mean())
                )
    return {name: float(np.mean(values)) for name, values in found.items()}
