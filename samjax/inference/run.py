"""A run of everything mode that can be stopped, resumed and shared.

Results are files that are whole or not there, and a file that is there is not made
again. So a run that was killed at any instant goes on when it is started anew, and ends
with the files that it would have ended with; and processes that share a run by index
need nothing of each other.

    out/sa_1.json             the record of sa_1.jpg, or instead of these
    out/sa_000000.tar         a shard of images and records, as SA-1B has them
    out/run/settings.json     weights and options; another run's are refused
    out/run/problems.json     images that could not be read, and why
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from samjax.data.formats import write_record, write_shard
from samjax.data.images import Item
from samjax.data.schema import Record, record_from_json
from samjax.data.upright_files import upright_file
from samjax.files import replacing
from samjax.inference.automatic_config import AutomaticConfig
from samjax.inference.hierarchy import with_hierarchy
from samjax.inference.images import read_image
from samjax.inference.many import Outcome, generate_for_many
from samjax.inference.predictor import Predictor

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
    """

    item: Item
    record: Record | None
    outcome: Outcome | None


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
) -> Iterator[Done]:
    """Segments everything in many images and writes what it finds to a folder.

    Args:
        predictor: the model.
        items: the images of the whole run, from `samjax.data.images.find_images`.
        out: the folder; made if need be.
        config: options; by default the release's.
        hierarchy: adds to each mask its `parent` and `depth`.
        tile_size: side of the tiles of very large images; None takes images as a whole.
        shard_size: images of a tar shard; None writes a JSON file for each image.
        share: this process's part.
        in_flight: images under way at a time on each device.
        before_record: is called before a record is written, for files beside it.

    Yields:
        Every image of the share, in order.

    Raises:
        ValueError: the folder has results of other weights or options.
        OSError: a file cannot be written.
    """
    config = dataclasses.replace(config or AutomaticConfig(), output_mode="coco_rle")
    about = out / "run"
    about.mkdir(parents=True, exist_ok=True)
    settings = {
        "weights": predictor.fingerprint,
        "hierarchy": hierarchy,
        "tile_size": tile_size,
        "shard_size": shard_size,
        **_options(config),
    }
    _check_settings(about / "settings.json", settings)
    run = _Run(predictor, config, hierarchy, tile_size, in_flight, before_record)
    numbers = image_numbers(items)
    mine = list(enumerate(items))
    suffix = "" if share.count == 1 else f"-{share.index}-of-{share.count}"
    if shard_size is None:
        mine = mine[share.index :: share.count]
        yield from run.to_folder(mine, numbers, out, about / f"problems{suffix}.json")
        return
    shards = range(0, len(items), shard_size)
    for number in range(share.index, len(shards), share.count):
        first = shards[number]
        shard = out / f"sa_{number:06d}.tar"
        yield from run.to_shard(mine[first : first + shard_size], numbers, shard)


def image_numbers(items: Sequence[Item]) -> list[int]:
    """The ids of images: those in SA-1B's names, or else their places."""
    found = [re.fullmatch(r"sa_(\d{1,15})", item.stem) for item in items]
    numbers = [int(match[1]) for match in found if match]
    if len(set(numbers)) == len(items):
        return numbers
    return list(range(len(items)))


def record_path(folder: Path, item: Item) -> Path:
    """Where the record of an image is in the folder of a run."""
    return folder / f"{item.stem}.json"


@dataclasses.dataclass(frozen=True)
class _Run:
    predictor: Predictor
    config: AutomaticConfig
    hierarchy: bool
    tile_size: int | None
    in_flight: int
    before_record: Callable[[Outcome, Record], None] | None

    def to_folder(
        self,
        items: Sequence[tuple[int, Item]],
        numbers: Sequence[int],
        folder: Path,
        problem_file: Path,
    ) -> Iterator[Done]:
        """Makes the records that are not there, and yields all."""
        problems: dict[str, str] = {}
        missing = [item for _, item in items if not record_path(folder, item).exists()]
        outcomes = generate_for_many(
            self.predictor,
            missing,
            self.config,
            in_flight=self.in_flight,
            tile_size=self.tile_size,
        )
        to_do = {item.stem for item in missing}
        for place, item in items:
            if item.stem not in to_do:
                text = record_path(folder, item).read_bytes()
                yield Done(item, record_from_json(text), None)
                continue
            outcome = next(outcomes)
            if outcome.problem is not None:
                problems[item.name] = outcome.problem
                yield Done(item, None, outcome)
                continue
            record = self._record(outcome, place, numbers[place])
            if self.before_record is not None:
                self.before_record(outcome, record)
            write_record(folder, record)
            yield Done(item, record, outcome)
        _write_problems(problem_file, problems)

    def to_shard(
        self, items: Sequence[tuple[int, Item]], numbers: Sequence[int], shard: Path
    ) -> Iterator[Done]:
        """Makes a shard that is not there, record by record, and packs it."""
        folder = shard.with_name(f".{shard.stem}")
        if shard.exists():
            # Of a run that was killed after it had packed the shard.
            shutil.rmtree(folder, ignore_errors=True)
            for _, item in items:
                yield Done(item, None, None)
            return
        folder.mkdir(exist_ok=True)
        problem_file = shard.parent / "run" / f"{shard.stem}.problems.json"
        yield from self.to_folder(items, numbers, folder, problem_file)

        def members() -> Iterator[tuple[str, bytes, Record]]:
            for _, item in items:
                if (path := record_path(folder, item)).exists():
                    record = record_from_json(path.read_bytes())
                    yield record["image"]["file_name"], _file_bytes(item), record

        write_shard(shard, members())
        shutil.rmtree(folder)

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


def _write_problems(path: Path, problems: Mapping[str, str]) -> None:
    if problems:
        with replacing(path) as hidden:
            hidden.write_text(json.dumps(problems, indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)


def _options(config: AutomaticConfig) -> dict[str, Any]:
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


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Writes down what the run is of, or compares it with what was written."""
    if not path.exists():
        with replacing(path) as hidden:
            hidden.write_text(json.dumps(settings, indent=1) + "\n")
        return
    try:
        found = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: remove it to go on") from error
    differ = [
        f"{name} is {value}, was {found.get(name)}"
        for name, value in settings.items()
        if value != found.get(name)
    ]
    if differ:
        raise ValueError(
            f"{path.parents[1]} has results of other settings ({'; '.join(differ)}): "
            "use the same, or another folder"
        )
