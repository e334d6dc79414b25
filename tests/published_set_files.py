"""The 23 datasets of SAM's single-point evaluation in small, each with one defect.

Every function writes the files of a dataset as its authors distribute it, a few photos
of `TWO`, and returns what a reader has to find: the areas of the masks in order, and how
many parts it leaves out by reason.
"""

import importlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from published_set_parts import (
    RINGS,
    coco,
    labels,
    photo,
    ring,
    save,
    text,
    via_region,
)
from small_photo_set import SIZE, TWO, draw, square

from samjax.geometry.masks import encode_rle, mask_to_counts

Found = tuple[list[int], dict[str, int]]

BOTH = [22**2, 25**2]
"""Areas of the masks of `TWO`."""

DAMAGED_PHOTO = "damaged or missing photo"
DAMAGED_MASKS = "missing or damaged masks"


def write_ppdls(folder: Path) -> Found:
    """A map that is larger than its photo; a folder that the paper left out."""
    for number, (plant, size) in enumerate(
        [("Ara2012", SIZE), ("Tobacco", SIZE), ("Ara2012", (90, 90)), ("Ara2013", SIZE)]
    ):
        stem = folder / "Plant" / plant / f"{plant.lower()}_plant{number:03d}"
        photo(Path(f"{stem}_rgb.png"))
        image = Image.fromarray(labels((3, 7), size=size)).convert("P")
        # All colours are alike: only the index tells the leaves apart.
        image.putpalette([9, 9, 9] * 256)
        image.save(f"{stem}_label.png")
    return BOTH * 2, {DAMAGED_PHOTO: 1}


def write_bbbc038(folder: Path) -> Found:
    """An empty mask file; a folder without its photo."""
    for name in ("a", "b"):
        own = folder / "stage1_train" / name
        pixels = np.dstack([draw(TWO), np.full(SIZE, 255, np.uint8)])
        save(own / "images" / f"{name}.png", pixels)
        for number, mask in enumerate(TWO):
            save(own / "masks" / f"{number}.png", mask.astype(np.uint8) * 255)
    save(own / "masks" / "9.png", np.zeros(SIZE, np.uint8))
    (folder / "stage1_train" / "c" / "masks").mkdir(parents=True)
    return BOTH * 2, {"no pixel": 1, "missing photo": 1}


def write_doors(folder: Path) -> Found:
    """A photo without a mask; levels below 255 in the margin of another."""
    data = folder / "Segmentation" / "DS1" / "DS"
    for number in range(2):
        photo(data / "img" / f"{number:03d}.png", TWO[:1])
    mask = np.zeros((*SIZE, 3), np.uint8)
    mask[TWO[0], 0] = 255
    mask[TWO[1]] = 250
    save(data / "mask" / "000.png", mask)
    return BOTH[:1], {"no masks": 1}


def write_timberseg(folder: Path) -> Found:
    """An annotation of an image that the file does not have."""
    content = coco(["prescaled/images/a.png"])
    content["annotations"].append(content["annotations"][0] | {"id": 99, "image_id": 7})
    text(folder / "prescaled" / "coco_annotation.json", content)
    photo(folder / "prescaled" / "images" / "a.png")
    return BOTH, {"damaged entry": 1}


def write_ndd20(folder: Path) -> Found:
    """A region that is a circle; photos of one name above and below water."""
    circle = {"shape_attributes": {"name": "circle", "cx": 3, "cy": 3, "r": 2}}
    for part, more in (("ABOVE", [circle]), ("BELOW", [])):
        photo(folder / part / "1.jpg")
        regions = [*map(via_region, RINGS), *more]
        text(
            folder / f"{part}_LABELS.json",
            {"1.jpg123": {"filename": "1.jpg", "regions": regions}},
        )
    return BOTH * 2, {"damaged mask": 1}


def write_lvis(folder: Path) -> Found:
    """A photo that is missing."""
    names = [f"COCO_val2014_{number:012d}.jpg" for number in (1, 2)]
    text(folder / "lvis_v0.5_val.json", coco(names))
    photo(folder / "val2017" / "000000000001.jpg")
    return BOTH, {DAMAGED_PHOTO: 1}


def write_streets(folder: Path) -> Found:
    """Regions as an object and as a list; a photo that is missing."""
    regions = [via_region(corners) for corners in RINGS]
    data = folder / "vehicleannotations"
    entries = {
        "a": {"filename": "a.png", "regions": regions},
        "b": {"filename": "b.png", "regions": {"0": regions[0]}},
        "c": {"filename": "c.png", "regions": regions},
    }
    text(
        data / "annotations" / "vehicle-annotations.json",
        {"_via_img_metadata": entries},
    )
    for name in "ab":
        photo(data / "images" / f"{name}.png")
    return [*BOTH, BOTH[0]], {DAMAGED_MASKS: 1}


def write_zerowaste(folder: Path) -> Found:
    """A polygon outside its photo, of no area."""
    data = folder / "splits_final_deblurred" / "train"
    text(data / "labels.json", coco(["a.PNG"], [*RINGS, ring(200, 200, 5)]))
    photo(data / "data" / "a.PNG")
    save(data / "sem_seg" / "a.PNG", labels((1, 1)))
    return BOTH, {"too small": 1}


def write_ishape(folder: Path) -> Found:
    """A map without its photo; ids beyond 8 bits."""
    for name in "ab":
        path = (
            folder / "ishape_dataset" / "wire" / "val" / "instance_map" / f"{name}.png"
        )
        save(path, labels((300, 70), np.uint16))
    photo(folder / "ishape_dataset" / "wire" / "val" / "image" / "a.jpg")
    return BOTH[::-1], {"missing photo": 1}


def write_ade20k(folder: Path) -> Found:
    """A map of parts of another size."""
    data = folder / "ADE20K_2021_17_01" / "images" / "ADE" / "validation" / "room" / "x"
    photo(data / "ADE_val_00000001.jpg")
    packed = np.zeros((*SIZE, 3), np.uint8)
    for mask, blue in zip(TWO, (40, 200), strict=True):
        # Class 25 * 256 + 7 overflows 8 bits.
        packed[mask] = (250, 7, blue)
    save(data / "ADE_val_00000001_seg.png", packed)
    parts = np.zeros((*SIZE, 3), np.uint8)
    parts[square(7, 7, 5)] = (10, 3, 90)
    save(data / "ADE_val_00000001_parts_1.png", parts)
    save(data / "ADE_val_00000001_parts_2.png", np.zeros((9, 9, 3), np.uint8))
    return [*BOTH, 25], {"mask of another size": 1}


def write_ovis(folder: Path) -> Found:
    """An annotation of an unknown category."""
    for name in ("img_0000001.jpg", "img_0000002.jpg"):
        photo(folder / "train" / "v1" / name)
    counts = {"size": list(SIZE), "counts": mask_to_counts(TWO[1]).tolist()}
    annotations = [
        {"video_id": 1, "category_id": 1, "segmentations": [encode_rle(TWO[0]), None]},
        {"video_id": 1, "category_id": 1, "segmentations": [counts, counts]},
        {"video_id": 1, "category_id": 8, "segmentations": [counts, counts]},
    ]
    names = [f"v1/img_{number:07d}.jpg" for number in (1, 2, 3)]
    content = {
        "videos": [{"id": 1, "file_names": names, "height": SIZE[0], "width": SIZE[1]}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "bird"}],
    }
    text(folder / "annotations_train.json", content)
    return [*BOTH, BOTH[1]], {"unknown category": 1}


def write_hypersim(folder: Path) -> Found:
    """A damaged map; a volume that the paper left out. Needs h5py."""
    h5py = importlib.import_module("h5py")
    for volume, name in ((1, "0000"), (1, "0001"), (20, "0000")):
        images = folder / f"ai_{volume:03d}_001" / "images"
        photo(images / "scene_cam_00_final_preview" / f"frame.{name}.tonemap.jpg")
        maps = images / "scene_cam_00_geometry_hdf5"
        maps.mkdir(exist_ok=True)
        path = maps / f"frame.{name}.semantic_instance.hdf5"
        if name == "0001":
            path.write_bytes(b"no HDF5")
            continue
        with h5py.File(path, "w") as file:
            file["dataset"] = labels((1, 6), np.int16) - 1
    return BOTH, {DAMAGED_MASKS: 1}


def write_ndispark(folder: Path) -> Found:
    """An empty photo."""
    data = folder / "ndis_park" / "train"
    text(data / "train_coco_annotations.json", coco(["a.jpg", "69_1.jpg"]))
    photo(data / "imgs" / "a.jpg")
    (data / "imgs" / "69_1.jpg").write_bytes(b"")
    return BOTH, {DAMAGED_PHOTO: 1}


def write_visor(folder: Path) -> Found:
    """A frame that is in no archive; polygons in 1920 x 1080."""
    data = folder / "GroundTruth-SparseAnnotations"
    # Frames are a sixteenth of that size: 68 is not a whole sixteenth of 1080.
    segments = [
        [[16 * 5, 18 * 5], [16 * 27, 18 * 5], [16 * 27, 18 * 27], [80, 18 * 27]]
    ]
    frames = [
        {
            "image": {"name": f"P01_107_frame_{number}.jpg", "video": "P01_107"},
            "annotations": [{"name": "knife", "segments": segments}],
        }
        for number in (1, 2)
    ]
    text(data / "annotations" / "val" / "P01_107.json", {"video_annotations": frames})
    save(folder / "frame.jpg", np.zeros((60, 120, 3), np.uint8))
    archive = data / "rgb_frames" / "val" / "P01" / "P01_107.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.write(folder / "frame.jpg", "P01_107_frame_1.jpg")
    return [22**2], {DAMAGED_MASKS: 1}


def write_plittersdorf(folder: Path) -> Found:
    """A photo that is listed in two splits; a hole as a further polygon."""
    data = folder / "plittersdorf_instance_segmentation_coco"
    for split, names in (("train", "ab"), ("val", "b"), ("test", "c")):
        content = coco([f"{name}.png" for name in names], RINGS[:1])
        for annotation in content["annotations"]:
            annotation["segmentation"].append(ring(10, 10, 5))
        text(data / f"{split}.json", content)
        for name in names:
            photo(data / "images" / f"{name}.png")
    return [22**2 - 25] * 3, {"listed twice": 1}


def write_egohos(folder: Path) -> Found:
    """A photo without its map; one of another source."""
    for name in ("ego4d_1", "thu_2", "epic_3"):
        photo(folder / "train" / "image" / f"{name}.jpg")
    for name in ("ego4d_1", "epic_3"):
        save(folder / "train" / "label" / f"{name}.png", labels((1, 3)))
    return BOTH, {"no masks": 1}


def write_ibd(folder: Path) -> Found:
    """A damaged map."""
    for name in "ab":
        photo(folder / "images" / f"{name}.png")
    save(folder / "masks" / "a.png", labels((1, 2)))
    (folder / "masks" / "b.png").write_bytes(b"no PNG")
    return BOTH, {DAMAGED_MASKS: 1}


def write_woodscape(folder: Path) -> Found:
    """A mask of two tags."""
    pairs = [np.reshape(corners, (-1, 2)).tolist() for corners in RINGS]
    annotation = [
        {"id": "1", "tags": ["car"], "segmentation": pairs[0]},
        {"id": "2", "tags": ["car", "truncated"], "segmentation": pairs[1]},
    ]
    entry = {"image_height": SIZE[0], "image_width": SIZE[1], "annotation": annotation}
    text(folder / "instance_annotations" / "00001_FV.json", {"00001_FV.json": entry})
    photo(folder / "rgb_images" / "00001_FV.png")
    return BOTH[:1], {"damaged mask": 1}


def write_cityscapes(folder: Path) -> Found:
    """A group of things, and a level of no class; sky and a car."""
    stem = folder / "gtFine" / "val" / "bonn" / "bonn_000000_000019"
    pixels = labels((23, 26_001), np.uint16)
    pixels[0, :10], pixels[1, :10], pixels[2, :10] = 26, 99, 3
    save(Path(f"{stem}_gtFine_instanceIds.png"), pixels)
    photo(
        folder / "leftImg8bit" / "val" / "bonn" / "bonn_000000_000019_leftImg8bit.png"
    )
    return BOTH, {"a group of things": 1, "unknown category": 1}


def write_pidray(folder: Path) -> Found:
    """A mask of the size of another image."""
    content = coco(["a.png"])
    mask = encode_rle(square(0, 0, 90, (90, 90)))
    content["annotations"].append(
        content["annotations"][0] | {"id": 99, "segmentation": mask}
    )
    text(folder / "pidray" / "annotations" / "xray_test_hard.json", content)
    photo(folder / "pidray" / "hard" / "a.png")
    return BOTH, {"damaged mask": 1}


def write_dram(folder: Path) -> Found:
    """A painting without its map; a region of unknown truth."""
    for name in "ab":
        photo(folder / "DRAM_500" / "test" / "realism" / "x" / f"{name}.jpg")
    path = folder / "DRAM_500" / "labels" / "realism" / "x" / "a.png"
    save(path, labels((15, 255)))
    return BOTH[:1], {"no masks": 1}


def write_trashcan(folder: Path) -> Found:
    """A polygon of two corners."""
    data = folder / "dataset" / "instance_version"
    content = coco(["a.jpg"], [*RINGS, [1, 1, 5, 5]])
    text(data / "instances_train_trashcan.json", content)
    photo(data / "train" / "a.jpg")
    return BOTH, {"damaged mask": 1}


def write_gtea(folder: Path) -> Found:
    """A mask without its frame; grey levels, and two hands of one level."""
    data = folder / "GTEA_hand2k" / "GTEA_GAZE_PLUS"
    photo(data / "Images" / "Ahmad" / "a.jpg")
    hands = labels((200, 200))
    hands[0, 0] = 20
    for name in "ab":
        save(data / "Masks" / "Ahmad" / f"{name}.png", hands)
    return BOTH, {"missing photo": 1}


WRITERS: dict[str, Callable[[Path], Found]] = {
    "ppdls": write_ppdls,
    "bbbc038v1": write_bbbc038,
    "doors": write_doors,
    "timberseg": write_timberseg,
    "ndd20": write_ndd20,
    "lvis-v0.5": write_lvis,
    "streets": write_streets,
    "zerowaste-f": write_zerowaste,
    "ishape": write_ishape,
    "ade20k": write_ade20k,
    "ovis": write_ovis,
    "hypersim": write_hypersim,
    "ndispark": write_ndispark,
    "visor": write_visor,
    "plittersdorf": write_plittersdorf,
    "egohos": write_egohos,
    "ibd": write_ibd,
    "woodscape": write_woodscape,
    "cityscapes": write_cityscapes,
    "pidray": write_pidray,
    "dram": write_dram,
    "trashcan": write_trashcan,
    "gtea": write_gtea,
}
"""The writers by the names of the sets."""
