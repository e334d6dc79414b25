"""Everything mode over many images into a folder: resumable, and shared by processes.

Every result is a file that appears complete or not at all, and existing results are kept.
A run that was killed at any instant therefore continues when it is started again, with
the same final files, and processes that share a run by index need no communication.
Damaged results are reported and made again; files that are no results belong to the user
and stay.

    out/sa_1.json             the record of sa_1.jpg, or instead of records
    out/sa_000000.tar         a shard of images and records, as in SA-1B
    out/run/settings.json     weights and options; a run with others is refused
    out/run/problems.json     images that could not be read, with the reasons
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image

from samjax.data.formats import write_record, write_shard
from samjax.data.images import Item
from samjax.data.schema import Record, record_from_json
from samjax.data.share import ALL, Share
from samjax.data.upright_files import upright_file
from samjax.engine.run_folder import (
    EarlierResult,
    begin_run,
    find_record,
    find_shard,
    name_problem,
    record_path,
    shard_path,
    write_problems,
)
from samjax.engine.schedule import Generate, Outcome, generate_for_many
from samjax.files import locked
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.hierarchy import with_hierarchy
from samjax.inference.embedding import weights_fingerprint
from samjax.inference.images import read_image
from samjax.inference.predictor import Predictor

# Ids of an image's masks start at its index in the run times this.
IDS_PER_IMAGE = 1_000_000


class Done(NamedTuple):
    """An image of a run that is done, in this process or before.

    Attributes:
        item: the image.
        record: its record; None where it could not be read.
        outcome: the computed masks; None where the record existed already.
        note: a message for users about damaged earlier results.
    """

    item: Item
    record: Record | None
    outcome: Outcome | None
    note: str = ""


def generate_to_folder(
    predictor: Predictor,
    items: Sequence[Item],
    out: Path,
    config: AutomaticConfig | None = None,
    *,
    hierarchy: bool = False,
    tile_size: int | None = None,
    shard_size: int | None = None,
    share: Share = ALL,
    in_flight: int = 2,
    generate: Generate | None = None,
    how: Mapping[str, Any] | None = None,
    before_record: Callable[[Outcome, Record], None] | None = None,
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> Iterator[Done]:
    """Segments everything in many images and writes the records to a folder.

    Args:
        predictor: the model.
        items: the images of the whole run, from `samjax.data.images.find_images`.
        out: the folder; created if missing.
        config: options; by default the release's, with the thresholds that suit the
            model (`AutomaticConfig.for_model`).
        hierarchy: whether each mask gets its `parent` and `depth`.
        tile_size: side of the tiles of very large images; None for no tiles.
        shard_size: number of images of a tar shard; None for one JSON file per image.
        share: the part of the run that this process does.
        in_flight: number of images in flight on each device.
        generate: returns the masks of an image without tiles; None for everything mode
            with `config`.
        how: what the results of `generate` depend on, as JSON types, beside `config`.
        before_record: called before a record is written, to write files beside it.
        overwrite: whether files that are no results of a run are replaced.
        provenance: further fields of every mask: `stage`, `round` and others of the data
            engine.

    Yields:
        Every image of the share, in order.

    Raises:
        WouldReplace: the folder has files with names of results that no run wrote.
        ValueError: the folder has results of other weights or options.
        OSError: a file cannot be written.
    """
    config = config or AutomaticConfig().for_model(predictor.model.config)
    config = dataclasses.replace(config, output_mode="coco_rle")
    settings = {
        # Runs of earlier versions wrote this hash alone, which covers the image encoder.
        "weights": predictor.fingerprint,
        "model": weights_fingerprint(predictor.model.config, predictor.params),
        "hierarchy": hierarchy,
        "tile_size": tile_size,
        "shard_size": shard_size,
        **plain_options(config),
        **(how or {}),
        # Left out where there is none: runs of earlier versions can be resumed.
        **({"provenance": dict(provenance)} if provenance else {}),
    }
    results = result_paths(items, out, shard_size)
    begin_run(out, results, settings, overwrite=overwrite)
    run = _FolderRun(
        predictor,
        config,
        hierarchy,
        tile_size,
        in_flight,
        generate,
        before_record,
        overwrite,
        provenance or {},
    )
    image_ids = assign_image_ids(items)
    indexed = list(enumerate(items))
    suffix = "" if share.count == 1 else f"-{share.index}-of-{share.count}"
    if shard_size is None:
        own = indexed[share.index :: share.count]
        problem_file = out / "run" / f"problems{suffix}.json"
        yield from run.to_folder(own, image_ids, out, problem_file)
        return
    for index in range(share.index, len(results), share.count):
        first = index * shard_size
        items_of_shard = indexed[first : first + shard_size]
        yield from run.to_shard(items_of_shard, image_ids, results[index])


def result_paths(
    items: Sequence[Item], out: Path, shard_size: int | None
) -> list[Path]:
    """Returns the paths of a run's records, or of its shards."""
    if shard_size is None:
        named = (item for item in items if not name_problem(item, in_shard=False))
        return [record_path(out, item) for item in named]
    return [shard_path(out, index) for index in range(-(-len(items) // shard_size))]


def assign_image_ids(items: Sequence[Item]) -> list[int]:
    """Returns the ids of images: those in SA-1B's names, or else their indices."""
    matches = [re.fullmatch(r"sa_(\d{1,15})", item.stem) for item in items]
    ids = [int(match[1]) for match in matches if match]
    if len(set(ids)) == len(items):
        return ids
    return list(range(len(items)))


@dataclasses.dataclass(frozen=True)
class _FolderRun:
    predictor: Predictor
    config: AutomaticConfig
    hierarchy: bool
    tile_size: int | None
    in_flight: int
    generate: Generate | None
    before_record: Callable[[Outcome, Record], None] | None
    overwrite: bool
    provenance: Mapping[str, Any]

    def to_folder(
        self,
        items: Sequence[tuple[int, Item]],
        image_ids: Sequence[int],
        folder: Path,
        problem_file: Path,
        problems: dict[str, str] | None = None,
        *,
        in_shard: bool = False,
    ) -> Iterator[Done]:
        """Makes the missing records, and yields all images in order."""
        problems = {} if problems is None else problems
        missing = [
            item
            for _, item in items
            if not name_problem(item, in_shard=in_shard)
            and not os.path.lexists(record_path(folder, item))
        ]
        outcomes = self._outcomes(missing)
        stems_to_do = {item.stem for item in missing}
        for index, item in items:
            note = ""
            if item.stem in stems_to_do:
                outcome = next(outcomes)
            else:
                earlier = self._earlier(item, folder, in_shard)
                if earlier.record is not None:
                    yield Done(item, earlier.record, None)
                    continue
                note = earlier.note
                outcome = (
                    Outcome(item=item, problem=earlier.problem)
                    if earlier.problem
                    else next(self._outcomes([item]))
                )
            if outcome.problem is not None:
                problems[item.name] = outcome.problem
                yield Done(item, None, outcome, note)
                continue
            record = self._record(outcome, index, image_ids[index])
            if self.before_record is not None:
                self.before_record(outcome, record)
            # What is there was found to be of this run, or is replaced as asked.
            write_record(folder, record, overwrite=True)
            yield Done(item, record, outcome, note)
        write_problems(problem_file, problems)

    def _outcomes(self, items: Sequence[Item]) -> Iterator[Outcome]:
        return generate_for_many(
            self.predictor,
            items,
            self.config,
            in_flight=self.in_flight,
            tile_size=self.tile_size,
            generate=self.generate,
        )

    def _earlier(self, item: Item, folder: Path, in_shard: bool) -> EarlierResult:
        # Checked before the name becomes part of a path.
        if problem := name_problem(item, in_shard=in_shard):
            return EarlierResult(problem=problem)
        return find_record(record_path(folder, item), overwrite=self.overwrite)

    def to_shard(
        self, items: Sequence[tuple[int, Item]], image_ids: Sequence[int], shard: Path
    ) -> Iterator[Done]:
        """Makes a missing shard: its records in a hidden folder, then the tar of them.

        Two processes may work on one shard: the first to finish packs it and removes the
        folder, the other one keeps the packed shard.
        """
        folder = shard.with_name(f".{shard.stem}")
        exists, note = find_shard(shard)
        if exists:
            # Left by a run that was killed between packing and removal.
            shutil.rmtree(folder, ignore_errors=True)
            for _, item in items:
                yield Done(item, None, None)
            return
        folder.mkdir(exist_ok=True)
        problem_file = shard.parent / "run" / f"{shard.stem}.problems.json"
        problems: dict[str, str] = {}
        for done in self.to_folder(
            items, image_ids, folder, problem_file, problems, in_shard=True
        ):
            yield done._replace(note=" ".join(filter(None, (note, done.note))))
            note = ""

        reported = len(problems)

        def members() -> Iterator[tuple[str, bytes, Record]]:
            for _, item in items:
                if item.name in problems:
                    continue
                record = record_from_json(record_path(folder, item).read_bytes())
                try:
                    image = _file_bytes(item)
                except (OSError, ValueError) as error:
                    # The file was removed or changed since its masks were made.
                    problems[item.name] = " ".join(str(error).split())
                    continue
                yield record["image"]["file_name"], image, record

        lock = shard.with_name(f".{shard.stem}.lock")
        with locked(lock, f"the shard {shard}", wait=True):
            if not shard.exists():
                write_shard(shard, members())
            shutil.rmtree(folder, ignore_errors=True)
        if len(problems) > reported:
            write_problems(problem_file, problems)

    def _record(self, outcome: Outcome, index: int, image_id: int) -> Record:
        height, width = outcome.size
        annotations = list(outcome.annotations)
        if self.hierarchy:
            annotations = with_hierarchy(annotations)
        for annotation in annotations:
            cast(dict, annotation).update(self.provenance)
            annotation["id"] += index * IDS_PER_IMAGE
            if math.isnan(annotation["stability_score"]):
                # NaN for an empty mask, as in the release; JSON has no NaN.
                annotation["stability_score"] = 0.0
            if (parent := annotation.get("parent")) is not None:
                annotation["parent"] = parent + index * IDS_PER_IMAGE
        return {
            "image": {
                "image_id": image_id,
                "width": width,
                "height": height,
                "file_name": outcome.item.name,
                "frame": "upright",
            },
            "annotations": annotations,
        }


def _file_bytes(item: Item) -> bytes:
    """Returns an image's file, made upright; for an image in memory, a PNG."""
    source = item.read()
    if isinstance(source, bytes):
        # Readers of shards ignore EXIF orientation, since SA-1B's pixels are upright.
        return upright_file(source, item.name)
    data = io.BytesIO()
    Image.fromarray(read_image(source)).save(data, format="PNG")
    return data.getvalue()


def plain_options(config: AutomaticConfig) -> dict[str, Any]:
    """Returns the options that results depend on, as JSON types."""
    return {
        field.name: _plain(getattr(config, field.name))
        for field in dataclasses.fields(config)
        # Results do not depend on it, only memory and time.
        if field.name != "points_per_batch"
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [np.asarray(grid).tolist() for grid in value]
    return value
