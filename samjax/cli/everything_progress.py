"""How far a run of everything mode is: images, masks, rates, time left."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from samjax.cli.bars import bar
from samjax.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

    from samjax.engine.run import Done


@dataclasses.dataclass
class Tally:
    """What a run has done so far.

    Attributes:
        found: images that were finished before.
        made: images that were segmented now.
        masks: masks of these.
        problems: what could not be read, by the image's name.
    """

    found: int = 0
    made: int = 0
    masks: int = 0
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    _start: float = dataclasses.field(default_factory=time.perf_counter)

    def add(self, done: "Done") -> None:
        """Counts one more image."""
        if done.outcome is None:
            self.found += 1
        elif done.outcome.problem is not None:
            self.problems[done.item.name] = done.outcome.problem
        elif done.record is not None:
            self.made += 1
            self.masks += len(done.record["annotations"])

    def in_words(self) -> str:
        """One line of what was done."""
        seconds = time.perf_counter() - self._start
        per_image = self.masks / max(self.made, 1)
        images = "1 image" if self.made == 1 else f"{self.made} images"
        what = f"{images}, {self.masks} masks ({per_image:.1f} an image)"
        parts = [f"{what} in {seconds:.1f} s ({self.made / seconds:.2f} images/s)"]
        if self.found:
            parts.append(f"{self.found} done before")
        if self.problems:
            parts.append(f"{len(self.problems)} skipped")
        return ", ".join(parts)


@contextlib.contextmanager
def show_progress(number: int) -> Iterator[Callable[["Done", Tally], None]]:
    """Shows a bar on a terminal, and what is skipped anywhere.

    Args:
        number: of all images.

    Yields:
        What is to be called after every image.
    """
    with bar("everything", number) as (progress, task, console):

        def show(done: "Done", tally: Tally) -> None:
            say_remarks(console, done)
            progress.update(task, advance=1, rate=tally.in_words())

        yield show


def say_remarks(console: "Console", done: "Done") -> None:
    """Prints the note on an image's earlier result, and why the image is skipped."""
    remarks = [done.note] if done.note else []
    if done.outcome is not None and done.outcome.problem is not None:
        remarks.append(f"skipped {done.item.name}: {done.outcome.problem}")
    for remark in remarks:
        console.print(
            printable(f"samjax: {remark}"),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
