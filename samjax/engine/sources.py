"""Sources of masks: which of them people made by hand, and which nobody has touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROPOSED = "proposed"
"""Source of a proposal that nobody has touched yet."""

AUTOMATIC = "automatic"
"""Source of a mask of stage 3."""

DRAWN_BY_MODELS = ("everything", PROPOSED, "proposal", AUTOMATIC)
"""Sources of masks that a model drew without a prompt of a person; a person takes those of
everything mode and, as `proposal`, those of the proposer."""


def is_by_people(row: Mapping[str, Any]) -> bool:
    """Returns whether a person made, changed or took a mask of the store."""
    return row["source"] not in (PROPOSED, AUTOMATIC) or bool(row["edited"])


def is_by_hand(row: Mapping[str, Any]) -> bool:
    """Returns whether a person made or changed a mask: seconds and clicks are of these, as
    in SAM, section 4."""
    return row["source"] not in DRAWN_BY_MODELS or bool(row["edited"])
