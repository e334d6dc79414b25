"""Text files that people edit: the last line has the digest of the lines before it.

A file is samjax's as long as it is unchanged. An edit makes it its editor's.
"""

import hashlib
import re
from pathlib import Path

from samjax.files.containers import read_head

_LARGEST = 1 << 22
_SIGNATURE = re.compile(rb"<!-- made_with: ([^;\n]*); sha256: ([0-9a-f]{64}) -->\n")


def signed(text: str, mark: str) -> str:
    """Returns a text in Markdown or HTML with the mark and the digest as its last line.

    Args:
        text: The text, which ends with a line break.
        mark: Mark of the kind of file (`samjax.files.mark_of`).
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}<!-- made_with: {mark}; sha256: {digest} -->\n"


def is_signed(path: Path, mark: str) -> bool:
    """Whether a file has this mark, and is as it was written."""
    content = read_head(path, _LARGEST)
    before, newline, last = content[:-1].rpartition(b"\n")
    match = _SIGNATURE.fullmatch(last + content[-1:])
    if match is None or match[1] != mark.encode():
        return False
    return hashlib.sha256(before + newline).hexdigest() == match[2].decode()
