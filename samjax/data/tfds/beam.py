"""The build as a `Map` on Apache Beam, for clusters that cannot run a command per machine.

    python -m samjax.data.tfds.beam TARS... --out FOLDER [--originals ...] [OPTIONS OF BEAM]

Only paths of tars pass through the pipeline, never images: each worker reads a tar and
writes its shards, as `samjax data build` does. The work is idempotent: for a tar that
Beam processes twice, the shards are found or the same bytes written. Paths may be of
any file system of Beam's: files that are not local are copied to the worker's disk and
back.
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
    """Runs the pipeline; unknown arguments are passed on to Beam.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m samjax.data.tfds.beam",
        description="Builds a TFDS dataset from tars of SA-1B on Apache Beam. All other "
        "options are Beam's own, such as --runner.",
    )
    defaults = BuildConfig()
    parser.add_argument("tars", nargs="+", help="uncompressed tars, or patterns")
    parser.add_argument("--out", required=True, help="folder of the dataset")
    parser.add_argument("--long-side", type=int, default=defaults.long_side)
    parser.add_argument("--originals", action="store_true", help="keep images as is")
    parser.add_argument("--quality", type=int, default=defaults.quality)
    parser.add_argument(
        "--parts", type=int, default=defaults.parts, help="shards of a tar"
    )
    parser.add_argument("--stage", action="store_true", help="copy local tars too")
    options, beam_options = parser.parse_known_args(arguments)
    config = BuildConfig(
        long_side=None if options.originals else options.long_side,
        quality=options.quality,
        parts=options.parts,
    )
    totals = run(options.tars, options.out, config, beam_options, stage=options.stage)
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
        tars: Paths or glob patterns of any of Beam's file systems.
        out: Folder of the dataset, on any of Beam's file systems.
        config: Size and encoding of the images, and the number of shards.
        options: Command-line options of Beam, such as `--runner=FnApiRunner`.
        stage: Whether to copy local files too, as if they were remote.

    Returns:
        The totals over all shards.

    Raises:
        ValueError: There are no tars, another dataset was begun in the folder, or the
            tars have no usable image.
        OSError: A file cannot be read or written.
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
    stage = stage or any("://" in path for path in (out, *sizes))
    if stage:
        job = _begin_staged(sizes, out, config)
    else:
        job = Job(
            tuple(map(str, make_plan(list(sizes), out, config).tars)), out, config
        )
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        indices = pipeline | "number tars" >> beam.Create(range(len(job.tars)))
        # Without it, Beam fuses the steps and one worker converts all tars.
        spread = indices | "spread" >> beam.Reshuffle()
        _ = spread | "convert" >> beam.Map(job.convert_staged if stage else job.convert)
    return job.finish_staged() if stage else finish(job.plan(Path(out), Path()))


class Job(NamedTuple):
    """The parameters of a build, sent to every worker.

    Attributes:
        tars: Paths of the tars, in order.
        out: Folder of the dataset.
        config: Size and encoding of the images, and the number of shards.
    """

    tars: tuple[str, ...]
    out: str
    config: BuildConfig

    def plan(self, folder: Path, tars: Path) -> Plan:
        """Returns the plan with the dataset in `folder` and tars relative to `tars`."""
        return Plan(folder, tuple(tars / tar for tar in self.tars), self.config)

    def shards(self, tar_index: int) -> range:
        """Returns the indices of the shards of a tar."""
        parts = self.config.parts
        return range(tar_index * parts, (tar_index + 1) * parts)

    def convert(self, tar_index: int) -> int:
        """Writes the shards of a tar; both are on a shared disk.

        Returns:
            The number of images in them.
        """
        plan = self.plan(Path(self.out), Path())
        images = 0
        for shard in self.shards(tar_index):
            for progress in convert_shard(plan, shard):
                images += progress.report["written"] if progress.report else 0
        return images

    def convert_staged(self, tar_index: int) -> int:
        """Copies a tar to this machine, writes its shards, and copies them out.

        Returns:
            The number of images in them.
        """
        reports = [self.staged_report(shard) for shard in self.shards(tar_index)]
        with tempfile.TemporaryDirectory() as folder:
            local = Job(
                tuple(Path(tar).name for tar in self.tars), folder, self.config
            ).plan(Path(folder), Path(folder))
            local.report(0).parent.mkdir()
            if None in reports:
                fetch(self.tars[tar_index], local.tars[tar_index])
            for part, shard in enumerate(self.shards(tar_index)):
                if reports[part] is not None:
                    continue
                for _ in convert_shard(local, shard):
                    pass
                reports[part] = read_report(local, shard)
                # The report last: a shard counts as done when its report exists.
                send(local.shard(shard), f"{self.out}/{local.shard(shard).name}")
                send(local.report(shard), self._report_path(shard))
                local.shard(shard).unlink()
        return sum(report["written"] for report in reports if report)

    def staged_report(self, shard: int) -> Report | None:
        """Returns the report of a shard in the folder of the dataset; None without one."""
        text = read_text(self._report_path(shard))
        return None if text is None else Report(**json.loads(text))

    def finish_staged(self) -> Totals:
        """Writes the metadata to the folder of the dataset."""
        count = len(self.tars) * self.config.parts
        all_reports = [self.staged_report(shard) for shard in range(count)]
        reports = [report for report in all_reports if report is not None]
        with tempfile.TemporaryDirectory() as folder:
            write_metadata(Path(folder), reports)
            # features.json before dataset_info.json, by which readers find a dataset.
            paths = sorted(
                Path(folder).iterdir(), key=lambda path: path.name, reverse=True
            )
            for path in paths:
                send(path, f"{self.out}/{path.name}")
        return add_up(reports)

    def _report_path(self, shard: int) -> str:
        name = self.plan(Path(), Path()).report(shard).name
        return f"{self.out}/reports/{name}"


def _begin_staged(sizes: dict[str, int], out: str, config: BuildConfig) -> Job:
    """Writes the plan to the folder of the dataset, or checks the plan that is there."""
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
