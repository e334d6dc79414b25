"""The bar that long commands show on a terminal."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from samjax.terminal import bar_console, guarded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


@contextlib.contextmanager
def bar(name: str, total: int) -> Iterator[tuple["Progress", "TaskID", "Console"]]:
    """Shows a bar on a terminal, and nothing elsewhere.

    Args:
        name: Of what is done.
        total: How much there is to do.

    Yields:
        The bar, its one task, whose field `rate` is shown, and the console, for lines
        above the bar.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = bar_console()
    progress = Progress(
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    # The bar takes the place of both streams: what is printed meanwhile goes above it.
    with progress, guarded():
        yield progress, progress.add_task("", total=total, rate=""), console
