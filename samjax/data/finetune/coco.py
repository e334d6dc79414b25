"""A COCO file of instances and its images, as a source of examples."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from samjax.data.examples import RawExample
from samjax.data.finetune.reading import (
    in_its_frame,
    nothing_usable,
    read_file,
    report_problems,
    upright_size,
)
from samjax.data.formats.coco import read_coco
from samjax.data.schema import Record, record_to_json

# How many images are looked for in a folder before it is taken not to have them.
_LOOKED_FOR = 20


class CocoSource:
    """Examples of a COCO file.

    The file is read once, and memory then holds the masks as compressed text; images are
    read when their turn comes. Box, area and run lengths are those of the masks
    themselves, whatever the file says.

    Args:
        path: Of the JSON file, or of a folder with one.
        images: Folder of the images; None looks for it (`samjax.data.finetune`).
        unlabelled: Whether images without a mask are examples too.
        crowds: Whether masks with `iscrowd` are objects. They are in any case where the
            file has no others, as of tools that store every brushed mask so.
        exclude_licences: Licences, by number or name, whose images are left out
            (`samjax.data.formats.licences.is_excluded`); images of which the file
            names no licence stay.

    Attributes:
        groups: For each example, what must stay together in a split: its image's name.
        problems: What was left out, and why.
        notes: What the file itself says to leave out, and how it was understood where
            that is not clear.

    Raises:
        ValueError: It is no COCO file of instances, its images are not to be found, or
            no image has a mask.
        OSError: It is not there or cannot be read.
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
            raise nothing_usable(file, lacking, [*problems, *notes])
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
    """Returns the JSON file of COCO that a path means: itself, or in its folder.

    In a folder that is `annotations.json`, or else the only one.

    Raises:
        ValueError: A folder has none, or several.
    """
    if not path.is_dir():
        return path
    if (usual := path / "annotations.json").is_file():
        return usual
    for folder in (path, path / "annotations"):
        found = sorted(folder.glob("*.json"))
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"{folder} has {len(found)} JSON files, {found[0].name} among them: "
                "name the one to use"
            )
    raise ValueError(
        f"{path} has no JSON file, nor has its folder annotations: expected COCO's file "
        "of instances"
    )


def image_folder(file: Path, names: Sequence[str]) -> tuple[Path, int]:
    """Finds the images of a COCO file near it.

    Args:
        file: The COCO file.
        names: Of its images, perhaps with folders.

    Returns:
        A folder that has some of the first of them, and how many leading folders to
        leave out of their names there: the fewest, and never so many that two images
        have one name.

    Raises:
        ValueError: No place where they are usually kept has any of the first.
    """
    places = list(_places(file))
    deepest = max((name.count("/") for name in names), default=0)
    for cut in range(deepest + 1):
        inner = [without_folders(name, cut) for name in names]
        if cut and len(set(inner)) < len(set(names)):
            break
        for place in places:
            if any((place / name).is_file() for name in inner[:_LOOKED_FOR]):
                return place, cut
    raise ValueError(
        f"{file}: got images such as {names[0]!r:.80}, expected them in one of "
        f"{', '.join(map(str, places))}: move or link them there"
    )


def without_folders(name: str, number: int) -> str:
    """A name without so many of its leading folders, as far as it has them."""
    parts = name.split("/")
    return "/".join(parts[min(number, len(parts) - 1) :])


def _places(file: Path) -> Iterator[Path]:
    here, above = file.parent, file.parent.parent
    split = file.stem.removeprefix("instances_")
    for folder in (here, above):
        yield from (
            folder / "images",
            folder / split,
            folder / "images" / split,
            folder,
        )


class _Sizes:
    """Looks for the sizes of images of which a COCO file says none."""

    def __init__(self, file: Path, images: str | os.PathLike | None):
        self._places = [Path(images)] if images else list(_places(file))

    def __call__(self, name: str) -> tuple[int, int] | None:
        """Returns the size (h, w) of an image, upright; None where it is not found."""
        for cut in range(name.count("/") + 1):
            for place in self._places:
                path = place / without_folders(name, cut)
                if path.is_file():
                    return upright_size(path)
        return None


def _drop_empty(record: Record, file: Path) -> list[str]:
    """Takes masks without pixels out of a record, and returns what to say of each."""
    empty = [one["id"] for one in record["annotations"] if not one["area"]]
    kept = [one for one in record["annotations"] if one["area"]]
    record["annotations"] = kept
    return [
        f"{file}: annotation {number} of image {record['image']['image_id']} has no "
        "pixel: its polygon lies outside the image or is thinner than a pixel, or its "
        "coordinates are of another unit than pixels"
        for number in empty
    ]
