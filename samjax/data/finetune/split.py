"""Split of a dataset into training and validation examples, by a hash of their names.

An image stays on its side when others are added or removed, on any machine and in any
order, without a list of the split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from samjax.data.examples import ExampleSource, RawExample


@runtime_checkable
class GroupedSource(ExampleSource, Protocol):
    """A source whose examples form groups that a split must not divide."""

    @property
    def groups(self) -> Sequence[str]:
        """The group of each example: the name of its image, or of its volume."""
        ...


class Subset:
    """A subset of the examples of a source, in the order of the source."""

    def __init__(self, source: ExampleSource, indices: Sequence[int]):
        self._source, self.indices = source, tuple(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> RawExample:
        return self._source[self.indices[index]]


def split_examples(
    source: GroupedSource, validation_fraction: float, *, limit: int | None = None
) -> tuple[Subset, Subset]:
    """Splits a dataset in two, by a hash of its groups.

    A group is held out if its hash, scaled to [0, 1), is below the fraction. If a side
    would be empty, the group with the lowest hash is held out, or the one with the
    highest hash is trained on. With a fraction of 0 nothing is held out.

    Args:
        source: The dataset.
        validation_fraction: Approximate fraction of the groups to hold out, in [0, 1).
        limit: Largest number of training examples, for few-shot training; they are
            chosen by hash too, so that a larger limit extends a smaller one. None for
            all.

    Returns:
        The training part, and the held-out part.

    Raises:
        ValueError: A number is out of range, or there is a single group, which cannot
            be split.
    """
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"got {validation_fraction=}, expected 0 or more, below 1")
    if limit is not None and limit < 1:
        raise ValueError(f"got {limit=}, expected at least 1 example, or None for all")
    names = sorted(set(source.groups), key=lambda name: _fraction("split", name))
    held_out = {
        name for name in names if _fraction("split", name) < validation_fraction
    }
    if validation_fraction > 0:
        if len(names) < 2:
            raise ValueError(
                f"got {len(names)} image or volume, expected at least 2, one of which "
                "is held out: give more, or hold out nothing (a fraction of 0)"
            )
        held_out = (held_out | {names[0]}) - {names[-1]}
    indices = range(len(source))
    trained = [i for i in indices if source.groups[i] not in held_out]
    if limit is not None and limit < len(trained):
        trained.sort(key=lambda i: _fraction("limit", f"{source.groups[i]}/{i}"))
        trained = sorted(trained[:limit])
    return (
        Subset(source, trained),
        Subset(source, [i for i in indices if source.groups[i] in held_out]),
    )


def _fraction(purpose: str, name: str) -> float:
    """Hashes a name to a number in [0, 1), independent for each purpose."""
    text = f"{purpose}\n{name}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
