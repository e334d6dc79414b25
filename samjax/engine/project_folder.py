"""The folder of a project: images, the annotation store, rounds.

project/images/                images; without this folder, those of `project`
project/project.json           settings of a team, with the names of gold images
project/annotations.sqlite3    the store, or in `.samjax` of one of the two folders
project/rounds, audits         beside the store
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from samjax.data.folders import has_image_name
from samjax.engine.annotations import AnnotationStore
from samjax.files import read_json

STORE = "annotations.sqlite3"
_STATE, _SETTINGS = ".samjax", "project.json"


@dataclass(frozen=True, kw_only=True)
class ProjectFolder:
    """A project.

    Attributes:
        images: Folder of its images.
        state: Folder of the store and of the rounds.
        settings: File of a team's settings, which may be missing.
    """

    images: Path
    state: Path
    settings: Path

    def gold_images(self) -> list[str]:
        """Returns the names of the images with trusted masks, in the settings."""
        names = read_json(self.settings).get("gold_images")
        return [str(name) for name in names] if isinstance(names, list) else []

    def gold_images_of_people(self) -> list[str]:
        """Returns the names of the gold images that people get among the others."""
        share = read_json(self.settings).get("gold_share")
        is_share = isinstance(share, (int, float)) and share > 0
        return self.gold_images() if is_share else []

    def open_store(self) -> AnnotationStore:
        """Opens the store.

        Raises:
            ValueError: It is damaged, or of a newer version.
            OSError: It cannot be written.
        """
        return AnnotationStore(self.state / STORE)

    def names(self) -> list[str]:
        """Returns the names of all images as the store has them: paths with `/`."""
        found = []
        for folder, folders, files in os.walk(self.images):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inside = Path(folder).relative_to(self.images)
            found += [
                (inside / name).as_posix() for name in files if has_image_name(name)
            ]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Returns the bytes of an image file.

        Raises:
            OSError: It cannot be read.
            ValueError: The name leads out of the folder of images.
        """
        path = (self.images / name).resolve()
        if not path.is_relative_to(self.images.resolve()):
            raise ValueError(f"got the image {name!r}, expected one in {self.images}")
        return path.read_bytes()

    def round_folder(self, number: int) -> Path:
        """Returns the folder of a round."""
        return self.state / "rounds" / f"{number:02d}"


def find_project(folder: Path, state: Path | None = None) -> ProjectFolder:
    """Finds the images and the store of a project.

    Args:
        folder: The project, or a folder of images that `samjax serve` annotates.
        state: Folder of the store, where it is elsewhere.

    Raises:
        ValueError: There is no store.
    """
    images = folder / "images" if (folder / "images").is_dir() else folder
    places = [folder, folder / _STATE, images / _STATE] if state is None else [state]
    for place in places:
        if (place / STORE).is_file():
            return ProjectFolder(
                images=images, state=place, settings=folder / _SETTINGS
            )
    # Both are one where the images are in the folder itself.
    shown = " or ".join(dict.fromkeys(str(place / STORE) for place in places[-2:]))
    raise ValueError(
        f"{folder} has no store of masks, expected {shown}: annotate its images first "
        "(samjax serve), or name the folder of the store with --state"
    )
