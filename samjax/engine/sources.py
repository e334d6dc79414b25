"""Sources of masks: which of them people made by hand, and which nobody has touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROPOSED = "proposed"
"""Source of a proposal that nobody has touched yet."""

TAKEN = "proposal"
"""Source of a proposal that a person has taken, or changed."""

REJECTED = "rejected"
"""Source of a deleted proposal that a person has rejected."""

AUTOMATIC = "automatic"
"""Source of a mask of stage 3."""

DRAWN_BY_MODELS = ("everything", PROPOSED, TAKEN, REJECTED, AUTOMATIC)
"""Sources of masks that a model drew without a prompt of a person; a person takes those of
everything mode and, as `TAKEN`, those of the proposer."""


def is_by_people(row: Mapping[str, Any]) -> bool:
    """Returns whether a person made, changed or took a mask of the store."""
    return row["source"] not in (PROPOSED, REJECTED, AUTOMATIC) or bool(row["edited"])


def is_open(row: Mapping[str, Any]) -> bool:
    """Returns whether a mask is a proposal that nobody has decided on."""
    return row["source"] == PROPOSED and not row["edited"]


def is_by_hand(row: Mapping[str, Any]) -> bool:
    """Returns whether a person made or changed a mask: seconds and clicks are of these, as
    in SAM, section 4."""
    return row["source"] not in DRAWN_BY_MODELS or bool(row["edited"])


def decided(row: Mapping[str, Any], fields: Mapping[str, Any], has_mask: bool) -> dict:
    """Returns the fields of a person's change of a mask, with the source that follows.

    A change of a proposal takes it, unless it says that the proposal is open again; with
    another mask it is edited. What a model drew does not become a mask made by hand.

    Args:
        row: The mask as it is.
        fields: The new values.
        has_mask: Whether the mask itself is changed.

    Raises:
        ValueError: The new source is that of a mask made by hand.
    """
    fields = dict(fields)
    if row["source"] not in (PROPOSED, TAKEN):
        return fields
    source = fields.setdefault("source", TAKEN)
    if source not in (PROPOSED, TAKEN):
        raise ValueError(
            f"source: got {source!r} for a proposal, expected {TAKEN} or {PROPOSED}"
        )
    if has_mask and source == TAKEN:
        fields.setdefault("edited", True)
    return fields
