"""Source of examples from a folder of SA-1B's extracted images and JSON files."""

import os
from pathlib import Path

from samjax.data.examples import RawExample
from samjax.data.folders import has_image_name, read_regular
from samjax.files.marks import is_own


class ExtractedSource:
    """The examples of a folder of pairs such as `sa_1.jpg` and `sa_1.json`.

    Sub-folders are included. Special files are skipped, and so are the settings and
    overlays that everything mode writes beside its records. An image without JSON or a
    JSON without image is an example with None in place of the missing file, so that it is
    counted.

    Args:
        folder: The folder of the files.

    Raises:
        ValueError: There are no such files.
        OSError: The folder cannot be read.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        pairs: dict[str, dict[bool, str]] = {}
        for parent, folders, files in os.walk(self.folder, onerror=_raise):
            folders[:] = sorted(set(folders) - _files_of_a_run(Path(parent)))
            for name in files:
                stem, suffix = os.path.splitext(name)
                is_record = suffix.lower() == ".json"
                if stem.startswith(".") or not (is_record or has_image_name(name)):
                    continue
                if not os.path.isfile(os.path.join(parent, name)):
                    # Reading a pipe or a device may block for ever.
                    continue
                path = os.path.relpath(os.path.join(parent, stem), self.folder)
                pairs.setdefault(path, {})[is_record] = suffix
        # Strings in flat lists: a dataset can have millions of files.
        self._stems = sorted(pairs)
        self._suffixes = [
            (pairs[stem].get(False), pairs[stem].get(True)) for stem in self._stems
        ]
        if not self._stems:
            raise ValueError(
                f"{self.folder} has no images and JSON files: expected the extracted "
                "files of SA-1B, or its tars"
            )

    def __len__(self) -> int:
        return len(self._stems)

    def __getitem__(self, index: int, /) -> RawExample:
        """Reads one example; a part that cannot be read is None."""
        stem = self._stems[index]
        image, record = self._suffixes[index]
        problems: list[str] = []
        return RawExample(
            stem,
            self._read(stem, image, problems),
            self._read(stem, record, problems),
            "; ".join(problems) or None,
        )

    def _read(self, stem: str, suffix: str | None, problems: list[str]) -> bytes | None:
        if suffix is None:
            return None
        path = self.folder / (stem + suffix)
        try:
            return read_regular(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"{path}: {reason}")
            return None


def _files_of_a_run(folder: Path) -> set[str]:
    """Returns the sub-folders that hold no examples where everything mode wrote records."""
    if is_own(folder / "run" / "settings.json", "settings"):
        return {"run", "overlays"}
    return set()


def _raise(error: OSError) -> None:
    raise error
