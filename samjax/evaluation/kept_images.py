"""The records of images that an evaluation has measured, kept on disk as it goes.

A file of JSON Lines beside the result: the first line names the evaluation, each other
one has the records of an image. An evaluation that was killed reads it and measures the
rest; all scores follow from the records, so that the result is the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.metric import ImageRecords
from samjax.files import KEY, check_replaceable, json_text, locked, mark_of


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
        header = {KEY: mark_of("evaluation"), "evaluation": _digest(evaluation)}
        self._header = f"{json_text(header)}\n".encode()
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}
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
            whole = self._read()
            mode = "r+b" if whole else "wb"
            self._file = stack.enter_context(open(self.path, mode))
            # A line that a kill cut off is written again.
            self._file.truncate(whole)
            self._file.seek(whole)
            if not whole:
                self._write(self._header)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def find(self, dataset: str, sample: Sample) -> ImageRecords | None:
        """Returns the records of an image with exactly these pixels and this truth.

        Args:
            dataset: Name of the dataset.
            sample: The image.
        """
        line = self._kept.get((dataset, sample.name))
        if line is None or line["content"] != content_of(sample):
            return None
        return ImageRecords(
            name=sample.name, objects=line["objects"], values=line["values"]
        )

    def add(self, dataset: str, sample: Sample, records: ImageRecords) -> None:
        """Appends the records of an image.

        Args:
            dataset: Name of the dataset.
            sample: The image.
            records: Its records.

        Raises:
            OSError: The file cannot be written.
        """
        line = {
            "set": dataset,
            "image": sample.name,
            "content": content_of(sample),
            "objects": list(records.objects),
            "values": records.values,
        }
        self._write(f"{json_text(line)}\n".encode())

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> int:
        """Reads the lines of this evaluation; returns the number of their bytes."""
        if not self.path.is_file():
            return 0
        with open(self.path, "rb") as file:
            if file.readline() != self._header:
                return 0
            whole = file.tell()
            for text in file:
                try:
                    line = json.loads(text)
                    place = (line["set"], line["image"])
                    is_whole = {"content", "objects", "values"} <= line.keys()
                except (ValueError, TypeError, KeyError, AttributeError):
                    break
                if not is_whole or not text.endswith(b"\n"):
                    break
                self._kept[place] = line
                whole += len(text)
        return whole


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


def _digest(evaluation: Mapping[str, Any]) -> str:
    return hashlib.sha256(json_text(evaluation, sort_keys=True).encode()).hexdigest()
