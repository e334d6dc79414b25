"""A run of everything mode that can be stopped, resumed and shared.

Results are files that are whole or not there, and a file that is there is not made
again. So a run that was killed at any instant goes on when it is started anew, and ends
with the files that it would have ended with; and processes that share a run by index
need nothing of each other. What is there and is not whole is told and made again; what is
there and is no result is the user's, and stays.

    out/sa_1.json             the record of sa_1.jpg, or instead of these
    out/sa_000000.tar         a shard of images and records, as SA-1B has them
    out/run/settings.json     weights and options; another run's are refused
    out/run/problems.json     images that could not be read, and why
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from samjax.data.formats import write_record, write_shard
from samjax.data.images import Item
from samjax.data.schema import Record, record_from_json
from samjax.data.upright_files import upright_file
from samjax.files import locked
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.hierarchy import with_hierarchy
from samjax.inference.embedding import weights_fingerprint
from samjax.inference.images import read_image
from samjax.inference.many import Outcome, generate_for_many
from samjax.inference.predictor import Predictor
from samjax.inference.run_folder import (
    Found,
    begin_run,
    find_record,
    find_shard,
    name_problem,
    record_path,
    shard_path,
    write_problems,
)

# Ids of an image's masks start at its place times this.
IDS_PER_IMAGE = 1_000_000


class Share(NamedTuple):
    """Which part of a run is this process's: every `count`-th unit from `index` on.

    A unit is an image, or a shard where shards are written.
    """

    index: int = 0
    count: int = 1


ALL = Share()


class Done(NamedTuple):
    """An image of a run, just finished or found finished.

    Attributes:
        item: the image.
        record: its masks; None where it could not be read.
        outcome: what was computed; None where the record was there already.
        note: what is to be told of it: results that were damaged.
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
    before_record: Callable[[Outcome, Record], None] | None = None,
    overwrite: bool = False,
) -> Iterator[Done]:
    """Segments everything in many images and writes what it finds to a folder.

    Args:
        predictor: the model.
        items: the images of the whole run, from `samjax.data.images.find_images`.
        out: the folder; made if need be.
        config: options; by default the release's, with the thresholds that suit the
            model (`AutomaticConfig.for_model`).
        hierarchy: adds to each mask its `parent` and `depth`.
        tile_size: side of the tiles of very large images; None takes images as a whole.
        shard_size: images of a tar shard; None writes a JSON file for each image.
        share: this process's part.
        in_flight: images under way at a time on each device.
        before_record: is called before a record is written, for files beside it.
        overwrite: whether files are replaced that are no results of the run.

    Yields:
        Every image of the share, in order.

    Raises:
        WouldReplace: the folder has files of results' names that no run made.
        ValueError: the folder has results of other weights or options.
        OSError: a file cannot be written.
    """
    config = config or AutomaticConfig().for_model(predictor.model.config)
    config = dataclasses.replace(config, output_mode="coco_rle")
    settings = {
        # Of the image encoder; with other decoders it has other masks.
        "weights": predictor.fingerprint,
        "model": weights_fingerprint(predictor.model.config, predictor.params),
        "hierarchy": hierarchy,
        "tile_size": tile_size,
        "shard_size": shard_size,
        **plain_options(config),
    }
    results = result_paths(items, out, shard_size)
    begin_run(out, results, settings, overwrite=overwrite)
    run = _Run(
        predictor, config, hierarchy, tile_size, in_flight, before_record, overwrite
    )
    numbers = image_numbers(items)
    mine = list(enumerate(items))
    suffix = "" if share.count == 1 else f"-{share.index}-of-{share.count}"
    if shard_size is None:
        mine = mine[share.index :: share.count]
        problem_file = out / "run" / f"problems{suffix}.json"
        yield from run.to_folder(mine, numbers, out, problem_file)
        return
    for number in range(share.index, len(results), share.count):
        first = number * shard_size
        shard = results[number]
        yield from run.to_shard(mine[first : first + shard_size], numbers, shard)


def result_paths(
    items: Sequence[Item], out: Path, shard_size: int | None
) -> list[Path]:
    """Where the records of a run go, or its shards."""
    if shard_size is None:
        good = (item for item in items if not name_problem(item, in_shard=False))
        return [record_path(out, item) for item in good]
    return [shard_path(out, number) for number in range(-(-len(items) // shard_size))]


def image_numbers(items: Sequence[Item]) -> list[int]:
    """The ids of images: those in SA-1B's names, or else their places."""
    found = [re.fullmatch(r"sa_(\d{1,15})", item.stem) for item in items]
    numbers = [int(match[1]) for match in found if match]
    if len(set(numbers)) == len(items):
        return numbers
    return list(range(len(items)))


@dataclasses.dataclass(frozen=True)
class _Run:
    predictor: Predictor
    config: AutomaticConfig
    hierarchy: bool
    tile_size: int | None
    in_flight: int
    before_record: Callable[[Outcome, Record], None] | None
    overwrite: bool

    def to_folder(
        self,
        items: Sequence[tuple[int, Item]],
        numbers: Sequence[int],
        folder: Path,
        problem_file: Path,
        problems: dict[str, str] | None = None,
        *,
        in_shard: bool = False,
    ) -> Iterator[Done]:
        """Makes the records that are not there, and yields all."""
        problems = {} if problems is None else problems
        missing = [
            item
            for _, item in items
            if not name_problem(item, in_shard=in_shard)
            and not os.path.lexists(record_path(folder, item))
        ]
        outcomes = self._outcomes(missing)
        to_do = {item.stem for item in missing}
        for place, item in items:
            note = ""
            if item.stem in to_do:
                outcome = next(outcomes)
            else:
                found = self._found(item, folder, in_shard)
                if found.record is not None:
                    yield Done(item, found.record, None)
                    continue
                note = found.note
                outcome = (
                    Outcome(item=item, problem=found.problem)
                    if found.problem
                    else next(self._outcomes([item]))
                )
            if outcome.problem is not None:
                problems[item.name] = outcome.problem
                yield Done(item, None, outcome, note)
                continue
            record = self._record(outcome, place, numbers[place])
            if self.before_record is not None:
                self.before_record(outcome, record)
            write_record(folder, record)
            yield Done(item, record, outcome, note)
        write_problems(problem_file, problems)

    def _outcomes(self, items: Sequence[Item]) -> Iterator[Outcome]:
        return generate_for_many(
            self.predictor,
            items,
            self.config,
            in_flight=self.in_flight,
            tile_size=self.tile_size,
        )

    def _found(self, item: Item, folder: Path, in_shard: bool) -> Found:
        # Before the image is computed, and before its name is part of a path.
        if problem := name_problem(item, in_shard=in_shard):
            return Found(problem=problem)
        return find_record(record_path(folder, item), overwrite=self.overwrite)

    def to_shard(
        self, items: Sequence[tuple[int, Item]], numbers: Sequence[int], shard: Path
    ) -> Iterator[Done]:
        """Makes a shard that is not there, record by record, and packs it.

        Two processes may do so at once: who packs first has all records, and removes
        their folder; the other one finds the shard.
        """
        folder = shard.with_name(f".{shard.stem}")
        is_there, note = find_shard(shard)
        if is_there:
            # Of a run that was killed after it had packed the shard.
            shutil.rmtree(folder, ignore_errors=True)
            for _, item in items:
                yield Done(item, None, None)
            return
        folder.mkdir(exist_ok=True)
        problem_file = shard.parent / "run" / f"{shard.stem}.problems.json"
        problems: dict[str, str] = {}
        for done in self.to_folder(
            items, numbers, folder, problem_file, problems, in_shard=True
        ):
            yield done._replace(note=" ".join(filter(None, (note, done.note))))
            note = ""

        told = len(problems)

        def members() -> Iterator[tuple[str, bytes, Record]]:
            for _, item in items:
                if item.name in problems:
                    continue
                record = record_from_json(record_path(folder, item).read_bytes())
                try:
                    image = _file_bytes(item)
                except (OSError, ValueError) as error:
                    # It was there when its masks were made.
                    problems[item.name] = " ".join(str(error).split())
                    continue
                yield record["image"]["file_name"], image, record

        lock = shard.with_name(f".{shard.stem}.lock")
        with locked(lock, f"the shard {shard}", wait=True):
            if not shard.exists():
                write_shard(shard, members())
            shutil.rmtree(folder, ignore_errors=True)
        if len(problems) > told:
            write_problems(problem_file, problems)

    def _record(self, outcome: Outcome, place: int, number: int) -> Record:
        height, width = outcome.size
        annotations = list(outcome.annotations)
        if self.hierarchy:
            annotations = with_hierarchy(annotations)
        for annotation in annotations:
            annotation["id"] += place * IDS_PER_IMAGE
            if math.isnan(annotation["stability_score"]):
                # An empty mask's, as in the release; JSON has no such number.
                annotation["stability_score"] = 0.0
            if (parent := annotation.get("parent")) is not None:
                annotation["parent"] = parent + place * IDS_PER_IMAGE
        return {
            "image": {
                "image_id": number,
                "width": width,
                "height": height,
                "file_name": outcome.item.name,
                "frame": "upright",
            },
            "annotations": annotations,
        }


def _file_bytes(item: Item) -> bytes:
    """The bytes of an image's file, upright; of an image in memory, those of a PNG."""
    source = item.read()
    if isinstance(source, bytes):
        # Who reads shards takes pixels as they are stored, as SA-1B's are.
        return upright_file(source, item.name)
    data = io.BytesIO()
    Image.fromarray(read_image(source)).save(data, format="PNG")
    return data.getvalue()


def plain_options(config: AutomaticConfig) -> dict[str, Any]:
    """Returns the options that results depend on, as JSON has them."""
    return {
        field.name: _plain(getattr(config, field.name))
        for field in dataclasses.fields(config)
        # It changes nothing but memory and time.
        if field.name != "points_per_batch"
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [np.asarray(grid).tolist() for grid in value]
    return value
