"""Sets of small drawn photos with masks, and segmenters that read the truth off colours."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.mask_iou import MaskIou
from samjax.evaluation.metrics.number_of_clicks import NumberOfClicks
from samjax.evaluation.policies.policy import Round, Session
from samjax.evaluation.segmenter import FixedMasks, Prediction
from samjax.evaluation.suite import Suite, measure
from samjax.geometry.masks import encode_rle

SIZE = (60, 80)
COLORS = ((220, 40, 40), (40, 200, 60), (50, 60, 220), (210, 200, 40), (200, 50, 200))
GROUND = (90, 90, 90)
CATEGORIES = ({"id": 1, "name": "thing"}, {"id": 2, "name": "ignore"})


def square(top: int, left: int, side: int, size=SIZE) -> np.ndarray:
    """A mask of a square."""
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


TWO = (square(5, 5, 22), square(30, 45, 25))


def draw(masks: Sequence[np.ndarray], size=SIZE) -> np.ndarray:
    """A photo on which every object has a colour of its own."""
    pixels = np.full((*size, 3), GROUND, np.uint8)
    for mask, color in zip(masks, COLORS, strict=False):
        pixels[mask] = color
    return pixels


def write_set(
    folder: Path,
    photos: Sequence[Sequence[np.ndarray]] = (TWO, TWO),
    *,
    ignored: Sequence[np.ndarray | None] = (),
    change: Callable[[dict], None] = lambda content: None,
) -> Path:
    """Writes a set of photos.

    Args:
        folder: Where to.
        photos: The objects of each.
        ignored: The region of each photo that no score counts.
        change: Is called with the content of the JSON file before it is written.
    """
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []

    def annotate(mask, image, **fields):
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image,
                "segmentation": encode_rle(mask),
                "category_id": 1,
                "iscrowd": 0,
            }
            | fields
        )

    for number, masks in enumerate(photos):
        name = f"images/{number:03d}.png"
        Image.fromarray(draw(masks)).save(folder / name)
        images.append(
            {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        )
        for mask in masks:
            annotate(mask, number)
        if number < len(ignored) and ignored[number] is not None:
            annotate(ignored[number], number, category_id=2, iscrowd=1)
    content = {
        "images": images,
        "annotations": annotations,
        "categories": list(CATEGORIES),
    }
    change(content)
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


class ColorSegmenter:
    """Predicts all pixels of the colour in the middle of the prompt: the truth.

    Keeps the prompts and counts the images that it embeds.
    """

    prompt_kinds = frozenset(("points", "box", "mask"))

    def __init__(self):
        self.embedded = 0
        self.prompts = []

    def describe(self):
        return {"name": "color"}

    def embed(self, image):
        self.embedded += 1
        return image

    def predict(self, embedding, prompts):
        self.prompts.append(list(prompts))
        return [self.masks(embedding, prompt) for prompt in prompts]

    def masks(self, image, prompt):
        truth = self.truth(image, prompt)
        single = FixedMasks(truth[None], np.array([0.9]), np.full((1, 4, 4), 2.0))
        empty = np.zeros_like(truth)
        three = FixedMasks(
            np.stack([empty, truth, empty]),
            np.array([0.1, 0.8, 0.2]),
            np.full((3, 4, 4), 2.0),
        )
        return Prediction(single, three)

    def truth(self, image, prompt):
        if prompt.box is not None:
            x, y = ((prompt.box[:2] + prompt.box[2:]) / 2).astype(int)
        else:
            x, y = prompt.points[0].astype(int)
        return (image == image[y, x]).all(axis=2)


class LateSegmenter(ColorSegmenter):
    """Predicts nothing before the n-th click, and the truth from then on."""

    def __init__(self, clicks: int):
        super().__init__()
        self.clicks = clicks

    def truth(self, image, prompt):
        right = super().truth(image, prompt)
        if prompt.box is None and len(prompt.points) < self.clicks:
            return np.zeros_like(right)
        return right


class OneSample:
    """A dataset of one image."""

    name, skipped, small = "one image", (), 0

    def __init__(self, sample: Sample):
        self.sample = sample

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.sample


def sample_of(masks: Sequence[np.ndarray], ignored: np.ndarray | None = None) -> Sample:
    """A sample of drawn objects."""
    image = draw(masks, masks[0].shape if len(masks) else SIZE)
    return Sample(
        name="drawn",
        image=image,
        targets=np.array(masks, bool).reshape(len(masks), *image.shape[:2]),
        objects=[{} for _ in masks],
        ignored=ignored,
    )


def rounds_of(policy, segmenter, sample: Sample) -> list[Round]:
    """All rounds of a policy on a sample."""
    return list(policy.rounds(Session(segmenter, sample)))


def records_of(segmenter, sample: Sample, *policies, thresholds=(), max_clicks=20):
    """The records of a sample's objects, of IoUs and numbers of clicks."""
    metrics = (
        MaskIou(),
        NumberOfClicks(thresholds=thresholds, max_clicks=max_clicks),
    )
    suite = Suite(
        name="test",
        datasets=(OneSample(sample),),
        policies=policies,
        metrics=metrics,
        protocol={},
    )
    return measure(suite, segmenter, sample).objects
