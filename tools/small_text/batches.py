"""Batches of the first stage: images, and texts that are true of some of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from examples import Example
from phrases import caption_in_words, kinds_of, name_in_words, seen_words

from samjax.models.text_sam import TextSamConfig
from samjax.text import WordTokenizer

TEXTS = 64
"""Texts of a step."""
STRIDE = 2
"""Every how many cells of a row one is compared, from a random one on."""

ABSENT, SOMEWHERE, MASKED = 0, 1, 2


class Batch(NamedTuple):
    """Images and texts of a step.

    Attributes:
        features: "b h w c".
        origin: (x, y) of the first cell.
        inside: "b h w", cells that are not padding.
        tokens: "t l".
        kinds: "b t", whether a text is absent from an image, somewhere in it, or has a
            mask.
        weights: "b t" of each pair; 0 where nothing is known.
        covered: "b t h w", the mask of a pair.
    """

    features: np.ndarray
    origin: np.ndarray
    inside: np.ndarray
    tokens: np.ndarray
    kinds: np.ndarray
    weights: np.ndarray
    covered: np.ndarray


def draw_batch(
    examples: list[Example],
    config: TextSamConfig,
    generator: np.random.Generator,
    images: int,
) -> Batch:
    """Draws images, and texts that are true of some of them and absent from others."""
    tokenize = WordTokenizer(words=config.words, context_length=config.context_length)
    known = frozenset(config.words)
    chosen = _draw_images(examples, generator, images)
    names = [_names_of(example) for example in chosen]
    words = [seen_words(example.captions, known) for example in chosen]
    pairs = _true_pairs(chosen, words, generator, known)
    texts = list(pairs)
    generator.shuffle(texts)
    while len(texts) < TEXTS:
        # Names of other images: absent here, mostly.
        other = examples[generator.integers(len(examples))]
        texts += [text for text, _ in texts_with_masks(other, generator, known)[:3]]
    texts = texts[:TEXTS]
    grid = len(chosen[0].inside)
    ox, oy = generator.integers(STRIDE, size=2)
    side = len(range(0, grid, STRIDE))
    kinds = np.zeros((images, TEXTS), np.int32)
    weights = np.zeros((images, TEXTS), np.float32)
    covered = np.zeros((images, TEXTS, side, side), np.float32)
    for column, text in enumerate(texts):
        for index, example in enumerate(chosen):
            pair = pairs.get(text, {}).get(index)
            if pair is None:
                weights[index, column] = _absence(
                    text, example, names[index], words[index]
                )
                continue
            kinds[index, column] = pair[0]
            weights[index, column] = 1.0 if pair[0] == MASKED else 0.5
            if pair[1] is not None:
                covered[index, column] = pair[1][oy::STRIDE, ox::STRIDE]
    return Batch(
        np.stack([e.features[oy::STRIDE, ox::STRIDE] for e in chosen]),
        np.array([ox, oy], np.float32),
        np.stack([e.inside[oy::STRIDE, ox::STRIDE] for e in chosen]),
        tokenize(texts),
        kinds,
        weights,
        covered,
    )


def _draw_images(
    examples: list[Example], generator: np.random.Generator, count: int
) -> list[Example]:
    """Draws photos with masks, photos with captions alone, and scenes."""
    groups = [
        [e for e in examples if e.is_photo and e.targets],
        [e for e in examples if e.is_photo and not e.targets],
        [e for e in examples if not e.is_photo],
    ]
    shares = np.array([5, 4, 3]) * [bool(group) for group in groups]
    chosen = []
    for _ in range(count):
        group = groups[generator.choice(3, p=shares / shares.sum())]
        chosen.append(group[generator.integers(len(group))])
    return chosen


def _true_pairs(
    chosen: list[Example],
    words: list[list[str]],
    generator: np.random.Generator,
    known: frozenset[str],
) -> dict[str, dict[int, tuple[int, np.ndarray | None]]]:
    """Returns texts with the images that they are true of: how, and where."""
    pairs: dict[str, dict[int, tuple[int, np.ndarray | None]]] = {}
    for index, example in enumerate(chosen):
        for text, covered in texts_with_masks(example, generator, known):
            pairs.setdefault(text, {})[index] = (MASKED, covered)
        for word in generator.permutation(words[index])[:5]:
            pairs.setdefault(str(word), {}).setdefault(index, (SOMEWHERE, None))
    return pairs


def _names_of(example: Example) -> frozenset[str]:
    """Returns all words for the things in an image."""
    names = set()
    for target in example.targets:
        names |= {target.name, *kinds_of(target.name)}
        for caption in target.captions[:1]:
            names.add(caption.thing)
    return frozenset(names)


def texts_with_masks(
    example: Example, generator: np.random.Generator, known: frozenset[str]
) -> list[tuple[str, np.ndarray]]:
    """Returns a text for everything in an image that has a mask, with its cells."""
    texts = []
    for target in example.targets:
        if target.captions:
            # Short captions are most of what people type.
            last = min(len(target.captions), 1 + generator.geometric(0.45))
            caption = target.captions[generator.integers(last)]
            texts.append((caption_in_words(caption, generator), target.covered))
        else:
            words = name_in_words(
                target.name, generator, known if target.count > 1 else frozenset()
            )
            texts.append((words, target.covered))
    return texts


def _absence(
    text: str, example: Example, names: frozenset[str], words: list[str]
) -> float:
    """Returns how sure it is that a text is true of nothing in an image."""
    of_text = set(text.rstrip("s").split()) - {"a", "an", "the", "of"}
    if of_text & {word for name in names for word in name.split()}:
        return 0.0
    if of_text & set(words):
        return 0.0
    if not example.is_photo:
        return 1.0
    return 1.0 if example.is_complete else 0.5
