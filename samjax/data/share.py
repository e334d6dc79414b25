"""The part of shared work that one of several processes does."""

from __future__ import annotations

from typing import NamedTuple


class Share(NamedTuple):
    """The part of a run that one process does: every `count`-th unit from `index` on.

    A unit is an image, or a shard where shards are written.
    """

    index: int = 0
    count: int = 1

    def of(self, units: int) -> int:
        """Returns the number of units of this part.

        Args:
            units: Number of units of all parts.
        """
        return len(range(self.index, units, self.count))


ALL = Share()
