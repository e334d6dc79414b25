"""The records of images that an evaluation has measured, kept on disk as it goes.

A file of JSON Lines beside the result: the first line names the evaluation, each other
one has the records of an image. An evaluation that was killed reads it and measures the
rest; all scores follow from the records, so that the result is the same. Shares of an
evaluation have a file each, which `MergedImages` of `merged_images` reads together.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.metric import ImageRecords
from samjax.files import KEY, check_replaceable, json_text, locked, mark_of

Records = dict[tuple[str, str], dict[str, Any]]
"""Lines of images by the names of dataset and image."""


class KeptFile(NamedTuple):
    """The content of a file of records.

    Attributes:
        evaluation: All that its records depend on but the images.
        records: Its lines.
        bytes: Length of its whole lines.
    """

    evaluation: Any
    records: Mapping[tuple[str, str], dict[str, Any]]
    bytes: int


class KeptImages:
    """A file of records, a context manager that holds it open for appending.

    Args:
        path: The file.
        evaluation: All that the records depend on but the images, in JSON's types:
            suite, protocol, model, versions. A file of another evaluation is begun anew.
        overwrite: Whether a file that is none of samjax's is replaced.

    Raises:
        WouldReplace: Such a file is there, and stays as it is.
    """

    def __init__(
        self, path: Path, evaluation: Mapping[str, Any], *, overwrite: bool = False
    ):
        check_replaceable(path, "evaluation", overwrite=overwrite)
        self.path = path
        self._evaluation = json.loads(json_text(evaluation))
        self._kept: Records = {}
        self._open = contextlib.ExitStack()

    def __enter__(self) -> KeptImages:  # noqa: PYI034
        """Reads the file and opens it for appending.

        Raises:
            InUse: Another process evaluates into it.
            OSError: It cannot be read or written.
        """
        with contextlib.ExitStack() as stack:
            lock = self.path.with_name(f".{self.path.name}.lock")
            stack.enter_context(locked(lock, f"the evaluation in {self.path.parent}"))
            found = read_kept(self.path)
            whole = 0
            if found is not None and found.evaluation == self._evaluation:
                self._kept, whole = dict(found.records), found.bytes
            mode = "r+b" if whole else "wb"
            self._file = stack.enter_context(open(self.path, mode))
            # A line that a kill cut off is written again.
            self._file.truncate(whole)
            self._file.seek(whole)
            if not whole:
                header = {KEY: mark_of("evaluation"), "evaluation": self._evaluation}
                self._write(f"{json_text(header)}\n".encode())
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def find(self, dataset: str, name: str, content: str) -> ImageRecords | None:
        """Returns the records of an image with exactly these pixels and this truth.

        Args:
            dataset: Name of the dataset.
            name: Name of the image.
            content: Its hash (`content_of`).
        """
        line = self._kept.get((dataset, name))
        if line is None or line["content"] != content:
            return None
        return records_of(line)

    def add(self, dataset: str, content: str, records: ImageRecords) -> None:
        """Appends the records of an image.

        Args:
            dataset: Name of the dataset.
            content: Hash of the image (`content_of`).
            records: Its records.

        Raises:
            OSError: The file cannot be written.
        """
        line = {
            "set": dataset,
            "image": records.name,
            "content": content,
            "objects": list(records.objects),
            "values": records.values,
        }
        self._write(f"{json_text(line)}\n".encode())

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())


def read_kept(path: Path) -> KeptFile | None:
    """Reads a file of records up to the first line that a kill cut off.

    Args:
        path: The file.

    Returns:
        Its content; None if it is not there or is none.
    """
    if not path.is_file():
        return None
    records: Records = {}
    with open(path, "rb") as file:
        header = _line(file.readline(), {KEY, "evaluation"})
        if header is None or header[KEY] != mark_of("evaluation"):
            return None
        whole = file.tell()
        for text in file:
            line = _line(text, {"set", "image", "content", "objects", "values"})
            if line is None:
                break
            records[line["set"], line["image"]] = line
            whole += len(text)
    return KeptFile(header["evaluation"], records, whole)


def records_of(line: Mapping[str, Any]) -> ImageRecords:
    """Returns the records in a line of a file.

    Args:
        line: The line.
    """
    return ImageRecords(
        name=line["image"], objects=line["objects"], values=line["values"]
    )


def _line(text: bytes, keys: set[str]) -> dict[str, Any] | None:
    """Returns a whole line that has these keys; None for any other."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    is_whole = isinstance(line, dict) and keys <= line.keys() and text.endswith(b"\n")
    return line if is_whole else None


def content_of(sample: Sample) -> str:
    """Returns a hash of the pixels and the truth of an image."""
    digest = hashlib.sha256()
    truth = [sample.truth[name] for name in sorted(sample.truth)]
    for array in (sample.image, sample.targets, sample.ignored, *truth):
        array = np.asarray(array)
        if array.dtype == object:
            digest.update(repr(array.tolist()).encode())
            continue
        digest.update(f"{array.dtype}{array.shape}".encode())
        bits = np.packbits(array) if array.dtype == bool else array
        digest.update(bits.tobytes())
    digest.update(json_text([dict(fields) for fields in sample.objects]).encode())
    return digest.hexdigest()
