"""Which files samjax may replace: those it wrote, of the kind that is written now."""

import hashlib
import io
import json
import os
import tarfile

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samjax.files import (
    KEY,
    LABELS_LIST,
    WouldReplace,
    check_replaceable,
    is_own,
    mark_of,
    signed,
)

SETTINGS = {"weights": "a", "hierarchy": False, "tile_size": None, "shard_size": None}
PROMPTED = {"prompt": 1, "point_labels": [1], "mask": None, "id": 1}
CARD = signed("# Model card\n\nlicence: to fill\n", mark_of("card")).encode()
OLD_SEGMENT = {"image": {}, "model": "tiny", "annotations": [PROMPTED]}


def png(**options) -> bytes:
    data = io.BytesIO()
    Image.new("L", (4, 3)).save(data, format="PNG", **options)
    return data.getvalue()


def png_of(software: str) -> bytes:
    text = PngInfo()
    text.add_text("Software", software)
    return png(pnginfo=text)


def jpeg(**options) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 3)).save(data, format="JPEG", **options)
    return data.getvalue()


def tensors(metadata=None) -> bytes:
    return safetensors.numpy.save({"a": np.zeros(3, np.float32)}, metadata)


def text(content) -> bytes:
    return json.dumps(content).encode()


def tar(name="sa_1.jpg", **header) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as file:
        member = tarfile.TarInfo(f"./{name}")
        for field, value in header.items():
            setattr(member, field, value)
        file.addfile(member)
    return data.getvalue()


def report_on(name: str, content: bytes) -> bytes:
    said = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return text({"files": {name: said}, "versions": {"samjax": "0"}})


LABELS = b"0 0.25 0.5 0.75 0.5 0.5 0.875\n"
YAML = b'train: images\nval: images\nnames:\n  0: "object"\n'
LISTED = text(
    {KEY: "samjax yolo", "labels": {"a.txt": hashlib.sha256(LABELS).hexdigest()}}
)
OLD_COCO = (
    b'{"info":{},\n"licenses":[],\n"categories":[{"id":1,"name":"object",'
    b'"supercategory":"object"}],\n"annotations":[\n],\n"images":[\n\n]}\n'
)
CSP = (
    b'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    b"img-src data:; style-src 'unsafe-inline'\"><title>Everything</title>"
)
LABELS_IN = f"yolo/{LABELS_LIST}"
RUN = {"run/settings.json": text(SETTINGS)}
STEPS = b'{"step": 1, "loss": 2.0, "focal": 0.1, "dice": 0.2}\n'

# Kind, path, content, files beside it, whether it is samjax's own of that kind.
ROWS = {
    # Marks.
    "segment's record": ("segment", "a.json", text({KEY: "samjax segment"}), {}, True),
    "segment's mask": ("segment", "a.png", png_of("samjax segment"), {}, True),
    "overlay": ("overlay", "a.jpg", jpeg(comment="samjax overlay"), {}, True),
    "export's weights": (
        "export",
        "a.safetensors",
        tensors({KEY: "samjax export"}),
        {},
        True,
    ),
    "weights": ("weights", "a.safetensors", tensors({"format": "samjax"}), {}, True),
    "released names": (
        "weights",
        "a.safetensors",
        tensors({"format": "pt", "samjax_config": "{}"}),
        {},
        True,
    ),
    "transformers' config": (
        "weights",
        "config.json",
        b"{}",
        {"model.safetensors": tensors({"format": "pt", KEY: "samjax weights"})},
        True,
    ),
    "evaluation": ("evaluation", "a.json", text({KEY: "samjax evaluation"}), {}, True),
    "records of an evaluation": (
        "evaluation",
        "a.images.jsonl",
        text({KEY: "samjax evaluation", "evaluation": "0"}) + b"\n{}\n",
        {},
        True,
    ),
    "report of an evaluation": (
        "evaluation",
        "a.html",
        b'<!DOCTYPE html>\n<meta name="generator" content="samjax evaluation">',
        {},
        True,
    ),
    "counts": ("statistics", "a.json", text({KEY: "samjax statistics"}), {}, True),
    "labels": ("yolo", "yolo/labels/a.txt", LABELS, {LABELS_IN: LISTED}, True),
    "labels of a run": (
        "yolo",
        "yolo/labels/a.txt",
        LABELS,
        {"run/labels.json": LISTED},
        True,
    ),
    "list of labels": ("yolo", LABELS_IN, LISTED, {}, True),
    "record": ("record", "sa_1.json", text({KEY: "samjax record"}), {}, True),
    "shard": ("shard", "a.tar", tar(uname="samjax shard"), {}, True),
    "shard of a long name": (
        "shard",
        "a.tar",
        tar("x" * 150, uname="samjax shard"),
        {},
        True,
    ),
    "shard of nothing": ("shard", "a.tar", bytes(10_240), {}, True),
    "embedding": (
        "image embedding",
        "a.embedding",
        tensors({"samjax": '{"format": "samjax image embedding"}'}),
        {},
        True,
    ),
    "embedding of an earlier server": (
        "image embedding",
        "a.embedding",
        tensors({"samjax": '{"format": "samjax image embedding, channels first"}'}),
        {},
        True,
    ),
    "metrics": ("metrics", "metrics.jsonl", STEPS, {}, True),
    # The forms of versions before marks.
    "old record": ("segment", "a.json", text(OLD_SEGMENT), {}, True),
    "old mask": (
        "segment",
        "a_1_mask_1.png",
        png(),
        {"a.json": text(OLD_SEGMENT)},
        True,
    ),
    "old picture": (
        "segment",
        "a_1_overlay.png",
        png(),
        {"a.json": text(OLD_SEGMENT)},
        True,
    ),
    "old overlay": ("overlay", "overlays/a.jpg", jpeg(quality=88), RUN, True),
    "old label map": ("label map", "label_maps/a.png", png(), RUN, True),
    "old settings": ("settings", "run/settings.json", text(SETTINGS), {}, True),
    "old report": ("report", "report.html", CSP, {}, True),
    "old COCO": ("coco", "a.json", OLD_COCO, {}, True),
    "old YOLO": ("yolo", "yolo/data.yaml", YAML, {}, True),
    "old labels": ("yolo", "yolo/labels/a.txt", LABELS, {"yolo/data.yaml": YAML}, True),
    "old program": (
        "export",
        "a.stablehlo",
        b"program",
        {"a.json": report_on("a.stablehlo", b"program")},
        True,
    ),
    "old report of an export": ("export", "a.json", report_on("a", b""), {}, True),
    "ONNX": ("export", "a.onnx", b"\x08\x0a\x12\x06samjax:", {}, True),
    "old evaluation": (
        "evaluation",
        "a.json",
        text({"suite": "", "protocol": {}, "scores": {}, "objects": []}),
        {},
        True,
    ),
    "old counts": (
        "statistics",
        "a.json",
        text({"bad_examples": 0, "relative_mask_size": {}}),
        {},
        True,
    ),
    # Of another kind, or somebody else's.
    "everything's record": (
        "segment",
        "a.json",
        text({"image": {"image_id": 1}, "annotations": [{"id": 1}]}),
        {},
        False,
    ),
    "a trained model": (
        "export",
        "a.safetensors",
        tensors({"format": "samjax"}),
        {},
        False,
    ),
    "another's tensors": ("weights", "a.safetensors", tensors(), {}, False),
    "an export's weights": (
        "weights",
        "a.safetensors",
        tensors({KEY: "samjax export"}),
        {},
        False,
    ),
    "a release's .pth": ("weights", "a.pth", b"PK\3\4archive/data.pkl\x80\2}", {}, False),
    "a mask drawn by hand": (
        "segment",
        "a_2_mask_1.png",
        png(),
        {"a.json": text(OLD_SEGMENT)},
        False,
    ),
    "a mask edited since": (
        "segment",
        "a_1_mask_1.png",
        png(dpi=(72, 72)),
        {"a.json": text(OLD_SEGMENT)},
        False,
    ),
    "a photo in overlays": ("overlay", "overlays/a.jpg", jpeg(quality=75), RUN, False),
    "a photo of that quality": ("overlay", "overlays/a.jpg", jpeg(quality=88), {}, False),
    "a program edited since": (
        "export",
        "a.stablehlo",
        b"other",
        {"a.json": report_on("a.stablehlo", b"program")},
        False,
    ),
    "corrected labels": (
        "yolo",
        "yolo/labels/a.txt",
        b"0 0.5 0.5 0.75 0.5 0.5 0.875\n",
        {LABELS_IN: LISTED, "yolo/data.yaml": YAML},
        False,
    ),
    "labels of classes": (
        "yolo",
        "yolo/labels/a.txt",
        b"7 0.5 0.5 0.75 0.5\n",
        {"yolo/data.yaml": YAML},
        False,
    ),
    "labels beside a list without them": (
        "yolo",
        "yolo/labels/b.txt",
        LABELS,
        {LABELS_IN: LISTED, "yolo/data.yaml": YAML},
        False,
    ),
    "another's list": ("yolo", LABELS_IN, text({"labels": {}}), {}, False),
    "SA-1B's record": ("record", "sa_1.json", text({"image": {}}), {}, False),
    "SA-1B's shard": ("shard", "sa_1.tar", tar(), {}, False),
    "zeros": ("shard", "a.tar", bytes(20_000), {}, False),
    "an embedding's header": (
        "image embedding", "a", tensors({"samjax": "[]"}), {}, False
    ),
    "weights for an embedding": (
        "image embedding", "a", tensors({"format": "samjax"}), {}, False
    ),
    "another's COCO": ("coco", "a.json", text({"info": {}, "images": []}), {}, False),
    "another's metrics": ("metrics", "metrics.jsonl", b'{"step": 1, "loss": 2}\n', {}, False),
    "a card": ("card", "MODEL_CARD.md", CARD, {}, True),
    "an edited card": ("card", "MODEL_CARD.md", CARD.replace(b"to fill", b"mine"), {}, False),
    "a card with a line more": ("card", "MODEL_CARD.md", CARD + b"mine\n", {}, False),
    "a card of another kind": ("card", "a.md", signed("# Card\n", "another").encode(), {}, False),
    "another's card": ("card", "MODEL_CARD.md", b"# Model card\n", {}, False),
    "a page": ("report", "report.html", b"<title>Everything</title>mine", {}, False),
    "damaged": ("segment", "a.json", b'{"made_with": "samjax seg', {}, False),
    "empty": ("evaluation", "a.json", b"", {}, False),
    "deep": ("evaluation", "a.json", b"[" * 100_000, {}, False),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_only_samjax_own_file_of_the_kind_is_replaced(tmp_path, row):
    kind, name, content, beside, own = ROWS[row]
    for other, its_content in {**beside, name: content}.items():
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_bytes(its_content)
    path = tmp_path / name
    assert is_own(path, kind) == own
    check_replaceable(path, kind, overwrite=True)
    if own:
        check_replaceable(path, kind)
    else:
        with pytest.raises(WouldReplace) as error:
            check_replaceable(path, kind)
        assert str(path) in str(error.value) and "--overwrite" in str(error.value)
    # What is read is never written over, whatever was said.
    with pytest.raises(WouldReplace, match="read here"):
        check_replaceable(path, kind, overwrite=True, inputs=[path])


def test_links_folders_and_pipes_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for name in ("pipe", "folder"):
        with pytest.raises(WouldReplace, match="no regular file"):
            check_replaceable(tmp_path / name, "segment", overwrite=True)
    with pytest.raises(WouldReplace):
        check_replaceable(tmp_path / "dangling", "segment")
    check_replaceable(tmp_path / "nothing", "segment")
