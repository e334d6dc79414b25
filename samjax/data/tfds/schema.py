"""The features of the published builder `segment_anything` 1.0.0, and SA-1B's records.

In the features, boxes are normalised YXYX as float32; points and scores are declared
float64, but a `tf.train.Example` holds float32. A box comes back to within a
thousandth of a pixel, and exactly where it was whole; scores and points that a network
and a grid gave in float32, as SA-1B's, come back exactly. `parent` and `depth` of
samjax's own records have no place and are left out.

`image/height` and `image/width` are those of the record, the frame of its masks;
`image/content` may be a smaller copy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from samjax.data.schema import Annotation, ImageInfo, Record
from samjax.data.tfds.example_proto import Kind, list_of, read_example, write_example
from samjax.geometry.masks import Rle

DATASET = "segment_anything"
VERSION = "1.0.0"

_LARGEST = (1 << 63) - 1


class StoredExample(NamedTuple):
    """What a record of the dataset holds.

    Attributes:
        image: The bytes of an image file.
        record: The image's masks, in pixels of the original.
    """

    image: bytes
    record: Record


def tfds_features() -> Any:
    """Returns the features as TFDS declares them, a `tfds.features.FeaturesDict`.

    Raises:
        ImportError: TFDS is missing.
    """
    try:
        import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "the metadata of a dataset of TFDS needs its package: run pip install "
            "'samjax[tfds]'",
            name="tensorflow_datasets",
        ) from error
    of = tfds.features
    segmentation = of.FeaturesDict(
        {"counts": np.str_, "size": of.Tensor(shape=(2,), dtype=np.uint64)},
        doc="Encoded mask in COCO's RLE format, of the original size.",
    )
    annotation = of.FeaturesDict(
        {
            "area": of.Scalar(dtype=np.uint64, doc="Pixels of the mask."),
            "bbox": of.BBoxFeature(doc="The box around the mask."),
            "crop_box": of.BBoxFeature(doc="The crop that the mask was made in."),
            "id": of.Scalar(dtype=np.uint64, doc="Number of the annotation."),
            "point_coords": of.Tensor(
                shape=(1, 2), dtype=np.float64, doc="The point that gave the mask."
            ),
            "predicted_iou": of.Scalar(
                dtype=np.float64, doc="The model's own estimate of the quality."
            ),
            "segmentation": segmentation,
            "stability_score": of.Scalar(
                dtype=np.float64, doc="A measure of the mask's quality."
            ),
        }
    )
    image = of.FeaturesDict(
        {
            "content": of.Image(doc="The image, or a smaller copy."),
            "file_name": np.str_,
            "height": np.uint64,
            "image_id": np.uint64,
            "width": np.uint64,
        }
    )
    return of.FeaturesDict({"image": image, "annotations": of.Sequence(annotation)})


def why_not_stored(annotation: Annotation, width: int, height: int) -> str | None:
    """Returns why the features cannot hold an annotation, None where they can."""
    for name in ("bbox", "crop_box"):
        left, top, across, down = annotation[name]
        if not (
            0 <= left <= left + across <= width and 0 <= top <= top + down <= height
        ):
            return f"{name} {annotation[name]} leaves the image"
    for name in ("id", "area"):
        if not 0 <= annotation[name] <= _LARGEST:
            return f"{name} {annotation[name]} is out of range"
    if len(annotation["point_coords"]) > 1:
        return f"it has {len(annotation['point_coords'])} points, expected one"
    if list(annotation["segmentation"]["size"]) != [height, width]:
        return f"its mask is of size {annotation['segmentation']['size']}"
    return None


def write_stored(image: bytes, record: Record) -> bytes:
    """Writes an example of the dataset.

    Args:
        image: The bytes of an image file.
        record: of annotations that can be stored. One without a point gets NaN.

    Raises:
        ValueError: a number of the image is out of range.
    """
    info, annotations = record["image"], record["annotations"]
    size = np.array([info["width"], info["height"]], float)
    nowhere = [[float("nan")] * 2]
    points = [one["point_coords"] or nowhere for one in annotations]
    masks = [one["segmentation"] for one in annotations]
    values: dict[str, tuple[Kind, list[Any]]] = {
        "image/content": ("bytes", [image]),
        "image/file_name": ("bytes", [info["file_name"].encode()]),
        "image/height": ("int64", [info["height"]]),
        "image/image_id": ("int64", [info["image_id"]]),
        "image/width": ("int64", [info["width"]]),
        "annotations/segmentation/counts": (
            "bytes",
            [mask["counts"].encode() for mask in masks],
        ),
        "annotations/segmentation/size": (
            "int64",
            [side for mask in masks for side in mask["size"]],
        ),
        "annotations/point_coords": (
            "float",
            np.array(points, np.float32).ravel().tolist(),
        ),
    }
    for name in ("bbox", "crop_box"):
        boxes = np.array([one[name] for one in annotations], float).reshape(-1, 2, 2)
        corners = np.cumsum(boxes, axis=1) / size
        values[f"annotations/{name}"] = ("float", corners[..., ::-1].ravel().tolist())
    for name in ("area", "id"):
        values[f"annotations/{name}"] = ("int64", [one[name] for one in annotations])
    for name in ("predicted_iou", "stability_score"):
        values[f"annotations/{name}"] = ("float", [one[name] for one in annotations])
    return write_example(values)


def read_stored(data: bytes) -> StoredExample:
    """Reads an example of the dataset, or of one that the published builder wrote.

    Raises:
        ValueError: it is no example of these features.
    """
    features = read_example(data)

    def one(name: str, kind: Kind) -> Any:
        values = list_of(features, f"image/{name}", kind)
        if len(values) != 1:
            raise ValueError(f"got {len(values)} values of image/{name}, expected one")
        return values[0]

    info = ImageInfo(
        image_id=one("image_id", "int64"),
        width=one("width", "int64"),
        height=one("height", "int64"),
        file_name=one("file_name", "bytes").decode(),
    )
    record = Record(image=info, annotations=_annotations(features, info))
    return StoredExample(one("content", "bytes"), record)


def _annotations(features: Any, info: ImageInfo) -> list[Annotation]:
    def column(name: str, kind: Kind, width: int = 1) -> list[Any]:
        values = list_of(features, f"annotations/{name}", kind)
        if len(values) != width * count:
            raise ValueError(
                f"got {len(values)} values of annotations/{name}, expected "
                f"{width * count} for {count} annotations"
            )
        return values

    def boxes(name: str) -> list[list[float]]:
        corners = np.array(column(name, "float", 4)).reshape(-1, 2, 2)[..., ::-1]
        corners = corners * np.array([info["width"], info["height"]])
        corners[:, 1] -= corners[:, 0]
        return corners.reshape(-1, 4).round(3).tolist()

    count = len(list_of(features, "annotations/id", "int64"))
    points = np.array(column("point_coords", "float", 2)).reshape(-1, 1, 2)
    there = np.isfinite(points[:, 0, 0])
    counts = column("segmentation/counts", "bytes")
    sizes = np.array(column("segmentation/size", "int64", 2), int).reshape(-1, 2)
    columns = zip(
        boxes("bbox"),
        column("area", "int64"),
        [
            Rle(size=size, counts=text.decode("latin-1"))
            for size, text in zip(sizes.tolist(), counts, strict=True)
        ],
        column("predicted_iou", "float"),
        [
            point if is_there else []
            for point, is_there in zip(points.tolist(), there.tolist(), strict=True)
        ],
        boxes("crop_box"),
        column("id", "int64"),
        column("stability_score", "float"),
        strict=True,
    )
    names = (
        "bbox",
        "area",
        "segmentation",
        "predicted_iou",
        "point_coords",
        "crop_box",
        "id",
        "stability_score",
    )
    return [Annotation(**dict(zip(names, values, strict=True))) for values in columns]
