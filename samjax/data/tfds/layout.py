"""The files of a dataset that is being built: its plan, its shards, their reports.

    build.json                                        what is built, of which tars
    segment_anything-train.array_record-00000-of-...  a part of one tar
    reports/segment_anything-train....json            what became of that part
    dataset_info.json, features.json                  once all shards are there

The plan is written first and never changes, so that all who build agree on the numbers
of shards. A shard counts as done when its report is there, which is written last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from samjax.data.tfds.schema import DATASET
from samjax.files import WouldReplace, creating, json_text, replacing

SPLIT = "train"


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """What becomes of the images, and into how many files they go.

    Attributes:
        long_side: Of the stored images, in pixels; smaller images stay as they are, and
            None keeps all as they are. Masks always keep the original's size.
        quality: Of the JPEG files of images that are made smaller, 1 to 100.
        parts: Shards of a tar. Four make shards of about a gigabyte of SA-1B's tars.
    """

    long_side: int | None = 1024
    quality: int = 95
    parts: int = 4

    def __post_init__(self):
        problems = []
        if self.long_side is not None and self.long_side < 1:
            problems.append(f"long_side={self.long_side}: use at least 1, or None")
        if not 1 <= self.quality <= 100:
            problems.append(f"quality={self.quality}: use 1 to 100")
        if not 1 <= self.parts <= 1000:
            problems.append(f"parts={self.parts}: use 1 to 1000")
        if problems:
            raise ValueError("BuildConfig: " + "; ".join(problems))


class Report(TypedDict):
    """What became of a shard's part of a tar. It holds no times: equal work, equal files.

    Attributes:
        tar: Name of the tar.
        part: Which part of it, from 0.
        damage: What is wrong with the tar itself, None if nothing is.
        written: Images in the shard.
        masks: Masks of these.
        bad: What is wrong with each image that is not in the shard, by its name.
        bad_masks: What is wrong with masks that were left out, by the name of their
            image.
        ids: Numbers of the images in the shard, in its order.
        bytes: Of the shard's file.
        example_bytes: Of the examples in it.
    """

    tar: str
    part: int
    damage: str | None
    written: int
    masks: int
    bad: dict[str, str]
    bad_masks: dict[str, list[str]]
    ids: list[int]
    bytes: int
    example_bytes: int


class Plan(NamedTuple):
    """What is built, of which tars, and where.

    Attributes:
        folder: Of the dataset.
        tars: In the order of their names.
        config: What becomes of the images.
    """

    folder: Path
    tars: tuple[Path, ...]
    config: BuildConfig

    @property
    def num_shards(self) -> int:
        """All shards of the dataset."""
        return len(self.tars) * self.config.parts

    def shard(self, number: int) -> Path:
        """Returns the path of a shard."""
        return self.folder / shard_name(number, self.num_shards)

    def report(self, number: int) -> Path:
        """Returns the path of a shard's report."""
        return self.folder / "reports" / f"{self.shard(number).name}.json"

    def tar_and_part(self, number: int) -> tuple[Path, int]:
        """Returns the tar of a shard, and which part of it the shard holds."""
        tar, part = divmod(number, self.config.parts)
        return self.tars[tar], part


def shard_name(number: int, num_shards: int) -> str:
    """Returns the name that TFDS expects of a shard."""
    return f"{DATASET}-{SPLIT}.array_record-{number:05d}-of-{num_shards:05d}"


def make_plan(
    tars: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    config: BuildConfig,
    *,
    overwrite: bool = False,
) -> Plan:
    """Writes the plan of a dataset, or finds the same one there.

    Args:
        tars: All of them, whoever builds which.
        folder: Of the dataset; made if need be.
        config: What becomes of the images.
        overwrite: Whether files of the dataset's names are replaced that no build made.

    Raises:
        WouldReplace: the folder has such files.
        ValueError: there are no tars, or two of one name, or something else was begun
            in the folder.
        OSError: a tar is not there, or the folder cannot be written.
    """
    paths = sorted((Path(tar) for tar in tars), key=lambda path: path.name)
    names = [path.name for path in paths]
    if not names:
        raise ValueError("got no tars to build a dataset of")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"got two tars named {twice[0]}, expected every name once")
    plan = Plan(Path(folder), tuple(paths), config)
    if not overwrite:
        _check_new(plan)
    plan.report(0).parent.mkdir(parents=True, exist_ok=True)
    sizes = {path.name: path.stat().st_size for path in paths}
    begin_plan(plan.folder / "build.json", sizes, config)
    return plan


def begin_plan(place: Path, tars: Mapping[str, int], config: BuildConfig) -> None:
    """Writes what is built to a file, or finds the same there.

    Args:
        place: The file.
        tars: Their sizes in bytes by their names, in order.
        config: What becomes of the images.

    Raises:
        ValueError: something else is there.
        OSError: it cannot be written.
    """
    content = dataclasses.asdict(config) | {"tars": [list(tar) for tar in tars.items()]}
    if not place.exists():
        # Of two builds that begin at once, the second one compares itself.
        with contextlib.suppress(FileExistsError), creating(place) as hidden:
            hidden.write_text(json_text(content, indent=1) + "\n")
    if changes := _changes(_read_json(place), content):
        raise ValueError(
            f"{place} says that another dataset was begun here ({changes}): give the "
            "same tars and options to go on with it, or another folder"
        )


def _check_new(plan: Plan) -> None:
    """Refuses to build over a dataset that no build began."""
    begun = plan.folder / "build.json"
    names = [shard_name(number, plan.num_shards) for number in range(plan.num_shards)]
    for name in (*names, "dataset_info.json", "features.json"):
        if (plan.folder / name).exists() and not begun.exists():
            raise WouldReplace(
                f"{plan.folder / name} is there and is of no build of samjax: build in "
                "another folder, or give --overwrite (overwrite=True) to replace it"
            )


def read_report(plan: Plan, number: int) -> Report | None:
    """Returns the report of a shard that is done, None for one that is not."""
    report = _read_json(plan.report(number))
    if not isinstance(report, dict) or set(report) != set(Report.__annotations__):
        return None
    try:
        is_whole = plan.shard(number).stat().st_size == report["bytes"]
    except FileNotFoundError:
        return None
    return Report(**report) if is_whole else None


def write_report(plan: Plan, number: int, report: Report) -> None:
    """Writes a shard's report, by which the shard is done.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(plan.report(number)) as hidden:
        hidden.write_text(json_text(report, indent=1) + "\n")


def sweep(plan: Plan, number: int) -> None:
    """Removes what killed processes left of a shard that is done."""
    for path in (plan.shard(number), plan.report(number)):
        name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]+\.tmp")
        for left in path.parent.glob(f".{path.name}.*"):
            if name.fullmatch(left.name):
                left.unlink(missing_ok=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _changes(begun: Any, content: dict[str, Any]) -> str:
    """What differs between the plan that is there and the one that is wanted."""
    if not isinstance(begun, dict):
        return "it cannot be read"
    changes = [
        f"{name} was {begun.get(name)}, now {content[name]}"
        for name in content
        if name != "tars" and begun.get(name) != content[name]
    ]
    if begun.get("tars") != content["tars"]:
        there = {tuple(tar) for tar in begun.get("tars", [])}
        wanted = {tuple(tar) for tar in content["tars"]}
        names = sorted({name for name, _ in there ^ wanted})
        shown = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
        changes.append(
            f"it was of {len(there)} tars, now of {len(wanted)}; names or sizes "
            f"differ of {shown}"
        )
    return "; ".join(changes)
