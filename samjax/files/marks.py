"""Identification of files that samjax wrote, which alone it may replace.

Every kind of output carries a mark where its format has room for one; files of versions
before the marks are recognized by their form. The table at the end has both. A file of
another kind is never replaced, even if samjax wrote it: an export must not overwrite a
trained model.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from samjax.files.containers import (
    png_software,
    read_head,
    read_jpeg_segments,
    read_json,
    read_png_chunks,
    read_safetensors_header,
    sha256_of,
)
from samjax.files.signed_text import is_signed

Kind = Literal[
    "segment",
    "overlay",
    "report",
    "settings",
    "record",
    "shard",
    "coco",
    "yolo",
    "label map",
    "image embedding",
    "weights",
    "trained part",
    "metrics",
    "export",
    "evaluation",
    "engine",
    "statistics",
    "card",
]

KEY = "made_with"
"""The key of the mark in JSON objects and in the strings of safetensors files."""


def mark_of(kind: Kind) -> str:
    """Returns the mark of files of a kind."""
    return f"samjax {kind}"


def is_own(path: Path, kind: Kind) -> bool:
    """Whether samjax wrote a file, as one of a kind."""
    return any(recognizes(path) for recognizes in KINDS[kind].known_by)


def _in_json(kind: Kind) -> Callable[[Path], bool]:
    return lambda path: read_json(path).get(KEY) == mark_of(kind)


def _in_png(kind: Kind) -> Callable[[Path], bool]:
    return lambda path: png_software(read_png_chunks(path)) == mark_of(kind)


def _in_jpeg(kind: Kind) -> Callable[[Path], bool]:
    comment = (0xFE, mark_of(kind).encode())
    return lambda path: comment in read_jpeg_segments(path)


def _in_safetensors(**strings: str) -> Callable[[Path], bool]:
    return lambda path: strings.items() <= read_safetensors_header(path)[1].items()


def _starts_with(*beginnings: bytes) -> Callable[[Path], bool]:
    return lambda path: read_head(path, 1 << 12).startswith(beginnings)


def _contains(*parts: bytes) -> Callable[[Path], bool]:
    return lambda path: all(part in read_head(path, 1 << 12) for part in parts)


def _has_keys(*keys: str) -> Callable[[Path], bool]:
    return lambda path: read_json(path).keys() == set(keys)


def _is_own_shard(path: Path) -> bool:
    """Recognizes a shard by the owner in the header of its first member."""
    head = read_head(path, 1 << 14)
    if not head.strip(b"\0"):
        # The tar of no images.
        return len(head) == 10_240
    # A long name comes before the header, in a block and its own header.
    mark = mark_of("shard").encode().ljust(32, b"\0")
    return any(head[at : at + 32] == mark for at in (265, 1024 + 265))


def _is_own_embedding(path: Path) -> bool:
    text = read_safetensors_header(path)[1].get("samjax", "")
    try:
        kind = json.loads(text)["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    # Servers of earlier versions added their layout to the name.
    return str(kind).startswith(mark_of("image embedding"))


def _is_bare(path: Path) -> bool:
    """Whether a PNG has no metadata, as Pillow writes it by default."""
    return {kind for kind, _ in read_png_chunks(path)} == {b"IHDR", b"IDAT", b"IEND"}


def _old_segment_record(path: Path) -> bool:
    content = read_json(path)
    return content.keys() == {"image", "model", "annotations"} and all(
        isinstance(entry, Mapping)
        and {"prompt", "point_labels", "mask"} <= entry.keys()
        for entry in _list(content["annotations"])
    )


def _old_segment_picture(path: Path) -> bool:
    """Recognizes STEM_N_mask_M.png and STEM_N_overlay.png beside their STEM.json."""
    if not _is_bare(path):
        return False
    stem, _, last = path.stem.rpartition("_")
    if last != "overlay":
        stem, _, word = stem.rpartition("_")
        if word != "mask":
            return False
    stem, _, prompt = stem.rpartition("_")
    record = path.with_name(f"{stem}.json")
    if not is_own(record, "segment"):
        return False
    prompts = [str(entry["prompt"]) for entry in read_json(record)["annotations"]]
    rank = int(last) if last.isdecimal() and len(last) < 6 else 1
    return prompts.count(prompt) >= rank


def _in_old_run(path: Path) -> bool:
    return is_own(path.parents[1] / "run" / "settings.json", "settings")


def _old_settings(path: Path) -> bool:
    return {"weights", "hierarchy", "tile_size", "shard_size"} <= read_json(path).keys()


def _old_overlay(path: Path) -> bool:
    """Recognizes an overlay by its segments and quality, in the folder of a run."""
    segments = read_jpeg_segments(path)
    tables = [content for marker, content in segments if marker == 0xDB]
    plain = all(marker < 0xE1 or marker > 0xFE for marker, _ in segments)
    plain &= not any(marker == 0xFE for marker, _ in segments)
    return bool(tables) and plain and tables == _tables_of_old() and _in_old_run(path)


def _tables_of_old() -> list[bytes]:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, format="JPEG", quality=88)
    tables, position, content = [], 2, data.getvalue()
    while content[position + 1] != 0xDA:
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        if content[position + 1] == 0xDB:
            tables.append(content[position + 4 : position + 2 + length])
        position += 2 + length
    return tables


def _marked_coco(path: Path) -> bool:
    return read_head(path).startswith(b'{"info":{"%s":"%s"' % (_KEY, b"samjax coco"))


def _known_labels(path: Path) -> bool:
    """Recognizes YOLO labels by their digest: the format has no room for a mark."""
    if path.suffix != ".txt":
        return False
    for listed in (path.parents[1] / LABELS_LIST, path.parents[2] / _OLD_LABELS_LIST):
        if (labels := known_labels(listed)) is not None:
            return labels.get(path.name) == sha256_of(path)
    lines = read_head(path, 1 << 24).splitlines()
    return _yolo_config(path.parents[1] / "data.yaml") and all(
        line.startswith(b"0 ") and not line.strip(b"0123456789. ") for line in lines
    )


def known_labels(path: Path) -> dict[str, str] | None:
    """Returns the digests in a list of YOLO labels, by file name; None if it is none."""
    known = read_json(path)
    if known.get(KEY) != mark_of("yolo"):
        return None
    labels = known.get("labels")
    return labels if isinstance(labels, dict) else {}


LABELS_LIST = "samjax_labels.json"
"""Name of a list in a folder of YOLO's form: the digests of its label files."""

# Runs of earlier versions listed them here, in the folder of the run.
_OLD_LABELS_LIST = Path("run", "labels.json")


def _yolo_config(path: Path) -> bool:
    form = rb'train: images\nval: images\nnames:\n  0: "[^\n]*"\n'
    return re.fullmatch(form, read_head(path)) is not None


def _listed_in_report(path: Path) -> bool:
    """Recognizes a file of an export by its digest in the report beside it."""
    report = path.with_suffix(".json")
    if not _is_export_report(report):
        return False
    entry = read_json(report)["files"].get(path.name)
    return isinstance(entry, dict) and entry.get("sha256") == sha256_of(path)


def _is_export_report(path: Path) -> bool:
    content = read_json(path)
    versions = content.get("versions")
    has_files = isinstance(content.get("files"), dict)
    return has_files and isinstance(versions, dict) and "samjax" in versions


def _old_hugging_face(path: Path) -> bool:
    """Recognizes samjax's early files in the format of transformers, by their details."""
    config = read_json(path.with_name("config.json"))
    if config.get("architectures") != ["SamModel"] or _THEIRS & config.keys():
        return False
    length, metadata = read_safetensors_header(path.with_name("model.safetensors"))
    has_name = path.name in ("config.json", "model.safetensors")
    # samjax's headers end at a multiple of 64 bytes.
    return has_name and metadata == {"format": "pt"} and (8 + length) % 64 == 0


_THEIRS = {"transformers_version", "dtype", "torch_dtype"}


def _hugging_face_config(path: Path) -> bool:
    has_name = path.name == "config.json"
    return has_name and _marked_weights(path.with_name("model.safetensors"))


def _torch_file(path: Path) -> bool:
    # torch itself names the archive after the file, and its pickles have memo opcodes.
    head = read_head(path, 1 << 10)
    return head.startswith(b"PK") and (
        b"archive/data.pkl" in head
        and b"\x80\x02ccollections\nOrderedDict\n)R(" in head
    )


def _run_metrics(path: Path) -> bool:
    """Recognizes the metrics of a training run: a step and the terms of its loss."""
    first = read_head(path).partition(b"\n")[0]
    return not first or (
        first.startswith(b'{"step": ')
        and (b'"focal": ' in first or not first.endswith(b"}"))
    )


def _with_config(path: Path) -> bool:
    return "samjax_config" in read_safetensors_header(path)[1]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


_KEY = KEY.encode()
_marked_weights = _in_safetensors(**{KEY: "samjax weights"})


class Recognition(NamedTuple):
    """How files of a kind are recognized.

    Attributes:
        what: Name of such a file, for messages.
        known_by: Tests, one of which has to hold: the mark, then forms before marks.
    """

    what: str
    known_by: tuple[Callable[[Path], bool], ...]


KINDS: dict[Kind, Recognition] = {
    "segment": Recognition(
        "result of `samjax segment`",
        (
            _in_json("segment"),
            _in_png("segment"),
            _old_segment_record,
            _old_segment_picture,
        ),
    ),
    "overlay": Recognition(
        "overlay of `samjax everything`", (_in_jpeg("overlay"), _old_overlay)
    ),
    "report": Recognition(
        "report of `samjax everything`",
        (
            _contains(b'<meta name="generator" content="samjax report">'),
            _contains(
                b'<meta http-equiv="Content-Security-Policy" content="default-src '
                b"'none'; img-src data:; style-src 'unsafe-inline'\">",
                b"<title>Everything</title>",
            ),
        ),
    ),
    "settings": Recognition("settings of a run", (_in_json("settings"), _old_settings)),
    "record": Recognition("record that samjax wrote", (_in_json("record"),)),
    "shard": Recognition("shard that samjax wrote", (_is_own_shard,)),
    "coco": Recognition(
        "COCO file of samjax",
        (
            _marked_coco,
            _starts_with(
                b'{"info":{},\n"licenses":[],\n"categories":[{"id":1,"name":"object",'
                b'"supercategory":"object"}],\n"annotations":['
            ),
        ),
    ),
    "yolo": Recognition(
        "file of samjax for YOLO as it was written",
        (_yolo_config, _known_labels, _in_json("yolo")),
    ),
    "label map": Recognition(
        "label map of samjax",
        (_in_png("label map"), lambda path: _is_bare(path) and _in_old_run(path)),
    ),
    "engine": Recognition(
        "file of samjax engine",
        (_in_json("engine"), _in_safetensors(**{KEY: mark_of("engine")})),
    ),
    "image embedding": Recognition("image embedding of samjax", (_is_own_embedding,)),
    "weights": Recognition(
        "file of weights that samjax wrote",
        (
            _in_safetensors(format="samjax"),
            _with_config,
            _marked_weights,
            _torch_file,
            _hugging_face_config,
            _old_hugging_face,
        ),
    ),
    "trained part": Recognition(
        "file of a trained part", (_in_safetensors(format="samjax trained part"),)
    ),
    "metrics": Recognition("metrics.jsonl of a training run", (_run_metrics,)),
    "export": Recognition(
        "export of samjax",
        (
            # The field of an ONNX file that names its producer.
            _contains(b"\x12\x06samjax"),
            _in_safetensors(**{KEY: mark_of("export")}),
            _is_export_report,
            _listed_in_report,
        ),
    ),
    "evaluation": Recognition(
        "result of `samjax evaluate`",
        (
            _in_json("evaluation"),
            # The records of images, JSON Lines.
            _starts_with(f'{{"{KEY}": "{mark_of("evaluation")}"'.encode()),
            # Saved masks, a list without a place for the mark but its first entry.
            _starts_with(f'[{{"{KEY}": "{mark_of("evaluation")}"'.encode()),
            lambda path: read_json(path).get("format") == "samjax evaluation",
            _contains(b'<meta name="generator" content="samjax evaluation">'),
            _has_keys("suite", "protocol", "scores", "objects"),
            _starts_with(b"<!-- samjax evaluation -->"),
        ),
    ),
    "statistics": Recognition(
        "result of `samjax data stats`",
        (
            _in_json("statistics"),
            lambda path: (
                {"bad_examples", "relative_mask_size"} <= read_json(path).keys()
            ),
        ),
    ),
    "card": Recognition(
        "model card as samjax wrote it",
        (lambda path: is_signed(path, mark_of("card")),),
    ),
}
