"""Small tars of SA-1B, sound or damaged, for the tests of the TFDS dataset."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import simplejpeg

from samjax.data.schema import Record, record_to_json
from samjax.data.tfds.build import build_shards
from samjax.data.tfds.layout import BuildConfig, make_plan, read_report
from samjax.geometry.masks import encode_rle

SIZE = (48, 72)


def jpeg(seed: int, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG file of a smooth image, different for each index."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = np.sin(rows / (5 + seed % 7)) + np.cos(columns / (6 + seed % 5))
    pixels = np.stack([waves * 60 + 128, waves * 30 + 90, rows + seed], axis=2)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels.clip(0, 255), np.uint8))


def record(number: int, masks: int = 3, size: tuple[int, int] = SIZE) -> Record:
    """A record in the released generator's style: integer boxes, float32 scores."""
    generator = np.random.default_rng(number)
    annotations = []
    for index in range(masks):
        mask = np.zeros(size, bool)
        top, left = generator.integers(0, 20, 2).tolist()
        mask[top : top + 9, left : left + 14] = True
        annotations.append(
            {
                "bbox": [float(left), float(top), 13.0, 8.0],
                "area": int(mask.sum()),
                "segmentation": encode_rle(mask),
                "predicted_iou": float(np.float32(generator.uniform(0.8, 1))),
                "point_coords": [[left + 0.53125, float(top)]],
                "crop_box": [0.0, 0.0, float(size[1]), float(size[0])],
                "id": 100 * number + index,
                "stability_score": float(np.float32(generator.uniform(0.9, 1))),
            }
        )
    image = {
        "image_id": number,
        "width": size[1],
        "height": size[0],
        "file_name": f"sa_{number}.jpg",
    }
    return Record(image=image, annotations=annotations)


def members(numbers: range, **kinds) -> dict[str, bytes]:
    """The members of a tar by their names, as published: all images with their JSON."""
    found = {}
    for number in numbers:
        found[f"./sa_{number}.jpg"] = jpeg(number)
        found[f"./sa_{number}.json"] = record_to_json(record(number, **kinds)).encode()
    return found


def changed(content: bytes, change) -> bytes:
    """The JSON of a record after `change(record)`."""
    parsed = json.loads(content)
    change(parsed)
    return json.dumps(parsed).encode()


def write_tar(path: Path, content: dict[str, bytes]) -> Path:
    """Writes a tar of members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, by their paths in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def dataset_of(tars: list[Path], folder: Path, config: BuildConfig) -> Path:
    """Builds a dataset of tars, with a substitute for TFDS's metadata."""
    plan = make_plan(tars, folder, config)
    for _ in build_shards(plan, range(plan.num_shards)):
        pass
    reports = [read_report(plan, number) for number in range(plan.num_shards)]
    split = {
        "name": "train",
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "numBytes": str(sum(report["example_bytes"] for report in reports)),
        "shardLengths": [str(report["written"]) for report in reports],
    }
    content = {
        "name": "segment_anything",
        "version": "1.0.0",
        "fileFormat": "array_record",
        "splits": [split],
    }
    (folder / "dataset_info.json").write_text(json.dumps(content))
    return folder
