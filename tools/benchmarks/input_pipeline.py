"""CPU time of the input pipeline from disk to batch, stage by stage.

    python tools/benchmarks/input_pipeline.py --data sa1b_made --json out.json

`--data` is a folder of tars, such as those of `tools/make_sa1b.py`. Times are CPU time
of this process, which depends on other load far less than wall time. The second half
repeats the measurement with images of at most 1024 pixels, as `samjax data build`
stores them. Rates are per core; the slowest stage is marked.
"""

import argparse
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
import simplejpeg

from samjax.data.datasets import DatasetSource
from samjax.data.decode import ImageFile
from samjax.data.examples import ExampleSource, RawExample
from samjax.data.prepare import PrepareConfig, prepare
from samjax.data.rle_parsing import read_boundaries
from samjax.data.runs import Window, move_boundaries, nearest
from samjax.data.sa1b.index import build_index
from samjax.data.sa1b.source import open_sa1b
from samjax.geometry.frame import Frame

BARS = {"raw tars": 65, "resized records": 170}
"""Target rates in images per second and core."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    config = PrepareConfig(image_size=options.side, masks_per_image=options.masks)
    tars = open_sa1b(options.data)
    kept = [tars[i] for i in range(min(options.images, len(tars)))]
    resized = [_resized(example, options.side) for example in kept]
    result: dict[str, Any] = {
        "machine": peers.describe_machine(),
        "data": _sizes(kept),
        "masks": options.masks,
        "side": options.side,
    }
    result["index of a 10 GB tar"] = _index(options.repeats)
    for name, examples, source in (
        ("raw tars", kept, tars),
        ("resized records", resized, resized),
    ):
        stages = _stages(examples, source, config)
        milliseconds = {
            stage: round(1e3 * _cpu_seconds(call, options.repeats) / len(examples), 2)
            for stage, call in stages.items()
        }
        whole = min(_whole_path(source, len(examples), config) for _ in range(3))
        milliseconds["whole path, batches of 8"] = round(1e3 * whole, 2)
        rate = 1 / whole
        parts = [stage for stage in milliseconds if not stage.startswith("whole")]
        slowest = max(parts, key=milliseconds.__getitem__)
        waiting = _waiting(source, len(examples), config, 1.5 * 8 / rate)
        result[name] = milliseconds | {"images/s/core": round(rate, 1)} | waiting
        print(f"\n{name}: {rate:.1f} images/s per core, target {BARS[name]}")
        for stage, value in milliseconds.items():
            mark = "  <- the limit" if stage == slowest else ""
            print(f"  {stage:32s} {value:7.2f} ms{mark}")
        print("  " + ", ".join(f"{value} {key}" for key, value in waiting.items()))
    peers.write(result, options.json)


def _stages(
    examples: list[RawExample], source: Any, config: PrepareConfig
) -> dict[str, Callable[[], object]]:
    """Returns each stage as a call on the results of the stages before it."""
    side = config.image_size
    files = [ImageFile(example.image or b"") for example in examples]
    records = [_parse(example) for example in examples]
    sizes = [(r["image"]["height"], r["image"]["width"]) for r in records]
    frames = [Frame.fit(size, side).resized_size for size in sizes]
    texts = [
        [a["segmentation"]["counts"].encode() for a in record["annotations"]][
            : config.masks_per_image
        ]
        for record in records
    ]
    boundaries = [
        read_boundaries(own, size) for own, size in zip(texts, sizes, strict=True)
    ]
    windows = [
        Window(size, nearest(size[0], frame[0]), nearest(size[1], frame[1]))
        for size, frame in zip(sizes, frames, strict=True)
    ]
    pairs = list(zip(files, frames, strict=True))

    def whole():
        # Results are discarded at once, as when they have been copied to a batch.
        for example in examples:
            prepare(example, config, np.random.default_rng(0))

    return {
        "read": lambda: [source[i] for i in range(len(examples))],
        "decode and resize": lambda: [file.read(frame) for file, frame in pairs],
        "JSON": lambda: [_parse(example) for example in examples],
        "run lengths": lambda: [
            read_boundaries(own, size) for own, size in zip(texts, sizes, strict=True)
        ],
        "boundaries to the frame": lambda: [
            move_boundaries(own, window, side)
            for own, window in zip(boundaries, windows, strict=True)
        ],
        "whole prepare": whole,
    }


def _parse(example: RawExample) -> dict[str, Any]:
    """Returns the parsed record of an example."""
    record = example.record
    return json.loads(record) if isinstance(record, bytes) else dict(record or {})


def _whole_path(examples: ExampleSource, count: int, config: PrepareConfig) -> float:
    """Returns the CPU seconds per example read, prefetched ones included.

    With a single thread, as in a worker: threads of one process compete for the GIL.
    """
    counted = _First(examples, count)
    source = DatasetSource(counted, config, batch_size=8, seed=0, prefetch=1)
    source.batch(0)
    start, before = time.process_time(), counted.reads
    for step in range(1, 2 * count // 8):
        source.batch(step)
    seconds, reads = time.process_time() - start, counted.reads - before
    source.close()
    return seconds / reads


def _waiting(
    examples: ExampleSource, count: int, config: PrepareConfig, step_seconds: float
) -> dict[str, float]:
    """Measures how long steps of a given length on a device wait for their data."""
    source = DatasetSource(_First(examples, count), config, batch_size=8, seed=0)
    source.batch(0)
    waits = []
    for step in range(1, 11):
        time.sleep(step_seconds)
        start = time.perf_counter()
        source.batch(step)
        waits.append(time.perf_counter() - start)
    source.close()
    return {
        "ms: a step of a device": round(1e3 * step_seconds, 1),
        "ms: the longest of 10 waits": round(1e3 * max(waits), 2),
        "ms: the median wait": round(1e3 * float(np.median(waits)), 2),
    }


class _First:
    """The first examples of a source."""

    def __init__(self, examples: Any, count: int):
        self._examples, self._count = examples, count
        self.reads = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> RawExample:
        self.reads += 1
        return self._examples[index]


def _resized(example: RawExample, side: int) -> RawExample:
    """Returns the example with its image reduced to the frame, as the converter does."""
    file = ImageFile(example.image or b"")
    size = Frame.fit(file.size, min(side, max(file.size))).resized_size
    image = simplejpeg.encode_jpeg(file.read(size), quality=90, colorsubsampling="420")
    return example._replace(image=image)


def _cpu_seconds(call: Callable[[], object], repeats: int) -> float:
    """Returns the smallest CPU time of the repeats, after a warm-up call."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def _index(repeats: int) -> dict[str, float]:
    """Indexes a sparse tar of 10 GB with 22 372 members."""
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "sa_000000.tar"
        with open(tar, "wb") as file:
            for image_id in range(11_186):
                for suffix, size in ((".jpg", 900_000), (".json", 9_999)):
                    member = tarfile.TarInfo(f"./sa_{image_id}{suffix}")
                    member.size = size
                    file.write(member.tobuf(tarfile.USTAR_FORMAT))
                    file.seek(-(-size // 512) * 512, os.SEEK_CUR)
            file.write(bytes(1024))
        start = time.perf_counter()
        build_index(tar)
        wall = time.perf_counter() - start
        seconds = _cpu_seconds(lambda: build_index(tar), repeats)
        print(f"index of a 10 GB tar: {seconds:.2f} s of CPU, {wall:.2f} s at first")
        return {"cpu_seconds": round(seconds, 3), "first_wall_seconds": round(wall, 3)}


def _sizes(examples: list[RawExample]) -> dict[str, float]:
    """Returns the mean sizes of the examples."""
    images = [len(example.image or b"") for example in examples]
    records = [len(example.record or b"") for example in examples]
    masks = [len(_parse(e)["annotations"]) for e in examples]
    return {
        "images": len(examples),
        "image_kilobytes": round(float(np.mean(images)) / 1e3),
        "record_kilobytes": round(float(np.mean(records)) / 1e3),
        "masks": round(float(np.mean(masks))),
    }


if __name__ == "__main__":
    main()
