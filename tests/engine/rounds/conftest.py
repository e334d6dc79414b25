"""A small project: drawn images with masks of people, a queue, and a small model."""

import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samjax import checkpoints
from samjax.engine.annotations import AnnotationStore, encoded_mask
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.project_folder import find_project
from samjax.geometry.masks import encode_rle

SIZE = (48, 64)
ANNOTATED, OPEN = 12, 2


def draw(number: int):
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 100, (*SIZE, 3), np.uint8)
    masks = []
    for left in (2, 34):
        mask = np.zeros(SIZE, bool)
        top = rng.integers(2, 20)
        mask[top : top + 22, left : left + 26] = True
        pixels[mask] += 120
        masks.append(mask)
    return pixels, masks


def fields(**more):
    return {
        "label": "",
        "prompts": {"points": [[3, 4]], "labels": [1]},
        "score": 0.9,
        "stability_score": None,
        "source": "click",
        "edited": False,
        "level": None,
        "order": None,
        "seconds": 9.0,
        "active_seconds": 8.0,
        "clicks": 3,
        "author": "Ada",
        "round": 1,
        **more,
    }


def add_mask(store, name, mask, **more):
    counts = encode_rle(mask)["counts"]
    own = uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {counts} {sorted(more)}")
    return store.add(name, str(own), encoded_mask(counts, SIZE), fields(**more))[0]


def make_project(folder: Path):
    (folder / "images").mkdir(parents=True)
    (folder / ".samjax").mkdir()
    store = AnnotationStore(folder / ".samjax" / "annotations.sqlite3")
    queue = TaskQueue(store.database)
    names = [f"image-{number:02d}.png" for number in range(ANNOTATED + OPEN)]
    queue.add(names, seed=None)
    for number, name in enumerate(names):
        pixels, masks = draw(number)
        Image.fromarray(pixels).save(folder / "images" / name)
        if number < ANNOTATED:
            for mask in masks:
                add_mask(store, name, mask)
            task = queue.claim("Ada")
            queue.finish(task.id, "Ada")
    store.close()
    return find_project(folder)


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def weights(tiny_model, tmp_path_factory) -> Path:
    model, params = tiny_model
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoints.save(path, model.config, params)
    return path
