"""Progress of a run of everything mode over many images."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from samjax.cli.progress import Display, counted

if TYPE_CHECKING:
    from samjax.engine.run import Done


@dataclasses.dataclass
class Tally:
    """Counts of a run so far.

    Attributes:
        found: Images that earlier calls segmented.
        made: Images that this call segmented.
        masks: Masks of these.
        problems: Problems of images that could not be read, by name.
    """

    found: int = 0
    made: int = 0
    masks: int = 0
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    _start: float = dataclasses.field(default_factory=time.perf_counter)

    def add(self, done: Done) -> None:
        """Counts one more image."""
        if done.outcome is None:
            self.found += 1
        elif done.outcome.problem is not None:
            self.problems[done.item.name] = done.outcome.problem
        elif done.record is not None:
            self.made += 1
            self.masks += len(done.record["annotations"])

    def in_words(self) -> str:
        """Returns the counts as one line of text."""
        seconds = time.perf_counter() - self._start
        per_image = self.masks / max(self.made, 1)
        words = f"{counted(self.made, 'image')}, {counted(self.masks, 'mask')}"
        masks = f"{words} ({per_image:.1f} an image)"
        parts = [f"{masks} in {seconds:.1f} s ({self.made / seconds:.2f} images/s)"]
        if self.found:
            parts.append(f"{self.found} done before")
        if self.problems:
            parts.append(f"{len(self.problems)} skipped")
        return ", ".join(parts)


def remarks(done: Done) -> list[str]:
    """Returns lines about an image: a note on its earlier result, and why it is skipped."""
    lines = [done.note] if done.note else []
    if done.outcome is not None and done.outcome.problem is not None:
        lines.append(f"skipped {done.item.name}: {done.outcome.problem}")
    # One line each: a name may have line breaks, which could pass for further lines.
    return [" ".join(f"samjax: {line}".split()) for line in lines]


def show_done(display: Display, done: Done, tally: Tally) -> None:
    """Shows that an image is done, and the remarks on it.

    Args:
        display: The progress of the run.
        done: The image.
        tally: Counts of the run, with the image.
    """
    for line in remarks(done):
        display.print(line)
    display.advance(tally.in_words(), was_done_before=done.outcome is None)
