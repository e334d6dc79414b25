"""The error that is raised for weights that cannot be used."""

from collections.abc import Iterable

from samjax.terminal import printable


class CheckpointError(ValueError):
    """Weights that cannot be used, with everything that is wrong with them.

    The message names the file, lists every problem (not only the first) and the remedy.

    Attributes:
        problems: The problems, one line each.
    """

    def __init__(self, summary: str, problems: Iterable[str] = ()):
        # Names come from files, and notebooks and tracebacks print them too.
        self.problems = tuple(printable(problem) for problem in problems)
        shown = [f"  - {problem}" for problem in self.problems[:MAX_SHOWN]]
        hidden = len(self.problems) - len(shown)
        if hidden:
            shown.append(f"  - and {hidden} more of the kind (see .problems)")
        super().__init__(printable("\n".join([summary, *shown])))


MAX_SHOWN = 40
