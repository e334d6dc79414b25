"""Writes tars in SA-1B's format with synthetic images and masks, sound or damaged.

    python tools/make_sa1b.py --out sa1b_made --tars 4 --images 100
    python tools/make_sa1b.py --out sa1b_small --height 96 --width 128 --masks 12 \\
        --content noise --damage 5

`scenes` are drawn scenes (`samjax.data.synthetic`), tiled until there are enough masks;
`noise` is faster and needs no compilation: blobs with wavy outlines in random colours.
JPEG, JSON and RLE are as published. `damage` plants the kinds of damage that readers
have to handle, one in every n-th image in turn, and truncates the last tar;
`damage.json` beside the tars lists the damage of each image.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg
import tyro
from jaxtyping import Bool, UInt8

from samjax.data.formats.annotations import make_annotation
from samjax.data.schema import ImageInfo, Record, record_to_json
from samjax.files import replacing
from samjax.geometry.masks import mask_to_counts


@dataclass(frozen=True, kw_only=True)
class MakeConfig:
    """The tars to write.

    Attributes:
        out: Folder of the tars.
        tars: Number of tars.
        images: Images per tar.
        height: Height of an image in pixels.
        width: Width of an image in pixels.
        masks: Masks per image, a few less if some are hidden.
        content: Content of the images.
        quality: JPEG quality.
        damage: Damages every n-th image; 0 for none.
        seed: Seed of the content.
    """

    out: Path
    tars: int = 4
    images: int = 100
    height: int = 1500
    width: int = 2250
    masks: int = 100
    content: Literal["scenes", "noise"] = "scenes"
    quality: int = 90
    damage: int = 0
    seed: int = 0


def make_sa1b(config: MakeConfig) -> dict[str, str]:
    """Writes the tars, each atomically.

    Returns:
        The planted damage by the names of images; also in `damage.json` if there is
        any.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    planted: dict[str, str] = {}
    for index in range(config.tars):
        with replacing(config.out / f"sa_{index:06d}.tar") as hidden:
            with tarfile.open(hidden, "w", format=tarfile.GNU_FORMAT) as tar:
                for name, members in _examples(config, index, planted):
                    for member, content in members.items():
                        _add(tar, member, content)
            if config.damage and index == config.tars - 1:
                planted[name] = "cut_tar"
                _truncate(hidden)
    if planted:
        with replacing(config.out / "damage.json") as hidden:
            hidden.write_text(json.dumps(planted, indent=1))
    return planted


def _truncate(tar: Path) -> None:
    """Truncates a tar in the middle of its last file."""
    with tarfile.open(tar) as file:
        last = file.getmembers()[-1]
    with open(tar, "r+b") as file:
        file.truncate(last.offset_data + last.size // 2)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"./{name}")
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _examples(
    config: MakeConfig, tar: int, planted: dict[str, str]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yields the name and the members of each image of a tar."""
    draw = _draw_scenes if config.content == "scenes" else _draw_noise
    for index_in_tar in range(config.images):
        index = tar * config.images + index_in_tar
        rng = np.random.default_rng([config.seed, index])
        pixels, masks = draw(config, rng)
        name = f"sa_{index + 1}"
        image = simplejpeg.encode_jpeg(
            pixels, quality=config.quality, colorsubsampling="420"
        )
        members = {
            f"{name}.jpg": image,
            f"{name}.json": record_to_json(_record(index + 1, masks)).encode(),
        }
        if config.damage and index % config.damage == config.damage - 1:
            kind = DAMAGES[index // config.damage % len(DAMAGES)]
            members = _damage(name, members, kind)
            planted[name] = kind
        yield name, members


def _record(image_id: int, masks: Bool[np.ndarray, "k h w"]) -> Record:
    size = (masks.shape[1], masks.shape[2])
    annotations = []
    for index, mask in enumerate(masks):
        counts = mask_to_counts(mask)
        annotation = make_annotation(counts, size, 1000 * image_id + index)
        if len(counts) > 1:
            # A click in the middle of the longest run.
            longest = 2 * int(np.argmax(counts[1::2])) + 1
            middle = int(counts[:longest].sum() + counts[longest] // 2)
            column, row = divmod(middle, size[0])
            annotation["point_coords"] = [[float(column), float(row)]]
        annotation["predicted_iou"] = 0.95
        annotation["stability_score"] = 0.97
        annotations.append(annotation)
    info = ImageInfo(
        image_id=image_id, width=size[1], height=size[0], file_name=f"sa_{image_id}.jpg"
    )
    return Record(image=info, annotations=annotations)


def _draw_noise(
    config: MakeConfig, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "k h w"]]:
    """Draws blobs with wavy outlines over a smooth ground, later ones over earlier."""
    height, width = config.height, config.width
    pixels = 90 + 50 * _smooth(rng, (height, width), 3)
    waves = _smooth(rng, (height, width), 2)
    owner = np.full((height, width), -1, np.int16)
    # Large ones first, so that few are hidden.
    sides = np.sort(rng.uniform(0.05, 0.3, config.masks))[::-1] * min(height, width)
    for label, side in enumerate(sides):
        centre = rng.uniform(0, (height, width))
        radii = side * rng.uniform(0.6, 1.4, 2)
        first = np.maximum(centre - 2 * radii, 0).astype(int)
        last = (centre + 2 * radii).astype(int) + 1
        region = slice(first[0], last[0]), slice(first[1], last[1])
        rows, columns = np.ogrid[region[0].start : height, region[1].start : width]
        rows, columns = rows[: last[0] - first[0]], columns[:, : last[1] - first[1]]
        distance = np.square((rows - centre[0]) / radii[0]) + np.square(
            (columns - centre[1]) / radii[1]
        )
        inside = distance + 0.3 * (waves[region] @ rng.uniform(-1, 1, 2)) < 1
        owner[region][inside] = label
        pixels[region][inside] += rng.uniform(-80, 80, 3)
    labels = np.unique(owner[owner >= 0])
    return _with_grain(pixels, rng), owner == labels[:, None, None]


def _smooth(
    rng: np.random.Generator, size: tuple[int, int], channels: int
) -> np.ndarray:
    """Normal noise at three scales, resized to the image's size."""
    planes = [
        cv2.resize(
            rng.normal(size=(cells, cells, channels)).astype(np.float32),
            size[::-1],
            interpolation=cv2.INTER_CUBIC,
        )
        for cells in (4, 16, 64)
    ]
    return (planes[0] + 0.5 * planes[1] + 0.25 * planes[2]).reshape(*size, channels)


def _with_grain(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # Noise, so that JPEG files are as large as those of photos.
    grain = rng.normal(0, 5, (*pixels.shape[:2], 1)).astype(np.float32)
    return (pixels + grain).clip(0, 255).astype(np.uint8)


_MASKS_OF_SCENE = 16


def _draw_scenes(
    config: MakeConfig, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "k h w"]]:
    """Draws a grid of scenes, enlarged to fill the image."""
    import jax

    from samjax.data.synthetic import SceneConfig, draw_scene

    rows = max(1, round((config.masks / _MASKS_OF_SCENE / 1.5) ** 0.5))
    columns = max(1, -(-config.masks // (_MASKS_OF_SCENE * rows)))
    scenes = SceneConfig(size=256, num_masks=_MASKS_OF_SCENE)
    tops = np.linspace(0, config.height, rows + 1).astype(int)
    lefts = np.linspace(0, config.width, columns + 1).astype(int)
    pixels = np.zeros((config.height, config.width, 3), np.float32)
    masks = []
    for row, column in np.ndindex(rows, columns):
        tile = (slice(*tops[row : row + 2]), slice(*lefts[column : column + 2]))
        size = pixels[tile].shape[1::-1]
        key = jax.random.key(int(rng.integers(2**31)))
        scene = jax.device_get(draw_scene(key, scenes))
        pixels[tile] = cv2.resize(scene.image, size, interpolation=cv2.INTER_CUBIC)
        for small in scene.masks[scene.valid]:
            mask = np.zeros(pixels.shape[:2], bool)
            mask[tile] = cv2.resize(small.astype(np.float32), size) > 0.5
            masks.append(mask)
    return _with_grain(pixels, rng), np.stack(masks)


DAMAGES = (
    "cut_jpeg",
    "jpeg_without_end",
    "flipped_bytes",
    "empty_image",
    "no_image",
    "no_record",
    "broken_json",
    "other_size",
    "swapped_sides",
    "corrupt_masks",
    "empty_masks",
    "whole_image_mask",
)
"""The kinds of damage. `corrupt_masks` damages every second mask, so the image is sound;
`empty_masks` are valid but leave no target; `whole_image_mask` adds a valid mask."""


def _damage(name: str, members: dict[str, bytes], kind: str) -> dict[str, bytes]:
    image_name, record_name = f"{name}.jpg", f"{name}.json"
    image, record = members[image_name], json.loads(members[record_name])
    height, width = record["image"]["height"], record["image"]["width"]
    match kind:
        case "cut_jpeg":
            image = image[: len(image) // 2]
        case "jpeg_without_end":
            image = image[:-2]
        case "flipped_bytes":
            middle = len(image) // 2
            flipped = bytes(byte ^ 0x5A for byte in image[middle : middle + 64])
            image = image[:middle] + flipped + image[middle + 64 :]
        case "empty_image":
            image = b""
        case "no_image":
            return {record_name: members[record_name]}
        case "no_record":
            return {image_name: image}
        case "broken_json":
            return {image_name: image, record_name: members[record_name][:-20]}
        case "other_size":
            record["image"]["width"] = width + 100
        case "swapped_sides":
            record["image"] |= {"height": width, "width": height + 1}
        case "corrupt_masks":
            for index, annotation in enumerate(record["annotations"][::2]):
                annotation["segmentation"]["counts"] = ("", "~~", "1", "0" * 9)[
                    index % 4
                ]
        case "empty_masks":
            empty = np.zeros((len(record["annotations"]), height, width), bool)
            record = _record(record["image"]["image_id"], empty)
        case "whole_image_mask":
            whole = _record(0, np.ones((1, height, width), bool))
            record["annotations"] += whole["annotations"]
        case _:
            raise ValueError(f"{kind=} is none of {DAMAGES}")
    return {image_name: image, record_name: record_to_json(record).encode()}


if __name__ == "__main__":
    made = make_sa1b(tyro.cli(MakeConfig, description=__doc__))
    print(f"{len(made)} images are damaged")
