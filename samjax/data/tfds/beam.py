"""The build as a Map of Apache Beam, for clusters without a command on every machine.

    python -m samjax.data.tfds.beam TARS... --out FOLDER [--originals ...] [options of Beam]

Paths of tars go through the pipeline, never images: each worker reads a tar and writes
its shards, as `samjax data build` does, and a tar that Beam gives out twice finds its
shards there or writes the same bytes. Places may be of any file system that Beam knows:
what is not a local path is copied to the worker's disk and back.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from samjax.data.tfds.convert import convert_shard
from samjax.data.tfds.layout import (
    BuildConfig,
    Plan,
    Report,
    begin_plan,
    make_plan,
    read_report,
)
from samjax.data.tfds.metadata import Totals, add_up, finish, write_metadata
from samjax.data.tfds.remote import fetch, find_files, read_text, send


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the pipeline; words that it does not know are options of Beam.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m samjax.data.tfds.beam",
        description="Builds a dataset of TFDS from tars of SA-1B on Apache Beam. All "
        "other options are Beam's own, such as --runner.",
    )
    usual = BuildConfig()
    parser.add_argument("tars", nargs="+", help="uncompressed tars, or patterns")
    parser.add_argument("--out", required=True, help="folder of the dataset")
    parser.add_argument("--long-side", type=int, default=usual.long_side)
    parser.add_argument("--originals", action="store_true", help="keep images as is")
    parser.add_argument("--quality", type=int, default=usual.quality)
    parser.add_argument(
        "--parts", type=int, default=usual.parts, help="shards of a tar"
    )
    parser.add_argument("--stage", action="store_true", help="copy local tars too")
    options, of_beam = parser.parse_known_args(arguments)
    config = BuildConfig(
        long_side=None if options.originals else options.long_side,
        quality=options.quality,
        parts=options.parts,
    )
    totals = run(options.tars, options.out, config, of_beam, stage=options.stage)
    print(
        f"{totals.images} images and {totals.masks} masks in {totals.shards} shards, "
        f"{totals.bad_images} images and {totals.bad_masks} masks left out: "
        f"{options.out}"
    )
    return 0


def run(
    tars: Sequence[str],
    out: str,
    config: BuildConfig,
    options: Sequence[str] = (),
    *,
    stage: bool = False,
) -> Totals:
    """Builds a dataset by a pipeline and writes its metadata.

    Args:
        tars: Paths or patterns of any file system that Beam knows.
        out: Folder of the dataset, likewise.
        config: What becomes of the images.
        options: Of Beam, as words: `--runner=FnApiRunner`, and others.
        stage: Whether local files are copied too, as remote ones are.

    Returns:
        The sums of all shards.

    Raises:
        ValueError: there are no tars, another dataset was begun in the folder, or the
            tars have no image that can be used.
        OSError: a place cannot be read or written.
        ImportError: Beam or TFDS is missing.
    """
    try:
        import apache_beam as beam  # pyright: ignore[reportMissingImports]
        from apache_beam.options.pipeline_options import PipelineOptions  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "Apache Beam is missing: run pip install 'samjax[beam]'", name="apache_beam"
        ) from error
    sizes = find_files(tars)
    stage = stage or any("://" in place for place in (out, *sizes))
    if stage:
        job = _begin_staged(sizes, out, config)
    else:
        job = Job(
            tuple(map(str, make_plan(list(sizes), out, config).tars)), out, config
        )
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        numbers = pipeline | "number tars" >> beam.Create(range(len(job.tars)))
        spread = numbers | "spread" >> beam.Reshuffle()
        _ = spread | "convert" >> beam.Map(job.convert_staged if stage else job.convert)
    return job.finish_staged() if stage else finish(job.plan(Path(out), Path()))


class Job(NamedTuple):
    """What every worker has to know.

    Attributes:
        tars: Paths, in order.
        out: Folder of the dataset.
        config: What becomes of the images.
    """

    tars: tuple[str, ...]
    out: str
    config: BuildConfig

    def plan(self, folder: Path, tars: Path) -> Plan:
        """Returns the plan with the dataset in `folder` and tars relative to `tars`."""
        return Plan(folder, tuple(tars / tar for tar in self.tars), self.config)

    def shards(self, number: int) -> range:
        """Returns the numbers of the shards of a tar."""
        parts = self.config.parts
        return range(number * parts, (number + 1) * parts)

    def convert(self, number: int) -> int:
        """Writes the shards of a tar that lies, as the dataset, on a shared disk.

        Returns:
            The number of images in them.
        """
        plan = self.plan(Path(self.out), Path())
        images = 0
        for shard in self.shards(number):
            for progress in convert_shard(plan, shard):
                images += progress.report["written"] if progress.report else 0
        return images

    def convert_staged(self, number: int) -> int:
        """Copies a tar to this machine, writes its shards, and copies them out.

        Returns:
            The number of images in them.
        """
        reports = [self.staged_report(shard) for shard in self.shards(number)]
        with tempfile.TemporaryDirectory() as folder:
            local = Job(
                tuple(Path(tar).name for tar in self.tars), folder, self.config
            ).plan(Path(folder), Path(folder))
            local.report(0).parent.mkdir()
            if None in reports:
                fetch(self.tars[number], local.tars[number])
            for place, shard in enumerate(self.shards(number)):
                if reports[place] is not None:
                    continue
                for _ in convert_shard(local, shard):
                    pass
                reports[place] = read_report(local, shard)
                send(local.shard(shard), f"{self.out}/{local.shard(shard).name}")
                send(local.report(shard), self._report_place(shard))
                local.shard(shard).unlink()
        return sum(report["written"] for report in reports if report)

    def staged_report(self, shard: int) -> Report | None:
        """Returns the report of a shard from where the dataset is, None without one."""
        text = read_text(self._report_place(shard))
        # It is sent after its shard.
        return None if text is None else Report(**json.loads(text))

    def finish_staged(self) -> Totals:
        """Writes the metadata to where the dataset is."""
        count = len(self.tars) * self.config.parts
        found = [self.staged_report(shard) for shard in range(count)]
        reports = [report for report in found if report is not None]
        with tempfile.TemporaryDirectory() as folder:
            write_metadata(Path(folder), reports)
            paths = sorted(
                Path(folder).iterdir(), key=lambda path: path.name, reverse=True
            )
            for path in paths:
                send(path, f"{self.out}/{path.name}")
        return add_up(reports)

    def _report_place(self, shard: int) -> str:
        name = self.plan(Path(), Path()).report(shard).name
        return f"{self.out}/reports/{name}"


def _begin_staged(sizes: dict[str, int], out: str, config: BuildConfig) -> Job:
    """Writes the plan to where the dataset will be, or finds the same one there."""
    tars = sorted(sizes, key=lambda tar: Path(tar).name)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "build.json"
        if (text := read_text(f"{out}/build.json")) is not None:
            local.write_text(text)
        begin_plan(local, {Path(tar).name: sizes[tar] for tar in tars}, config)
        if text is None:
            send(local, f"{out}/build.json")
    return Job(tuple(tars), out.rstrip("/"), config)


if __name__ == "__main__":
    sys.exit(main())
