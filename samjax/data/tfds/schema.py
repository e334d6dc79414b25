"""Conversion between records and the features of TFDS's builder `segment_anything` 1.0.0.

In the features, boxes are normalized YXYX in float32; points and scores are declared
float64, but a `tf.train.Example` stores float32. Boxes are restored to within a
thousandth of a pixel, and exactly if they were whole numbers; scores and points that
were computed in float32, as SA-1B's, are restored exactly. The features have no
`parent` and `depth`, which are dropped.

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
    """An example of the dataset.

    Attributes:
        image: The bytes of an image file.
        record: The image's masks, in pixels of the original size.
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
    types = tfds.features
    segmentation = types.FeaturesDict(
        {"counts": np.str_, "size": types.Tensor(shape=(2,), dtype=np.uint64)},
        doc="Encoded mask in COCO's RLE format, of the original size.",
    )
    annotation = types.FeaturesDict(
        {
            "area": types.Scalar(dtype=np.uint64, doc="Pixels of the mask."),
            "bbox": types.BBoxFeature(doc="The box around the mask."),
            "crop_box": types.BBoxFeature(doc="The crop that the mask was made in."),
            "id": types.Scalar(dtype=np.uint64, doc="Number of the annotation."),
            "point_coords": types.Tensor(
                shape=(1, 2), dtype=np.float64, doc="The point that gave the mask."
            ),
            "predicted_iou": types.Scalar(
                dtype=np.float64, doc="The model's own estimate of the quality."
            ),
            "segmentation": segmentation,
            "stability_score": types.Scalar(
                dtype=np.float64, doc="A measure of the mask's quality."
            ),
        }
    )
    image = types.FeaturesDict(
        {
            "content": types.Image(doc="The image, or a smaller copy."),
            "file_name": np.str_,
            "height": np.uint64,
            "image_id": np.uint64,
            "width": np.uint64,
        }
    )
    return types.FeaturesDict(
        {"image": image, "annotations": types.Sequence(annotation)}
    )


def why_not_stored(annotation: Annotation, width: int, height: int) -> str | None:
    """Returns why the features cannot represent an annotation; None if they can."""
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
    """Serializes an example of the dataset.

    Args:
        image: The bytes of an image file.
        record: The record; its annotations have to pass `why_not_stored`. One without a
            point gets NaN.

    Raises:
        ValueError: A number of the image is out of range.
    """
    info, annotations = record["image"], record["annotations"]
    size = np.array([info["width"], info["height"]], float)
    # The feature has the fixed shape (1, 2), also without a point.
    missing = [[float("nan")] * 2]
    points = [annotation["point_coords"] or missing for annotation in annotations]
    masks = [annotation["segmentation"] for annotation in annotations]
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
        boxes = np.array([a[name] for a in annotations], float).reshape(-1, 2, 2)
        # x, y, width, height as two rows: their cumulative sum is the two corners.
        corners = np.cumsum(boxes, axis=1) / size
        values[f"annotations/{name}"] = ("float", corners[..., ::-1].ravel().tolist())
    for name in ("area", "id"):
        values[f"annotations/{name}"] = ("int64", [a[name] for a in annotations])
    for name in ("predicted_iou", "stability_score"):
        values[f"annotations/{name}"] = ("float", [a[name] for a in annotations])
    return write_example(values)


def read_stored(data: bytes) -> StoredExample:
    """Parses an example of the dataset, written by samjax or by the published builder.

    Raises:
        ValueError: The example does not have these features.
    """
    features = read_example(data)

    def scalar(name: str, kind: Kind) -> Any:
        values = list_of(features, f"image/{name}", kind)
        if len(values) != 1:
            raise ValueError(f"got {len(values)} values of image/{name}, expected one")
        return values[0]

    info = ImageInfo(
        image_id=scalar("image_id", "int64"),
        width=scalar("width", "int64"),
        height=scalar("height", "int64"),
        file_name=scalar("file_name", "bytes").decode(),
    )
    record = Record(image=info, annotations=_annotations(features, info))
    return StoredExample(scalar("content", "bytes"), record)


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
    has_point = np.isfinite(points[:, 0, 0])
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
            point if is_present else []
            for point, is_present in zip(
                points.tolist(), has_point.tolist(), strict=True
            )
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
