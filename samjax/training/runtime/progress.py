"""The bar that shows on a terminal how far a run is."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def training_bar(console: Console) -> Progress:
    """Makes the bar of a run: steps done, time elapsed and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        # In a log file the report lines are the progress.
        disable=not console.is_terminal,
    )
