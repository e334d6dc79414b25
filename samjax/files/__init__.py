"""Atomic writes, protection of users' files, locks, the cache folder, and JSON.

`writing` replaces a file atomically, `marks` identifies files that samjax wrote and
refuses to replace others, `locks` has locks between processes, `cache` the folder of
reproducible files, `json_text` writing and reading of JSON.
"""

from samjax.files.cache import cache_folder
from samjax.files.containers import read_json, sha256_of
from samjax.files.json_text import json_object, json_text
from samjax.files.locks import InUse, locked, sharing
from samjax.files.marks import (
    KEY,
    LABELS_LIST,
    Kind,
    WouldReplace,
    check_replaceable,
    is_own,
    mark_of,
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
    "locked",
    "mark_of",
    "naming",
    "read_json",
    "replacing",
    "set_aside",
    "sha256_of",
    "sharing",
    "signed",
    "sync_folder",
    "write_bytes",
]
