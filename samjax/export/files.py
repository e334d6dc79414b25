"""Writes graphs, and the report on them beside them."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from samjax.export.onnx_graph import IR_VERSION, OPSET
from samjax.files import replacing


class NotTheModel(ValueError):
    """An exported graph does not answer as the model does; nothing was written."""


def write_files(
    contents: Mapping[Path, bytes], report: Path, about: Mapping[str, Any]
) -> None:
    """Writes graphs and their report, each whole or not at all.

    Args:
        contents: The files.
        report: Where to write the report, JSON.
        about: What it says beside versions, sizes and hashes.
    """
    said = {
        **about,
        "ir_version": IR_VERSION,
        "opset": OPSET,
        "files": {
            path.name: {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for path, content in contents.items()
        },
        "versions": {name: version(name) for name in ("samjax", "onnx", "onnxruntime")},
    }
    for path, content in contents.items():
        with replacing(path) as hidden:
            hidden.write_bytes(content)
    with replacing(report) as hidden:
        hidden.write_text(json.dumps(said, indent=1) + "\n")
