"""Embeddings of photos and drawn scenes, computed once and kept as files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from photos import Photo

import samjax
from samjax.data.captioned import draw_scene
from samjax.inference import read_image

HELD_OUT = 10_000
"""Seed of the first scene that is never trained on."""


def embed(
    folder: Path, predictor: samjax.Predictor, photos: list[Photo], scenes: int
) -> None:
    """Embeds what has no file yet, photos and scenes in turns: what is there can be used.

    Args:
        folder: Where the files are; a file `STOP` in it ends the work.
        predictor: The model.
        photos: Photos.
        scenes: Number of scenes to train on; a sixth as many are held out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start, done = time.perf_counter(), 0
    for name, source in _in_turns(photos, scenes):
        path = folder / f"{name}.npy"
        if path.exists():
            continue
        if (folder / "STOP").exists():
            return
        if isinstance(source, int):
            image = draw_scene(source, predictor.model.config.image_size).image
        else:
            image = read_image(source)
        features = np.asarray(predictor.embed(image).features, np.float16)
        hidden = folder / f"{name}.part.npy"
        np.save(hidden, features)
        os.replace(hidden, path)
        done += 1
        if done % 20 == 1:
            print(
                f"{done} {name}: {time.perf_counter() - start:.0f} s, "
                f"{time.process_time():.0f} CPU s",
                flush=True,
            )


def _in_turns(photos: list[Photo], scenes: int) -> Iterator[tuple[str, int | Path]]:
    """Yields names and sources: photos with masks, with captions, and scenes in turns."""
    with_masks = [photo for photo in photos if photo.named]
    with_captions = [photo for photo in photos if not photo.named and photo.captions]
    known = {id(photo) for photo in (*with_masks, *with_captions)}
    others = [photo for photo in photos if id(photo) not in known]
    seeds = [
        HELD_OUT + i // 7 if i % 7 == 6 else i - i // 7 for i in range(scenes * 7 // 6)
    ]
    queues: list[tuple[int, list[tuple[str, int | Path]]]] = [
        (1, [(photo.name, photo.path) for photo in others]),
        (5, [(photo.name, photo.path) for photo in with_masks]),
        (1, [(photo.name, photo.path) for photo in with_captions]),
        (2, [(f"scene_{seed}", seed) for seed in seeds]),
    ]
    while any(queue for _, queue in queues):
        for share, queue in queues:
            yield from queue[:share]
            del queue[:share]
