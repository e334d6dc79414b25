"""Licences of images in COCO files, and exclusion of images by licence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from samjax.data.formats.guards import whole_number


def licence_names(content: Mapping[str, Any], entry: Mapping[str, Any]) -> set[str]:
    """Returns the id, name and URL of an image's licence; an empty set without a licence.

    Args:
        content: A COCO file, whose `licenses` lists licences with `id`, `name`, `url`.
        entry: An image of the file, whose `license` (or `licence`) is the id of a
            licence in that list, or a name.
    """
    declared = {
        _text(entry[key])
        for key in ("license", "licence")
        if entry.get(key) is not None
    }
    listed = content.get("licenses")
    names = set(declared)
    for licence in listed if isinstance(listed, list) else ():
        if isinstance(licence, Mapping) and _text(licence.get("id")) in declared:
            names |= {str(licence[key]) for key in ("name", "url") if licence.get(key)}
    return names


def _text(value: Any) -> str:
    """Returns a licence's id as text: 5, 5.0 and "5" are the same."""
    whole = whole_number(value)
    return str(value if whole is None else whole)


def is_excluded(names: set[str], excluded: Sequence[str]) -> bool:
    """Whether a licence is among the excluded ones.

    A number matches the licence with that id. Other text matches every licence whose
    name or URL has its words in sequence, with any punctuation between them: `"CC
    BY-SA"` matches `CC-BY-SA-4.0` too, and `"CC BY"` all that begin so.

    Args:
        names: The result of `licence_names`.
        excluded: Ids or names of licences to exclude.
    """
    words = [_words(name) for name in names]
    for pattern in excluded:
        if pattern.strip().isdigit():
            if pattern.strip() in names:
                return True
        elif any(f" {_words(pattern)} " in f" {name} " for name in words):
            return True
    return False


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
