"""The licences of images, as COCO's files name them, and which images to leave out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from samjax.data.formats.guards import whole_number


def licence_names(content: Mapping[str, Any], entry: Mapping[str, Any]) -> set[str]:
    """Returns all names of an image's licence; none where the file does not say.

    Args:
        content: A COCO file, of which `licenses` lists licences with `id`, `name`, `url`.
        entry: An image of it: `license` (or `licence`) is the number of a licence of
            that list, or the name of one.
    """
    given = {
        _text(entry[key])
        for key in ("license", "licence")
        if entry.get(key) is not None
    }
    listed = content.get("licenses")
    names = set(given)
    for licence in listed if isinstance(listed, list) else ():
        if isinstance(licence, Mapping) and _text(licence.get("id")) in given:
            names |= {str(licence[key]) for key in ("name", "url") if licence.get(key)}
    return names


def _text(value: Any) -> str:
    """A licence's number as text: 5, 5.0 and "5" are one."""
    whole = whole_number(value)
    return str(value if whole is None else whole)


def is_excluded(names: set[str], excluded: Sequence[str]) -> bool:
    """Whether a licence is one of those to leave out.

    A number stands for the licence of that number. Other text stands for every licence
    in whose name or address its words follow one another, whatever is between them, so
    that `"CC BY-SA"` stands for `CC-BY-SA-4.0` too, and `"CC BY"` for all that begin so.

    Args:
        names: From `licence_names`.
        excluded: Licences to leave out.
    """
    words = [_words(name) for name in names]
    for one in excluded:
        if one.strip().isdigit():
            if one.strip() in names:
                return True
        elif any(f" {_words(one)} " in f" {name} " for name in words):
            return True
    return False


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
