"""Text for a terminal: names from files are shown and never obeyed.

A terminal takes some characters for orders: to clear itself, to change its title, to
write from right to left. The name of a photo, or of a tensor in a checkpoint, may hold
any of them, and bytes of a file name that are no text at all. `printable` shows what
they are. The command prints through `guarded` streams. The bars of rich, which do give
orders to the terminal, write past them through `bar_console`; a name that is shown
beside a bar goes through `printable` first.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

# C0 but for tab and line feed, delete, C1, marks that turn the direction of what is
# written, line and paragraph separators, and bytes that were no text (lone surrogates).
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def printable(text: object) -> str:
    r"""Returns a text with escapes for what a terminal would obey or could not show.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], str(text))


class Guarded:
    """A stream that writes `printable` text, and is otherwise the stream within.

    Attributes:
        rich_proxied_file: the stream within. Rich asks for it by this name, and writes
            its own colours to it.
    """

    def __init__(self, stream: Any):
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Writes a text that is safe to show; returns the length of what was given."""
        self.rich_proxied_file.write(printable(text.replace("\r\n", "\n")))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes texts one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Makes standard output and standard error safe to print names of files to."""
    with (
        contextlib.redirect_stdout(cast(TextIO, Guarded(sys.stdout))),
        contextlib.redirect_stderr(cast(TextIO, Guarded(sys.stderr))),
    ):
        yield


def unguarded(stream: Any) -> Any:
    """Returns the stream within a guarded one; any other as it is."""
    return stream.rich_proxied_file if isinstance(stream, Guarded) else stream


def bar_console(*, stderr: bool = True, quiet: bool = False) -> Console:
    """Returns rich's console for bars, whose orders to the terminal are obeyed.

    A bar puts a stream of its own in the place of standard output and standard error.
    Through that one rich would find the guarded stream, and not the one within.

    Args:
        stderr: whether it writes to standard error, or to standard output.
        quiet: whether it writes nothing.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=unguarded(stream), stderr=stderr, quiet=quiet)


@contextlib.contextmanager
def bar(
    name: str, total: int, *, console: Console | None = None
) -> Iterator[tuple[Progress, TaskID, Console]]:
    """Shows a progress bar on a terminal, and nothing elsewhere.

    Args:
        name: Text before the bar.
        total: Number of steps.
        console: Console to draw on; by default standard error.

    Yields:
        The bar; its one task, whose field `rate` is shown; and the console, for lines
        above the bar.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = console or bar_console()
    progress = Progress(
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    # The bar replaces both streams: prints meanwhile go above it, and are guarded too.
    with progress, guarded():
        yield progress, progress.add_task("", total=total, rate=""), console
