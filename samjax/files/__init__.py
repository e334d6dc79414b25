"""Atomic writes, protection of users' files, locks, the cache folder, and JSON.

`writing` replaces a file atomically, `marks` identifies files that samjax wrote,
`outputs` writes files and refuses to replace others, `locks` has locks between
processes, `cache` the folder of reproducible files, `reading` opens regular files,
`json_text` writes and reads JSON.
"""

from samjax.files.cache import cache_folder
from samjax.files.containers import read_json, sha256_of
from samjax.files.json_text import json_object, json_text
from samjax.files.locks import InUse, locked, sharing
from samjax.files.marks import (
    KEY,
    LABELS_LIST,
    Kind,
    is_own,
    known_labels,
    mark_of,
)
from samjax.files.outputs import (
    WouldReplace,
    check_replaceable,
    replacing_own,
    write_output,
)
from samjax.files.reading import (
    open_binary,
    open_regular,
    read_at,
    read_regular,
)
from samjax.files.signed_text import signed
from samjax.files.writing import (
    creating,
    naming,
    replacing,
    set_aside,
    sync_folder,
    write_bytes,
)

__all__ = [
    "KEY",
    "LABELS_LIST",
    "InUse",
    "Kind",
    "WouldReplace",
    "cache_folder",
    "check_replaceable",
    "creating",
    "is_own",
    "json_object",
    "json_text",
    "known_labels",
    "locked",
    "mark_of",
    "naming",
    "open_binary",
    "open_regular",
    "read_at",
    "read_json",
    "read_regular",
    "replacing",
    "replacing_own",
    "set_aside",
    "sha256_of",
    "sharing",
    "signed",
    "sync_folder",
    "write_bytes",
    "write_output",
]
