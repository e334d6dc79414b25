"""Drawn people-like scenes, and MIAP and FACET in small with one defect each."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from small_photo_set import SIZE, ColorSegmenter, draw, square

from samjax.evaluation.segmenter import FixedMasks, Prediction
from samjax.geometry.masks import encode_rle


def person(left: int, size=SIZE) -> np.ndarray:
    """A mask like a person: a head on a body."""
    rows, columns = np.indices(size)
    head = (rows - 12) ** 2 + (columns - left - 9) ** 2 <= 36
    body = (rows >= 18) & (rows < 52) & (columns >= left) & (columns < left + 19)
    return head | body


PEOPLE = (person(8), person(48))


class BiasedSegmenter(ColorSegmenter):
    """Finds a part of a person after one click, less of the first one by a bias.

    The part varies by an even draw from image to image, and all is found after three
    clicks.
    """

    prompt_kinds = frozenset(("points", "mask"))

    def __init__(self, bias: float, seed: int = 0):
        super().__init__()
        self.bias, self.rng = bias, np.random.default_rng(seed)

    def masks(self, image, prompt):
        mask = self.truth(image, prompt)
        if len(prompt.points) < 3:
            part = self.rng.uniform(0.3, 0.9)
            x = prompt.points[0][0]
            rows = np.flatnonzero(mask.any(axis=1))
            part -= self.bias if x < SIZE[1] / 2 else 0
            mask = mask & (np.arange(SIZE[0]) < rows[0] + part * len(rows))[:, None]
        three = FixedMasks(mask[None], np.array([0.9]), np.full((1, 4, 4), 2.0))
        return Prediction(three, three)


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Writes a CSV file."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def box_of(mask: np.ndarray) -> dict[str, float]:
    """The box of a mask in shares of the image."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return {
        "XMin": columns[0] / SIZE[1],
        "XMax": (columns[-1] + 1) / SIZE[1],
        "YMin": rows[0] / SIZE[0],
        "YMax": (rows[-1] + 1) / SIZE[0],
    }


def write_miap(folder: Path) -> Path:
    """MIAP with two people, a shirt, a mask far from every box and a missing mask file.

    The first mask is half as large as its photo, and in a zip file.
    """
    folder.mkdir(exist_ok=True)
    (folder / "images").mkdir()
    shirt = square(30, 10, 8)
    boxes, masks = [], []
    people = (
        ("Predominantly Feminine", "Young"),
        ("Predominantly Masculine", "Unknown"),
    )
    for image in ("aa", "bb"):
        Image.fromarray(draw(PEOPLE)).save(folder / "images" / f"{image}.jpg")
        for mask, (gender, age) in zip(PEOPLE, people, strict=True):
            boxes.append(
                {"ImageID": image, **box_of(mask), "GenderPresentation": gender}
                | {"AgePresentation": age}
            )
        # A person without a mask, far from all of them.
        boxes.append(
            {"ImageID": image, **box_of(square(45, 30, 9))}
            | {"GenderPresentation": "Unknown", "AgePresentation": "Older"}
        )
        labelled = [
            (PEOPLE[0], "/m/01g317"),
            (PEOPLE[1], "/m/04yx4"),
            (shirt, "/m/01n4qj"),
            (square(0, 0, 5), "/m/01g317"),
        ]
        for number, (mask, label) in enumerate(labelled):
            name = f"{image}_{number}.png"
            box = {f"Box{side}": value for side, value in box_of(mask).items()}
            masks.append(
                {"MaskPath": name, "ImageID": image, "LabelName": label, **box}
            )
            (folder / "masks").mkdir(exist_ok=True)
            if (image, number) == ("aa", 0):
                pixels = mask[::2, ::2].astype(np.uint8) * 255
                Image.fromarray(pixels).save(folder / name)
                with zipfile.ZipFile(folder / "test-masks-a.zip", "w") as archive:
                    archive.write(folder / name, name)
            elif (image, number) != ("bb", 1):
                pixels = mask.astype(np.uint8) * 255
                Image.fromarray(pixels).save(folder / "masks" / name)
    write_rows(folder / "open_images_extended_miap_boxes_test.csv", boxes)
    write_rows(folder / "test-annotations-object-segmentation.csv", masks)
    clothes = {"LabelName": "/m/09j2d", "Subcategory": [{"LabelName": "/m/01n4qj"}]}
    tree = {"LabelName": "/m/0bl9f", "Subcategory": [clothes]}
    (folder / "bbox_labels_600_hierarchy.json").write_text(json.dumps(tree))
    return folder


def write_facet(folder: Path) -> Path:
    """FACET with two people, hair, clothing, and a mask of an unknown category."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "imgs_2").mkdir()
    Image.fromarray(draw(PEOPLE)).save(folder / "imgs_2" / "a.jpg")
    rows = [
        {"person_id": 1, "filename": "a.jpg", "gender_presentation_fem": 1}
        | {"age_presentation_middle": 1, "skin_tone_3": 2, "skin_tone_4": 1},
        {"person_id": 2, "filename": "a.jpg", "gender_presentation_masc": 1}
        | {"age_presentation_na": 1, "skin_tone_3": 1, "skin_tone_4": 1},
    ]
    write_rows(folder / "annotations" / "annotations.csv", rows)
    masks = [
        (PEOPLE[0], 1, 1),
        (PEOPLE[1], 1, 2),
        (square(30, 10, 8), 3, 1),
        (square(6, 6, 6), 2, 1),
        (PEOPLE[0], 9, 1),
    ]
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
        ],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": kind, "person_id": owner}
            | {"segmentation": encode_rle(mask)}
            for number, (mask, kind, owner) in enumerate(masks, start=1)
        ],
        "categories": [
            {"id": 1, "name": "person"},
            {"id": 2, "name": "hair"},
            {"id": 3, "name": "clothing"},
        ],
    }
    (folder / "annotations" / "coco_masks.json").write_text(json.dumps(content))
    return folder
