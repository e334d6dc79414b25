"""Random detections in drawn images, and pycocotools' evaluation of them."""

import contextlib
import io

import numpy as np

from samjax.evaluation.detections import Annotated, Detection
from samjax.geometry.masks import encode_rle

SIZE = (160, 200)
CATEGORIES = (3, 5, 9)


def rectangle(rng, near=None):
    """A mask of random size, or a copy of one that is moved and cut a little."""
    mask = np.zeros(SIZE, bool)
    if near is not None:
        mask = np.roll(near, rng.integers(-6, 7, 2), (0, 1))
        mask[:, : rng.integers(0, 40)] = False
        return mask if mask.any() else near
    height, width = rng.choice([6, 20, 32, 60, 96, 140], 2)
    top, left = rng.integers(0, SIZE[0] - height), rng.integers(0, SIZE[1] - width)
    mask[top : top + height, left : left + width] = True
    return mask


def drawn_images(seed, count=12, crowds=True):
    """Images with objects of all bands, crowds, and detections with tied scores."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        masks = [rectangle(rng) for _ in range(rng.integers(0, 9))]
        truth = [
            Annotated(
                encode_rle(mask),
                float(mask.sum() * rng.choice([1.0, 0.9])),
                int(rng.choice(CATEGORIES)),
                bool(crowds and rng.random() < 0.2),
            )
            for mask in masks
        ]
        detections = []
        for _ in range(rng.integers(0, 25)):
            pick = rng.integers(0, len(truth)) if truth and rng.random() < 0.8 else None
            mask = rectangle(rng, None if pick is None else masks[pick])
            own = CATEGORIES[0] if pick is None else truth[pick].category
            category = own if rng.random() < 0.8 else int(rng.choice(CATEGORIES))
            # One decimal: many detections share a score.
            score = float(np.round(rng.random(), 1))
            detections.append(Detection(encode_rle(mask), score, category))
        images.append((truth, detections))
    return images


def coco_evaluation(images, max_detections):
    """pycocotools' evaluation of the same images; annotation ids begin at 1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        annotations = [
            {
                "id": 0,
                "image_id": number,
                "category_id": entry.category,
                "segmentation": dict(entry.mask),
                "area": entry.area,
                "bbox": [0, 0, 1, 1],
                "iscrowd": int(entry.crowd),
            }
            for number, (truth, _) in enumerate(images, 1)
            for entry in truth
        ]
        for number, annotation in enumerate(annotations, 1):
            annotation["id"] = number
        coco.dataset = {
            "info": {},
            "images": [
                {"id": number, "height": SIZE[0], "width": SIZE[1]}
                for number in range(1, len(images) + 1)
            ],
            "annotations": annotations,
            "categories": [{"id": category} for category in CATEGORIES],
        }
        coco.createIndex()
        results = coco.loadRes(
            [
                {
                    "image_id": number,
                    "category_id": found.category,
                    "segmentation": dict(found.mask),
                    "score": found.score,
                }
                for number, (_, detections) in enumerate(images, 1)
                for found in detections
            ]
        )
        evaluation = COCOeval(coco, results, "segm")
        evaluation.params.maxDets = list(max_detections)
        return evaluation
