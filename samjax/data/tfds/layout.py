"""The files of a dataset under construction: its plan, its shards, their reports.

    build.json                                        the plan: tars and options
    segment_anything-train.array_record-00000-of-...  a part of one tar
    reports/segment_anything-train....json            the report of that part
    dataset_info.json, features.json                  once all shards are done

The plan is written first and never changes, so that all processes agree on the indices
of shards. A shard counts as done when its report exists, which is written last.
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
    """Size and encoding of the stored images, and the number of shards.

    Attributes:
        long_side: Longer side of the stored images in pixels; smaller images are kept,
            and None keeps all. Masks always keep the original size.
        quality: JPEG quality of images that are reduced, 1 to 100.
        parts: Shards per tar. Four make shards of about a gigabyte of SA-1B's tars.
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
    """The report of a shard. It has no timestamps, so that equal work gives equal files.

    Attributes:
        tar: Name of the tar.
        part: Index of the part of the tar, from 0.
        damage: Description of the damage of the tar, None if it is sound.
        written: Number of images in the shard.
        masks: Number of their masks.
        bad: The problem of each image that was left out, by its name.
        bad_masks: The problems of masks that were left out, by the name of their image.
        ids: Ids of the images in the shard, in its order.
        bytes: Size of the shard's file.
        example_bytes: Size of the examples in it.
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
    """The plan of a build.

    Attributes:
        folder: Folder of the dataset.
        tars: Paths of the tars, in the order of their names.
        config: Size and encoding of the images, and the number of shards.
    """

    folder: Path
    tars: tuple[Path, ...]
    config: BuildConfig

    @property
    def num_shards(self) -> int:
        """Number of shards of the dataset."""
        return len(self.tars) * self.config.parts

    def shard(self, index: int) -> Path:
        """Returns the path of a shard."""
        return self.folder / shard_name(index, self.num_shards)

    def report(self, index: int) -> Path:
        """Returns the path of a shard's report."""
        return self.folder / "reports" / f"{self.shard(index).name}.json"

    def tar_and_part(self, index: int) -> tuple[Path, int]:
        """Returns the tar of a shard, and the index of its part of the tar."""
        tar, part = divmod(index, self.config.parts)
        return self.tars[tar], part


def shard_name(index: int, num_shards: int) -> str:
    """Returns the name that TFDS expects of a shard."""
    return f"{DATASET}-{SPLIT}.array_record-{index:05d}-of-{num_shards:05d}"


def make_plan(
    tars: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    config: BuildConfig,
    *,
    overwrite: bool = False,
) -> Plan:
    """Writes the plan of a dataset, or checks the plan that is there.

    Args:
        tars: All tars of the dataset, whatever part of them this process builds.
        folder: Folder of the dataset; created if missing.
        config: Size and encoding of the images, and the number of shards.
        overwrite: Whether to replace files with the dataset's names that no build
            wrote.

    Raises:
        WouldReplace: The folder has such files.
        ValueError: There are no tars, or two with the same name, or another build was
            begun in the folder.
        OSError: A tar does not exist, or the folder cannot be written.
    """
    paths = sorted((Path(tar) for tar in tars), key=lambda path: path.name)
    names = [path.name for path in paths]
    if not names:
        raise ValueError("got no tars to build a dataset of")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"got two tars named {repeated[0]}, expected every name once")
    plan = Plan(Path(folder), tuple(paths), config)
    if not overwrite:
        _check_new(plan)
    plan.report(0).parent.mkdir(parents=True, exist_ok=True)
    sizes = {path.name: path.stat().st_size for path in paths}
    begin_plan(plan.folder / "build.json", sizes, config)
    return plan


def begin_plan(path: Path, tars: Mapping[str, int], config: BuildConfig) -> None:
    """Writes the plan to a file, or checks the plan that is there.

    Args:
        path: Path of the file.
        tars: The sizes of the tars in bytes by their names, in order.
        config: Size and encoding of the images, and the number of shards.

    Raises:
        ValueError: The file has another plan.
        OSError: The file cannot be written.
    """
    content = dataclasses.asdict(config) | {"tars": [list(tar) for tar in tars.items()]}
    if not path.exists():
        # Of two builds that start at once, the second compares its plan with the
        # first's.
        with contextlib.suppress(FileExistsError), creating(path) as hidden:
            hidden.write_text(json_text(content, indent=1) + "\n")
    if changes := _changes(_read_json(path), content):
        raise ValueError(
            f"{path} is the plan of another dataset ({changes}): give the "
            "same tars and options to resume it, or another folder"
        )


def _check_new(plan: Plan) -> None:
    """Raises if the folder has files of a dataset that no build of samjax began."""
    begun = plan.folder / "build.json"
    names = [shard_name(index, plan.num_shards) for index in range(plan.num_shards)]
    for name in (*names, "dataset_info.json", "features.json"):
        if (plan.folder / name).exists() and not begun.exists():
            raise WouldReplace(
                f"{plan.folder / name} exists and is not from a build of samjax: build in "
                "another folder, or give --overwrite (overwrite=True) to replace it"
            )


def read_report(plan: Plan, index: int) -> Report | None:
    """Returns the report of a finished shard; None if the shard is not finished."""
    report = _read_json(plan.report(index))
    if not isinstance(report, dict) or set(report) != set(Report.__annotations__):
        return None
    try:
        is_whole = plan.shard(index).stat().st_size == report["bytes"]
    except FileNotFoundError:
        return None
    return Report(**report) if is_whole else None


def write_report(plan: Plan, index: int, report: Report) -> None:
    """Writes a shard's report, which marks the shard as done.

    Raises:
        OSError: The report cannot be written.
    """
    with replacing(plan.report(index)) as hidden:
        hidden.write_text(json_text(report, indent=1) + "\n")


def sweep(plan: Plan, index: int) -> None:
    """Removes temporary files of killed processes beside a finished shard."""
    for path in (plan.shard(index), plan.report(index)):
        name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]+\.tmp")
        for leftover in path.parent.glob(f".{path.name}.*"):
            if name.fullmatch(leftover.name):
                leftover.unlink(missing_ok=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _changes(begun: Any, content: dict[str, Any]) -> str:
    """Describes the differences between the existing plan and the requested one."""
    if not isinstance(begun, dict):
        return "it cannot be read"
    changes = [
        f"{name} was {begun.get(name)}, now {content[name]}"
        for name in content
        if name != "tars" and begun.get(name) != content[name]
    ]
    if begun.get("tars") != content["tars"]:
        existing = {tuple(tar) for tar in begun.get("tars", [])}
        requested = {tuple(tar) for tar in content["tars"]}
        names = sorted({name for name, _ in existing ^ requested})
        shown = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
        changes.append(
            f"it was of {len(existing)} tars, now of {len(requested)}; names or sizes "
            f"differ of {shown}"
        )
    return "; ".join(changes)
