"""Progress of `samjax data build`."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from samjax.cli.progress import Display, counted

if TYPE_CHECKING:
    from samjax.data.tfds.convert import Progress as ShardProgress


@dataclasses.dataclass
class BuildTally:
    """Counts of a build so far.

    Attributes:
        images: Images read by this call, those that were left out included.
        finished: Shards that this call finished.
        found: Shards that earlier calls finished.
        bad_images: Images left out of the finished shards.
        bad_masks: Masks left out of the finished shards.
    """

    images: int = 0
    finished: int = 0
    found: int = 0
    bad_images: int = 0
    bad_masks: int = 0
    _of_shard: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    _start: float = dataclasses.field(default_factory=time.perf_counter)

    def add(self, progress: ShardProgress) -> None:
        """Adds the progress of a shard."""
        before, _ = self._of_shard.get(progress.shard, (0, 0))
        self._of_shard[progress.shard] = progress.done, progress.total
        if progress.was_there:
            self.found += 1
            return
        self.images += progress.done - before
        if progress.report is not None:
            self.finished += 1
            self.bad_images += len(progress.report["bad"])
            self.bad_masks += sum(map(len, progress.report["bad_masks"].values()))

    @property
    def shards(self) -> int | float:
        """Finished shards, and the finished fractions of those in progress."""
        done = self.finished + self.found
        return done + sum(
            part / total for part, total in self._of_shard.values() if part < total
        )

    def in_words(self) -> str:
        """Returns the counts as one line of text."""
        seconds = time.perf_counter() - self._start
        parts = [
            f"{counted(self.images, 'image')} in {seconds:.1f} s ({self.images / seconds:.1f}/s)",
            counted(self.finished, "shard"),
        ]
        if self.found:
            parts.append(f"{self.found} done before")
        if self.bad_images or self.bad_masks:
            parts.append(
                f"{counted(self.bad_images, 'image')} and "
                f"{counted(self.bad_masks, 'mask')} left out"
            )
        return ", ".join(parts)


def show_shard(display: Display, progress: ShardProgress, tally: BuildTally) -> None:
    """Shows progress within a shard, and a line for a finished shard off a terminal.

    Args:
        display: The progress of the build, whose steps are shards.
        progress: Progress of a shard.
        tally: Counts of the build, with this progress.
    """
    display.update(float(tally.shards), tally.in_words())
    report = progress.report
    if report is None:
        return
    if not display.is_terminal:
        done = tally.finished + tally.found
        display.print(f"shard {done} of {display.total}: {tally.in_words()}")
    if report["damage"] and report["part"] == 0:
        display.print(f"samjax: {report['tar']}: {report['damage']}")
