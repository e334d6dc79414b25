"""How far the commands of `samjax data` are: bars on a terminal, lines elsewhere."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from samjax.cli.bars import bar
from samjax.terminal import printable

if TYPE_CHECKING:
    from samjax.data.tfds.convert import Progress as ShardProgress

T = TypeVar("T")


@dataclasses.dataclass
class BuildTally:
    """What a build has done so far.

    Attributes:
        images: Looked at now, those that were left out included.
        finished: Shards that were finished now.
        found: Shards that were there before.
        bad_images: Left out, of the finished shards.
        bad_masks: Left out, of the finished shards.
    """

    images: int = 0
    finished: int = 0
    found: int = 0
    bad_images: int = 0
    bad_masks: int = 0
    _of_shard: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    _start: float = dataclasses.field(default_factory=time.perf_counter)

    def add(self, progress: "ShardProgress") -> None:
        """Counts what is new."""
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
        """Shards that are done, with those under way as far as they are."""
        done = self.finished + self.found
        return done + sum(
            part / total for part, total in self._of_shard.values() if part < total
        )

    def in_words(self) -> str:
        """One line of what was done."""
        seconds = time.perf_counter() - self._start
        parts = [
            f"{self.images} images in {seconds:.1f} s ({self.images / seconds:.1f}/s)",
            "1 shard" if self.finished == 1 else f"{self.finished} shards",
        ]
        if self.found:
            parts.append(f"{self.found} done before")
        if self.bad_images or self.bad_masks:
            parts.append(
                f"{self.bad_images} images and {self.bad_masks} masks left out"
            )
        return ", ".join(parts)


@contextlib.contextmanager
def show_build(
    shards: int,
) -> Iterator[Callable[["ShardProgress", BuildTally], None]]:
    """Shows a bar on a terminal; elsewhere a line for each shard that is done.

    Args:
        shards: Of this share of the build.

    Yields:
        What is to be called with all news.
    """
    with bar("build", shards) as (progress, task, console):

        def show(news: "ShardProgress", tally: BuildTally) -> None:
            progress.update(task, completed=tally.shards, rate=tally.in_words())
            if news.report is None:
                return
            done = tally.finished + tally.found
            lines = []
            if not console.is_terminal:
                lines.append(f"shard {done} of {shards}: {tally.in_words()}")
            if news.report["damage"] and news.report["part"] == 0:
                lines.append(f"samjax: {news.report['tar']}: {news.report['damage']}")
            for line in lines:
                console.print(
                    printable(line), markup=False, highlight=False, soft_wrap=True
                )

        yield show


def show_steps(
    name: str, steps: Iterable[T], unit: str, total: int | None = None
) -> Iterator[T]:
    """Passes steps on and shows on a terminal how far they are.

    Args:
        name: Of what is done.
        steps: What is done, one by one.
        unit: What they are.
        total: How many; by default the length of `steps`.
    """
    if total is None:
        total = len(steps)  # pyright: ignore[reportArgumentType]
    start = time.perf_counter()
    with bar(name, total) as (progress, task, _):
        for done, step in enumerate(steps, start=1):
            rate = done / (time.perf_counter() - start)
            progress.update(task, completed=done, rate=f"{rate:.1f} {unit}/s")
            yield step
