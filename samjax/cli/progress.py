"""Progress of long commands: a bar on a terminal, lines of text elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from samjax.terminal import bar, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

T = TypeVar("T")


class Display:
    """The progress that a command shows; made by `show_progress`."""

    def __init__(
        self,
        progress: Progress,
        task: TaskID,
        console: Console,
        total: int,
        seconds_between_lines: float | None,
    ):
        self._progress, self._task, self._console = progress, task, console
        self._total, self._interval = total, seconds_between_lines
        self._start = self._last_line = time.monotonic()
        self._done = self._done_before = 0

    @property
    def total(self) -> int:
        """Number of steps."""
        return self._total

    @property
    def is_terminal(self) -> bool:
        """Whether a bar is shown."""
        return self._console.is_terminal

    def advance(self, status: str, *, was_done_before: bool = False) -> None:
        """Shows that one more step is done.

        Args:
            status: Text beside the bar.
            was_done_before: Whether an earlier call of the command did the step, so that
                it does not count for the time left.
        """
        self._done += 1
        self._done_before += was_done_before
        self._progress.update(self._task, advance=1, rate=status)
        now = time.monotonic()
        if self._interval is None or self.is_terminal:
            return
        if now - self._last_line < self._interval:
            return
        self._last_line = now
        done_now = self._done - self._done_before
        left = self._total - self._done
        seconds = left * (now - self._start) / done_now if done_now else 0.0
        self.print(
            f"{self._done} of {self._total}: {status}; some {seconds / 60:.0f} min left"
        )

    def update(self, done: float, status: str) -> None:
        """Shows how many steps are done, the last of them in part.

        Args:
            done: Steps done.
            status: Text beside the bar.
        """
        self._progress.update(self._task, completed=done, rate=status)

    def print(self, line: str) -> None:
        """Prints a line, above the bar where there is one."""
        self._console.print(
            printable(line), markup=False, highlight=False, soft_wrap=True
        )


def counted(count: int, one: str, many: str | None = None) -> str:
    """Returns a number with its noun, as "1 image" or "2 images".

    Args:
        count: The number.
        one: The noun in the singular.
        many: The noun in the plural, where it is not formed by an s.
    """
    return f"{count} {one}" if count == 1 else f"{count} {many or one + 's'}"


@contextlib.contextmanager
def show_progress(
    name: str, total: int, *, seconds_between_lines: float | None = None
) -> Iterator[Display]:
    """Shows a bar on a terminal, and elsewhere lines if they are wanted.

    Args:
        name: Text before the bar.
        total: Number of steps.
        seconds_between_lines: Least time between lines where there is no terminal; None
            for no lines.
    """
    with bar(name, total) as (progress, task, console):
        yield Display(progress, task, console, total, seconds_between_lines)


def show_steps(
    name: str, steps: Iterable[T], unit: str, total: int | None = None
) -> Iterator[T]:
    """Yields steps, and shows on a terminal how many are done and how fast.

    Args:
        name: Text before the bar.
        steps: The steps.
        unit: Plural of what a step is, such as images.
        total: Number of steps; by default the length of `steps`.
    """
    if total is None:
        total = len(steps)  # pyright: ignore[reportArgumentType]
    start = time.perf_counter()
    with show_progress(name, total) as display:
        for done, step in enumerate(steps):
            yield step
            rate = (done + 1) / (time.perf_counter() - start)
            display.advance(f"{rate:.1f} {unit}/s")
