"""Output to a terminal, with control characters of untrusted names escaped.

Control sequences clear a terminal, change its title, or reverse the direction of text.
The name of a photo or of a tensor in a checkpoint may contain them, and a file name may
have bytes that are no text at all; `printable` escapes both. The command prints through
`guarded` streams. Progress bars of rich need control sequences, so they bypass these
streams through `bar_console`; names beside a bar go through `printable` first.
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

# C0 without tab and line feed, delete, C1, marks of text direction, line and paragraph
# separators, and lone surrogates (undecodable bytes of file names).
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def printable(text: object) -> str:
    r"""Returns a text with control and undecodable characters escaped.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], str(text))


class Guarded:
    """A stream that escapes text with `printable`, and wraps another stream.

    Attributes:
        rich_proxied_file: the wrapped stream. Rich looks for this attribute, and writes
            its own control sequences to it.
    """

    def __init__(self, stream: Any):
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Writes the escaped text; returns the length of the original."""
        self.rich_proxied_file.write(printable(text.replace("\r\n", "\n")))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Replaces standard output and standard error by escaping streams."""
    with (
        contextlib.redirect_stdout(cast(TextIO, Guarded(sys.stdout))),
        contextlib.redirect_stderr(cast(TextIO, Guarded(sys.stderr))),
    ):
        yield


def unguarded(stream: Any) -> Any:
    """Returns the stream that a guarded one wraps; any other stream as it is."""
    return stream.rich_proxied_file if isinstance(stream, Guarded) else stream


def bar_console(*, stderr: bool = True, quiet: bool = False) -> Console:
    """Returns a console for progress bars, whose control sequences are not escaped.

    A running bar replaces standard output and standard error by streams of its own,
    through which rich would find the guarded stream and not the wrapped one.

    Args:
        stderr: whether it writes to standard error, or to standard output.
        quiet: whether it discards all output.
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
    # Where none is shown, it is not begun: at its end rich before 14.3 prints a line.
    shown = progress if console.is_terminal else contextlib.nullcontext()
    with shown, guarded():
        yield progress, progress.add_task("", total=total, rate=""), console
