"""Files: whole or not there, never a user's, and folders that processes share.

`writing` replaces a file in one step, `marks` knows which files samjax wrote and refuses
to replace others, `locks` keeps two processes out of each other's way, `cache` says
where things are kept that can be made again, `json_text` writes and reads JSON.
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
    "sync_folder",
    "write_bytes",
]
