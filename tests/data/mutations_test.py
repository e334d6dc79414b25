"""2,000 damaged files of each dataset format give right values or one clear error."""

import contextlib
import io
import json
import tarfile
import warnings

import numpy as np
import pytest
from data.finetune.files import SIZE, coco_folder, noise, square
from data.mutations import guarded, mutate, mutate_json
from PIL import Image
from pycocotools import mask as coco_mask

from samjax.data.finetune import CocoSource, NpzSource
from samjax.data.formats.coco import read_coco
from samjax.data.formats.sa1b import read_shard, write_shard
from samjax.data.prepare import PrepareConfig, diagnose, prepare
from samjax.data.sa1b.tars import TarSource
from samjax.data.schema import record_from_json, record_to_json
from samjax.geometry.masks import decode_rle, encode_rle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.exhaustive,
    # What is left out is warned of, and so are pycocotools' own arrays.
    pytest.mark.filterwarnings("ignore"),
]

NUMBER = 2000
CONFIG = PrepareConfig(image_size=32, masks_per_image=4)
A, B = square(2, 4, 6), square(10, 12, 8)


def draws(number: int = NUMBER):
    return (np.random.default_rng([7, seed]) for seed in range(number))


def coco_content() -> dict:
    images = [
        {"id": n, "file_name": f"photo {n}.png", "height": SIZE[0], "width": SIZE[1]}
        for n in range(3)
    ]
    counts = decode_to_counts(B)
    masks = [
        [[4, 2, 10, 2, 10, 8, 4, 8]],
        [[4.5, 2.25, 10, 2, 10, 8], [12, 10, 20, 10, 20, 18, 12.5, 18]],
        {"size": list(SIZE), "counts": counts},
        encode_rle(A),
    ]
    annotations = [
        {
            "id": n + 1,
            "image_id": n % 3,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": mask,
        }
        for n, mask in enumerate(masks)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "a"}],
    }


def decode_to_counts(mask: np.ndarray) -> list[int]:
    from samjax.geometry.masks import mask_to_counts

    return mask_to_counts(mask).tolist()


def test_coco_files(tmp_path):
    path = coco_folder(tmp_path)
    whole = json.dumps(coco_content()).encode()
    compared = loaded = 0
    for rng in draws():
        content = mutate_json(whole, rng)
        path.write_bytes(content)
        records, problems = [], []
        with guarded(len(content)), contextlib.suppress(ValueError):
            records = list(read_coco(path, crowds=True, problems=problems.append))
        compared += sum(compare(record, json.loads(content)) for record in records)
        source = None
        with guarded(len(content)), contextlib.suppress(ValueError):
            source = CocoSource(path)
        for index in range(len(source or ())):
            prepare(source[index], CONFIG, rng)
            diagnose(source[index], CONFIG)
        loaded += source is not None
    assert loaded > NUMBER / 10 and compared > NUMBER / 2


def compare(record, content) -> int:
    """Compares the masks of a record with pycocotools."""
    compared = 0
    size = (record["image"]["height"], record["image"]["width"])
    by_id = {}
    for entry in content.get("annotations") or []:
        if isinstance(entry, dict) and type(entry.get("id")) is int:
            by_id.setdefault(entry["id"], []).append(entry)
    for one in record["annotations"]:
        mask = decode_rle(one["segmentation"]) if size[0] * size[1] < 1e6 else None
        entries = by_id.get(one["id"], [])
        if mask is None or len(entries) != 1:
            continue
        assert mask.sum() == one["area"]
        expected = by_pycocotools(entries[0].get("segmentation"), size)
        if expected is not None:
            compared += 1
            np.testing.assert_array_equal(mask, expected)
    return compared


def by_pycocotools(coded, size) -> np.ndarray | None:
    """The mask of a segmentation in its plain forms; None for the others."""
    if isinstance(coded, list):
        rings = [
            ring
            for ring in coded
            if isinstance(ring, list)
            and len(ring) >= 6
            and len(ring) % 2 == 0
            and all(type(part) in (int, float) and abs(part) < 1e4 for part in ring)
        ]
        if not rings or len(rings) != len(coded):
            return None
        rings = [[float(part) for part in ring] for ring in rings]
        parts = coco_mask.merge(coco_mask.frPyObjects(rings, *size))
        return coco_mask.decode(parts).astype(bool)
    if not isinstance(coded, dict) or not isinstance(coded.get("counts"), str):
        return None
    try:
        coded = {"size": list(size), "counts": coded["counts"].encode()}
        return coco_mask.decode(coded).astype(bool)
    except ValueError:
        return None


@pytest.mark.parametrize("save_as", [np.savez, np.savez_compressed])
def test_npz_files(tmp_path, save_as):
    path = tmp_path / "ct.npz"
    volume = np.stack([noise(n)[..., 0] for n in range(3)])
    labels = np.stack([A + 2 * B, 0 * A, B]).astype(np.uint8)
    save_as(path, imgs=volume, gts=labels)
    whole = path.read_bytes()
    loaded = 0
    for rng in draws(NUMBER // 2):
        path.write_bytes(mutate(whole, rng))
        source = None
        with guarded(len(whole)), contextlib.suppress(ValueError):
            source = NpzSource(path)
            for index in range(len(source)):
                raw = source[index]
                made = prepare(raw, CONFIG, rng)
                if made.status <= 0:
                    number = int(raw.name[-9:-4])
                    with Image.open(io.BytesIO(raw.image)) as image:
                        np.testing.assert_array_equal(np.asarray(image), volume[number])
                    found = [
                        decode_rle(one["segmentation"])
                        for one in raw.record["annotations"]
                    ]
                    kept = [labels[number] == k for k in np.unique(labels[number]) if k]
                    np.testing.assert_array_equal(found, kept)
                else:
                    assert diagnose(raw, CONFIG)
            loaded += 1
    assert loaded > 10


def shard(path) -> bytes:
    items = []
    for number in range(3):
        file = io.BytesIO()
        Image.fromarray(noise(number)).save(file, format="JPEG")
        record = {
            "image": {
                "image_id": number,
                "width": SIZE[1],
                "height": SIZE[0],
                "file_name": f"sa_{number}.jpg",
            },
            "annotations": [
                {
                    "bbox": [4.0, 2.0, 5.0, 5.0],
                    "area": int(mask.sum()),
                    "segmentation": encode_rle(mask),
                    "predicted_iou": 0.9,
                    "point_coords": [[1.0, 2.0]],
                    "crop_box": [0.0, 0.0, 32.0, 24.0],
                    "id": 2 * number + place,
                    "stability_score": 0.9,
                }
                for place, mask in enumerate((A, B))
            ],
        }
        items.append((f"sa_{number}.jpg", file.getvalue(), record))
    write_shard(path, items)
    return path.read_bytes()


def test_sa1b_tars(tmp_path):
    path = tmp_path / "sa_000000.tar"
    whole = shard(path)
    loaded = 0
    for turn, rng in enumerate(draws()):
        # An index beside a tar is of that tar: a new name for every one.
        path.unlink()
        path = tmp_path / f"sa_{turn:06d}.tar"
        content = mutate(whole, rng)
        path.write_bytes(content)
        found, problems = [], []
        with guarded(len(content)):
            found = list(read_shard(path, problems=problems.append))
        loaded += len(found)
        there = by_tarfile(content)
        for name, image, record in found:
            assert there[name] == image
            stem = name.rpartition(".")[0]
            assert record_from_json(there[f"{stem}.json"]) == record
            record_to_json(record)
        with guarded(len(content)), contextlib.suppress(ValueError):
            source = TarSource([path])
            for index in range(len(source)):
                made = prepare(source[index], CONFIG, rng)
                assert made.status <= 0 or diagnose(source[index], CONFIG)
        for left in tmp_path.iterdir():
            if left != path:
                left.unlink()
    assert loaded > NUMBER


def by_tarfile(content: bytes) -> dict[str, bytes]:
    """The first member of every name, as far as Python's tarfile reads."""
    members: dict[str, bytes] = {}
    with (
        warnings.catch_warnings(),
        contextlib.suppress(tarfile.TarError, ValueError, OverflowError),
    ):
        warnings.simplefilter("ignore")
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file is not None:
                    name = member.name.removeprefix("./")
                    members.setdefault(name, file.read())
    return members


def test_mutations_are_the_same_every_time():
    content = json.dumps(coco_content()).encode()
    once, again = ([mutate_json(content, rng) for rng in draws(20)] for _ in range(2))
    assert once == again and len(set(once)) == 20
