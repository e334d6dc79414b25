"""The records of all shares of an evaluation, merged in place of measuring.

Every process of an evaluation that is shared keeps the records of its images in a file
(`share_file`). Merged, they are checked against the data and the evaluation of the
command that merges, image by image, so that the result is that of one process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from samjax.data.share import Share
from samjax.evaluation.kept_images import KeptFile, read_kept, records_of
from samjax.evaluation.metrics.metric import ImageRecords
from samjax.files import json_text

_MOST_NAMED = 3
"""Differences that an error names."""

_OF_A_SHARE = re.compile(r"\.share-(\d{1,9})-of-(\d{1,9})\.")


class ShareFile(NamedTuple):
    """The records of a share.

    Attributes:
        path: The file.
        share: The share.
        content: Its evaluation and records.
    """

    path: Path
    share: Share
    content: KeptFile


def share_file(records: Path, share: Share) -> Path:
    """Returns the file for the records of a share.

    Args:
        records: The file for those of the whole evaluation.
        share: The share.
    """
    if share.count == 1:
        return records
    stem, dot, suffix = records.name.partition(".")
    part = f"share-{share.index}-of-{share.count}"
    return records.with_name(f"{stem}.{part}{dot}{suffix}")


class MergedImages:
    """The records of all shares, read in place of `KeptImages`.

    Args:
        files: The files of all shares (`find_shares`).
        evaluation: Description of the evaluation that merges, as for
            `KeptImages`. Versions of packages are those of the shares.

    Raises:
        ValueError: Shares are missing or there twice, or differ from each other or from
            the evaluation.
    """

    def __init__(self, files: Sequence[ShareFile], evaluation: Mapping[str, Any]):
        _check_parts(files)
        first = files[0]
        for other in files[1:]:
            _check_same(first, other.content.evaluation, f"{other.path}: got")
        own = json.loads(json_text(evaluation))
        own["versions"] = first.content.evaluation.get("versions")
        _check_same(first, own, "this command: got")
        self.versions: Mapping[str, str] = own["versions"] or {}
        self._records = {
            place: line
            for file in files
            for place, line in file.content.records.items()
        }

    def find(self, dataset: str, name: str, content: str) -> ImageRecords:
        """Returns the records of an image with exactly these pixels and this truth.

        Args:
            dataset: Name of the dataset.
            name: Name of the image.
            content: Its hash (`content_of`).

        Raises:
            ValueError: No share has them.
        """
        line = self._records.get((dataset, name))
        if line is None:
            raise ValueError(
                f"{name} of {dataset}: got no records of it, expected some: a share was "
                "not finished; run it again, which measures what is missing"
            )
        if line["content"] != content:
            raise ValueError(
                f"{name} of {dataset}: got records of other pixels or another truth than "
                "those of --data: the data has changed, or is another version"
            )
        return records_of(line)

    def add(self, dataset: str, content: str, records: ImageRecords) -> NoReturn:
        """Refuses: nothing is measured.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"got new records of {records.name}, expected those of shares")


def find_shares(folders: Iterable[Path], name: str) -> list[ShareFile]:
    """Reads the records of the shares in folders.

    Args:
        folders: The folders.
        name: Name of the file for the records of the whole evaluation.

    Raises:
        ValueError: There is none, or a file is damaged.
        OSError: A folder is not there or cannot be read.
    """
    found = [file for folder in folders for file in _in_folder(folder, name)]
    if not found:
        example = share_file(Path(name), Share(0, 4)).name
        raise ValueError(
            f"--merge: got no records of shares ({example} and so on), expected the "
            "folders of --out of the same command with --share"
        )
    return found


def _in_folder(folder: Path, name: str) -> Iterator[ShareFile]:
    for path in sorted(folder.iterdir()):
        match = _OF_A_SHARE.search(path.name)
        if match is None:
            continue
        share = Share(int(match[1]), int(match[2]))
        if path.name != share_file(Path(name), share).name:
            continue
        content = read_kept(path)
        if content is None:
            raise ValueError(
                f"{path}: expected the records of a share: run it again with --share "
                f"{share.index}/{share.count}"
            )
        yield ShareFile(path, share, content)


def _check_parts(files: Sequence[ShareFile]) -> None:
    """Checks that the shares are of one division, and each is there once."""
    counts = sorted({file.share.count for file in files})
    if len(counts) > 1:
        raise ValueError(
            f"got shares of {' and of '.join(map(str, counts))} parts, expected those of "
            "one division: move the others away"
        )
    by_index: dict[int, Path] = {}
    for file in files:
        if (before := by_index.setdefault(file.share.index, file.path)) != file.path:
            raise ValueError(
                f"got share {file.share.index}/{file.share.count} twice, {before} and "
                f"{file.path}, expected it once"
            )
    missing = [str(index) for index in range(counts[0]) if index not in by_index]
    if missing:
        raise ValueError(
            f"got {len(by_index)} of {counts[0]} shares, expected {', '.join(missing)} "
            f"too: run the same command with --share {missing[0]}/{counts[0]}"
        )


def _check_same(first: ShareFile, other: Any, got: str) -> None:
    """Checks that another evaluation is that of the first share, and names what differs."""
    differences = list(_differences(first.content.evaluation, other))
    if differences:
        parts = "; ".join(
            f"{name or 'the evaluation'} {_short(theirs)}, expected {_short(own)}"
            for name, own, theirs in differences[:_MOST_NAMED]
        )
        more = len(differences) - _MOST_NAMED
        raise ValueError(
            f"{got} {parts}{f' and {more} more' if more > 0 else ''}, as in {first.path}: "
            "only shares of one evaluation are merged"
        )


def _differences(
    own: Any, other: Any, name: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yields the fields that differ: name, value here, value there."""
    if isinstance(own, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*own, *other]):
            inner = f"{name}.{key}" if name else key
            yield from _differences(own.get(key), other.get(key), inner)
    elif own != other:
        yield name, own, other


def _short(value: Any) -> str:
    text = json_text(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
