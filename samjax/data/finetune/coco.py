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
)
from samjax.data.formats.coco import read_coco
from samjax.data.schema import record_to_json

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
        exclude_licences: Licences, by number or name, whose images are left out
            (`samjax.data.formats.licences.is_excluded`); images of which the file
            names no licence stay.

    Attributes:
        groups: For each example, what must stay together in a split: its image's name.
        problems: What was left out, and why.

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
        exclude_licences: Sequence[str] = (),
    ):
        file = annotation_file(Path(path))
        problems: list[str] = []
        names, records = [], []
        for record in read_coco(
            file,
            exclude_licences=exclude_licences,
            problems=lambda error: problems.append(str(error)),
        ):
            if unlabelled or record["annotations"]:
                names.append(record["image"]["file_name"])
                records.append(record_to_json(record).encode())
        if not records:
            lacking = "no image" if unlabelled else "no image with a mask"
            if exclude_licences:
                lacking += f" that is under none of {', '.join(exclude_licences)}"
            raise nothing_usable(file, lacking, problems)
        self._images = Path(images) if images else image_folder(file, names)
        self._file, self._names = file, tuple(names)
        self._records = tuple(records)
        self.groups = self._names
        self.problems = tuple(problems)
        report_problems(file, self.problems)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> RawExample:
        name = self._names[index]
        image = read_file(self._images / name)
        record = json.loads(self._records[index])
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


def image_folder(file: Path, names: list[str]) -> Path:
    """Returns the folder near a COCO file that has images of these names.

    Raises:
        ValueError: No place where they are usually kept has any of the first.
    """
    places = list(_places(file))
    for place in places:
        if any((place / name).is_file() for name in names[:_LOOKED_FOR]):
            return place
    raise ValueError(
        f"{file}: got images such as {names[0]!r:.80}, expected them in one of "
        f"{', '.join(map(str, places))}: move or link them there"
    )


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
