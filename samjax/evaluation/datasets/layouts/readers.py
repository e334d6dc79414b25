"""The 23 datasets of SAM's single-point evaluation as their authors distribute them.

A function per dataset names its folders and files, and reads them by the function of their
layout. All take the folder that the archive unpacks to, or the one around it.
"""

from __future__ import annotations

from pathlib import Path

from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import Entries, find_folder
from samjax.evaluation.datasets.layouts.ade20k import ade20k_entries
from samjax.evaluation.datasets.layouts.cityscapes import cityscapes_entries
from samjax.evaluation.datasets.layouts.coco_files import (
    coco_entries,
    fill_by_even_odd,
    name_by_url,
)
from samjax.evaluation.datasets.layouts.hypersim import hypersim_entries
from samjax.evaluation.datasets.layouts.json_polygons import (
    via_entries,
    visor_entries,
    woodscape_entries,
)
from samjax.evaluation.datasets.layouts.label_maps import (
    LabelMaps,
    beside,
    bright_pixels,
    map_entries,
    renamed,
    void_of,
)
from samjax.evaluation.datasets.layouts.mask_folders import mask_folder_entries
from samjax.evaluation.datasets.layouts.youtube_vis import youtube_vis_entries

# Photos of "set 1" of WoodScape, the only ones that were published.
_WOODSCAPE_PHOTOS = 8234

_EGOHOS_SOURCES = ("ego4d", "thu")


def read_ppdls(path: Path) -> Entries:
    """Lists the plants of Ara2012 and Tobacco, whose number is the paper's."""
    folder = find_folder(path, "Plant", "")
    plants = ("Ara2012", "Tobacco")
    return map_entries(
        folder,
        [f"{plant}/*_rgb.png" for plant in plants],
        lambda image: renamed(image, "_rgb.png", "_label.png"),
        LabelMaps(),
        maps=[f"{plant}/*_label.png" for plant in plants],
    )


def read_bbbc038(path: Path) -> Entries:
    """Lists the micrographs of stage1_train."""
    return mask_folder_entries(find_folder(path, "stage1_train", ""))


def read_doors(path: Path) -> Entries:
    """Lists the boulders of DS1; photos without a mask are listed as skipped."""
    folder = find_folder(path, "Segmentation/DS1/DS", "DS1/DS", "DS", "")
    rule = LabelMaps(read=lambda file: bright_pixels(file, 254 / 255))
    return map_entries(folder, "img/*.png", lambda image: beside(image, "mask"), rule)


def read_timberseg(path: Path) -> Entries:
    """Lists the prescaled photos; `original` where these are missing."""
    folder = find_folder(path, "prescaled", "original", "")
    return coco_entries(folder, "coco_annotation.json")


def read_ndd20(path: Path) -> Entries:
    """Lists the photos above and below water."""
    folder = find_folder(path, "NDD20", "")
    return _merged(
        [
            via_entries(folder / f"{part}_LABELS.json", folder / part, f"{part}/")
            for part in ("ABOVE", "BELOW")
        ]
    )


def read_lvis(path: Path) -> Entries:
    """Lists the photos of a file of LVIS, by default lvis_v0.5_val.json."""
    files = [f"{folder}lvis_v0.5_val.json" for folder in ("", "annotations/")]
    return coco_entries(path, *files, change=name_by_url)


def read_streets(path: Path) -> Entries:
    """Lists the frames with annotated vehicles."""
    folder = find_folder(path, "vehicleannotations", "")
    file = folder / "annotations" / "vehicle-annotations.json"
    return via_entries(file, folder / "images")


def read_zerowaste(path: Path) -> Entries:
    """Lists the frames of the split train."""
    folder = find_folder(path, "splits_final_deblurred/train", "train", "")
    return coco_entries(folder, "labels.json", images="data")


def read_ishape(path: Path) -> Entries:
    """Lists the photos of the split val of all six shapes."""
    folder = find_folder(path, "ishape_dataset", "")
    return map_entries(
        folder,
        "*/val/image/*.jpg",
        lambda image: beside(image, "instance_map"),
        LabelMaps(),
        maps=["*/val/instance_map/*.png"],
    )


def read_ade20k(path: Path) -> Entries:
    """Lists the photos of the split validation, with parts of objects."""
    return ade20k_entries(*_ade20k_folder(path), parts=True)


def read_ade20k_objects(path: Path) -> Entries:
    """Lists the photos of the split validation, without parts of objects."""
    return ade20k_entries(*_ade20k_folder(path), parts=False)


def _ade20k_folder(path: Path) -> tuple[Path, str]:
    inner = "images/ADE/validation"
    folder = find_folder(path, f"ADE20K_2021_17_01/{inner}", inner, "validation", "")
    return folder, "**/ADE_*.jpg"


def read_ovis(path: Path) -> Entries:
    """Lists the frames of the videos of the split train."""
    return youtube_vis_entries(path / "annotations_train.json", path / "train")


def read_hypersim(path: Path) -> Entries:
    """Lists the frames of the volumes that the paper names."""
    return hypersim_entries(path)


def read_ndispark(path: Path) -> Entries:
    """Lists the frames of the split train."""
    folder = find_folder(path, "ndis_park/train", "train", "")
    return coco_entries(folder, "train_coco_annotations.json", images="imgs")


def read_visor(path: Path) -> Entries:
    """Lists the frames of the split val, in archives or unpacked."""
    folder = find_folder(path, "GroundTruth-SparseAnnotations", "")
    return visor_entries(folder / "annotations" / "val", folder / "rgb_frames" / "val")


def read_plittersdorf(path: Path) -> Entries:
    """Lists the frames of all three splits, with the holes of masks."""
    folder = find_folder(path, "plittersdorf_instance_segmentation_coco", "")
    splits = [folder / f"{split}.json" for split in ("train", "val", "test")]
    return _merged([coco_entries(file, change=fill_by_even_odd) for file in splits])


def read_egohos(path: Path) -> Entries:
    """Lists the photos of the split train that are from Ego4D and THU-READ.

    They are told by what their names begin with; if no name begins so, all are listed.
    """
    folder = find_folder(path, "train", "")
    entries = map_entries(
        folder, "image/*.jpg", lambda image: beside(image, "label"), LabelMaps()
    )
    own = [
        entry
        for entry in entries.photos
        if entry.name.rpartition("/")[2].lower().startswith(_EGOHOS_SOURCES)
    ]
    return Entries(own or entries.photos, entries.skipped)


def read_ibd(path: Path) -> Entries:
    """Lists the photos of a COCO file, or those in images/ with label maps in masks/."""
    if (path / "images").is_dir() and (path / "masks").is_dir():
        return map_entries(
            path, "images/*", lambda image: beside(image, "masks"), LabelMaps()
        )
    return coco_entries(path)


def read_woodscape(path: Path) -> Entries:
    """Lists the photos of set 1."""
    entries = woodscape_entries(path / "instance_annotations", path / "rgb_images")
    return Entries(entries.photos[:_WOODSCAPE_PHOTOS], entries.skipped)


def read_cityscapes(path: Path) -> Entries:
    """Lists the frames of the split val, with panoptic masks."""
    return cityscapes_entries(path, "val")


def read_pidray(path: Path) -> Entries:
    """Lists the X-rays of the hard part of the split test."""
    folder = find_folder(path, "pidray", "")
    return coco_entries(folder, "annotations/xray_test_hard.json", images="../hard")


def read_dram(path: Path) -> Entries:
    """Lists the paintings of the split test, a mask per class; 255 is unknown truth."""
    folder = find_folder(path, "DRAM_500", "")

    def map_of(image: Path) -> Path:
        inner = image.relative_to(folder).with_suffix(".png")
        below = folder / "labels" / inner
        return below if below.is_file() else folder / "labels" / Path(*inner.parts[1:])

    return map_entries(folder, "test/**/*.jpg", map_of, LabelMaps(meaning=void_of(255)))


def read_trashcan(path: Path) -> Entries:
    """Lists the frames of the split train of the instance version."""
    folder = find_folder(path, "dataset/instance_version", "instance_version", "")
    return coco_entries(folder, "instances_train_trashcan.json", images="train")


def read_gtea(path: Path) -> Entries:
    """Lists the frames with hands; each connected region is one."""
    folder = find_folder(path, "GTEA_hand2k/GTEA_GAZE_PLUS", "GTEA_GAZE_PLUS", "")

    def map_of(image: Path) -> Path:
        inner = image.relative_to(folder / "Images").with_suffix(".png")
        return folder / "Masks" / inner

    rule = LabelMaps(read=lambda file: bright_pixels(file, 0.1), separate=True)
    return map_entries(folder, "Images/**/*.jpg", map_of, rule, maps=["Masks/**/*.png"])


def _merged(parts: list[Entries]) -> Entries:
    """Joins the photos of several files; a name is taken once."""
    photos, skipped = {}, []
    for part in parts:
        skipped += part.skipped
        for entry in part.photos:
            if entry.name in photos:
                skipped.append(Skipped(entry.name, "listed twice"))
            else:
                photos[entry.name] = entry
    return Entries(list(photos.values()), skipped)
