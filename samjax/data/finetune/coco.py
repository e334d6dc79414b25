"""Source of examples from a COCO instances file and its images."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from samjax.data.examples import RawExample
from samjax.data.finetune.reading import (
    in_its_frame,
    read_file,
    report_problems,
    unusable_dataset,
    upright_size,
)
from samjax.data.folders import list_files
from samjax.data.formats.coco import read_coco
from samjax.data.schema import Record, record_to_json

# Number of images that are searched for in a candidate folder.
_SEARCHED = 20


class CocoSource:
    """The examples of a COCO file.

    The file is parsed once, and the masks are kept in memory as compressed RLE; images
    are read on access. Box, area and RLE are computed from the masks, not taken from
    the file.

    Args:
        path: Path of the JSON file, or of a folder with one.
        images: Folder of the images; None searches for it (`samjax.data.finetune`).
        unlabelled: Whether images without a mask are examples too.
        crowds: Whether masks with `iscrowd` are objects. If a file has no other masks,
            they always are: some tools store every painted mask so.
        exclude_licences: Licences, by id or name, whose images are left out
            (`samjax.data.formats.licences.is_excluded`); images without a licence are
            kept.

    Attributes:
        groups: The group of each example that a split must not divide: its image's
            name.
        problems: The parts that were left out, with reasons.
        notes: The parts that the file itself marks to be left out, and remarks on how
            it was interpreted.

    Raises:
        ValueError: It is not a COCO instances file, its images are not found, or no
            image has a mask.
        OSError: The file does not exist or cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        images: str | os.PathLike | None = None,
        unlabelled: bool = False,
        crowds: bool = False,
        exclude_licences: Sequence[str] = (),
    ):
        file = annotation_file(Path(path))
        problems: list[str] = []
        notes: list[str] = []
        names, records = [], []
        sizes_of = _Sizes(file, images)
        for record in read_coco(
            file,
            crowds=True if crowds else None,
            exclude_licences=exclude_licences,
            problems=lambda error: problems.append(str(error)),
            notes=notes.append,
            size_of=sizes_of,
        ):
            if not unlabelled:
                problems.extend(_drop_empty(record, file))
            if unlabelled or record["annotations"]:
                names.append(record["image"]["file_name"])
                records.append(record_to_json(record).encode())
        if not records:
            lacking = "no image" if unlabelled else "no image with a mask"
            if exclude_licences:
                lacking += f" that is under none of {', '.join(exclude_licences)}"
            raise unusable_dataset(file, lacking, [*problems, *notes])
        if images:
            self._images, self._files = Path(images), tuple(names)
        else:
            self._images, cut = image_folder(file, names)
            self._files = tuple(without_folders(name, cut) for name in names)
        self._file, self._names = file, tuple(names)
        self._records = tuple(records)
        self.groups = self._names
        self.problems, self.notes = tuple(problems), tuple(notes)
        report_problems(file, self.problems, self.notes)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> RawExample:
        name, record = self._names[index], json.loads(self._records[index])
        try:
            image = read_file(self._images / self._files[index])
        except ValueError as error:
            return RawExample(name, None, record, str(error))
        return RawExample(name, image, in_its_frame(image, record, self._file))


def annotation_file(path: Path) -> Path:
    """Returns the COCO JSON file of a path: the file itself, or the one in the folder.

    In a folder that is `annotations.json`, or else the only JSON file.

    Raises:
        ValueError: The folder has none, or several.
    """
    if not path.is_dir():
        return path
    if (usual := path / "annotations.json").is_file():
        return usual
    for folder in (path, path / "annotations"):
        files = list_files(folder, ".json") if folder.is_dir() else []
        if len(files) == 1:
            return files[0]
        if files:
            raise ValueError(
                f"{folder} has {len(files)} JSON files, {files[0].name} among them: "
                "name the one to use"
            )
    raise ValueError(
        f"{path} has no JSON file, nor has its folder annotations: expected COCO's file "
        "of instances"
    )


def image_folder(file: Path, names: Sequence[str]) -> tuple[Path, int]:
    """Finds the folder of a COCO file's images among the usual ones.

    Args:
        file: The COCO file.
        names: The file names of its images, perhaps with folders.

    Returns:
        A folder that contains some of the first images, and the number of leading
        folders to strip from the names: the smallest that works, and never so many that
        two images get the same name.

    Raises:
        ValueError: None of the usual folders contains any of the first images.
    """
    folders = list(_usual_folders(file))
    deepest = max((name.count("/") for name in names), default=0)
    for cut in range(deepest + 1):
        inner = [without_folders(name, cut) for name in names]
        if cut and len(set(inner)) < len(set(names)):
            break
        for folder in folders:
            if any((folder / name).is_file() for name in inner[:_SEARCHED]):
                return folder, cut
    raise ValueError(
        f"{file}: got images such as {names[0]!r:.80}, expected them in one of "
        f"{', '.join(map(str, folders))}: move or link them there, or name their folder "
        "(--data.images in training)"
    )


def without_folders(name: str, count: int) -> str:
    """Returns a file name without its first `count` folders, or all of fewer."""
    parts = name.split("/")
    return "/".join(parts[min(count, len(parts) - 1) :])


def _usual_folders(file: Path) -> Iterator[Path]:
    beside, above = file.parent, file.parent.parent
    split = file.stem.removeprefix("instances_")
    for folder in (beside, above):
        yield from (
            folder / "images",
            folder / split,
            folder / "images" / split,
            folder,
        )


class _Sizes:
    """Looks up the sizes of images in their files, for COCO files without them."""

    def __init__(self, file: Path, images: str | os.PathLike | None):
        self._folders = [Path(images)] if images else list(_usual_folders(file))

    def __call__(self, name: str) -> tuple[int, int] | None:
        """Returns the upright size (h, w) of an image; None if there is no such file."""
        for cut in range(name.count("/") + 1):
            for folder in self._folders:
                path = folder / without_folders(name, cut)
                if path.is_file():
                    return upright_size(path)
        return None


def _drop_empty(record: Record, file: Path) -> list[str]:
    """Removes empty masks from a record, and returns a message for each."""
    annotations = record["annotations"]
    empty_ids = [
        annotation["id"] for annotation in annotations if not annotation["area"]
    ]
    record["annotations"] = [a for a in annotations if a["area"]]
    return [
        f"{file}: annotation {annotation_id} of image {record['image']['image_id']} has "
        "no pixel: its polygon lies outside the image or is thinner than a pixel, or its "
        "coordinates are of another unit than pixels"
        for annotation_id in empty_ids
    ]
