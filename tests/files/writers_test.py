"""No writer of the library replaces a file of the user's, and each replaces its own."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from data.formats.small_records import record

import samjax
from samjax.cli import outputs
from samjax.data import formats
from samjax.evaluation.report import Report
from samjax.evaluation.result import Result
from samjax.export.files import Destination, write_files
from samjax.files import WouldReplace
from samjax.geometry.frame import Frame
from samjax.inference import ImageEmbedding

DISC = np.hypot(*np.ogrid[-5:6, -5:6]) < 4
RECORDS = (record([DISC]), record([DISC, ~DISC]))


def coco(folder, index, overwrite):
    formats.write_coco(folder / "a.json", [RECORDS[index]], overwrite=overwrite)


def polygons(folder, index, overwrite):
    formats.write_coco(
        folder / "a.json",
        [RECORDS[index]],
        segmentation="polygons",
        info={"made_with": "another", "year": 2020},
        overwrite=overwrite,
    )


def one_record(folder, index, overwrite):
    formats.write_record(folder, RECORDS[index], overwrite=overwrite)


def shard(folder, index, overwrite):
    items = [(RECORDS[index]["image"]["file_name"], b"image", RECORDS[index])]
    formats.write_shard(folder / "a.tar", items * (1 - index), overwrite=overwrite)


def yolo(folder, index, overwrite):
    formats.write_yolo(folder, [RECORDS[index]], overwrite=overwrite)


def yolo_names(folder, index, overwrite):
    formats.write_yolo(folder, [], category=f"class {index}", overwrite=overwrite)


def label_map(folder, index, overwrite):
    labels = np.full((3, 4), index + 1)
    formats.write_label_map(folder / "a.png", labels, overwrite=overwrite)


def embedding(folder, index, overwrite):
    features = jnp.full((8, 8, 16), index, jnp.float32)
    made = ImageEmbedding(features, Frame.fit((31, 57), 64), "abc")
    made.save(folder / "a.embedding", overwrite=overwrite)


def export(folder, index, overwrite):
    content = {folder / "a.stablehlo": bytes([index])}
    destination = Destination(overwrite=overwrite)
    write_files(content, folder / "a.json", {}, (), destination)


def report(folder, index, overwrite):
    made = Report(suite=str(index), protocol={}, scores={}, objects=())
    made.save(folder / "a.json", overwrite=overwrite)


def result(folder, index, overwrite):
    made = Result(
        model={"name": "tiny"},
        suite=str(index),
        protocol={},
        deviations=(),
        sets=(),
        scores={},
        intervals={},
        details={},
        versions={},
    )
    made.save(folder / "a.json", overwrite=overwrite)


def picture(folder, index, overwrite):
    mask = np.full((3, 4), bool(index))
    outputs.write_image(folder / "a.png", mask, "segment", overwrite=overwrite)


def answer(folder, index, overwrite):
    outputs.write_json(folder / "a.json", {"a": index}, "segment", overwrite=overwrite)


# A writer, and a file that it writes.
WRITERS = [
    (coco, "a.json"),
    (polygons, "a.json"),
    (one_record, "sa_1.json"),
    (shard, "a.tar"),
    (yolo, "labels/sa_1.txt"),
    (yolo, "data.yaml"),
    (yolo, "samjax_labels.json"),
    (yolo_names, "data.yaml"),
    (label_map, "a.png"),
    (embedding, "a.embedding"),
    (export, "a.stablehlo"),
    (export, "a.json"),
    (report, "a.json"),
    (result, "a.json"),
    (picture, "a.png"),
    (answer, "a.json"),
]
USERS = b'{"image": {}, "annotations": [{"mine": "hours of work"}], "labels": {}}'


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_writer_replaces_its_own_file_only(tmp_path, write, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for content in (USERS, b"", b"0 0.5 0.5 0.75 0.5 0.5 0.875\n"):
        path.write_bytes(content)
        with pytest.raises(WouldReplace, match=re.escape(str(path))) as error:
            write(tmp_path, 0, overwrite=False)
        assert "overwrite=True" in str(error.value)
        assert path.read_bytes() == content
    write(tmp_path, 0, overwrite=True)
    first = path.read_bytes()
    assert first != content
    # Again, and with other content.
    write(tmp_path, 0, overwrite=False)
    assert path.read_bytes() == first
    write(tmp_path, 1, overwrite=False)
    assert path.read_bytes() != first or write is yolo and name == "data.yaml"
    write(tmp_path, 0, overwrite=False)
    assert path.read_bytes() == first
    assert not list(tmp_path.rglob(".*"))


def test_labels_that_were_corrected_are_kept(tmp_path):
    records = [record([DISC], image_id=i, file_name=f"{i}.jpg") for i in (1, 2)]
    formats.write_yolo(tmp_path, records[:1])
    formats.write_yolo(tmp_path, records[1:])
    corrected = tmp_path / "labels" / "1.txt"
    text = corrected.read_text().replace("0.", "0.1")
    corrected.write_text(text)
    with pytest.raises(WouldReplace, match=r"1\.txt"):
        formats.write_yolo(tmp_path, records)
    formats.write_yolo(tmp_path, records[1:])
    assert corrected.read_text() == text
    formats.write_yolo(tmp_path, records, overwrite=True)
    assert corrected.read_text() != text


# Modules that write files by other functions than those of `files.outputs`, and why.
OTHER_WRITERS = {
    "checkpoints/checksums.py": "in a checkpoint of Orbax",
    "checkpoints/download.py": "in the cache",
    "checkpoints/writer.py": "checks all of its files before it writes one",
    "cli/engine_team.py": "refuses a file that is there, without --overwrite",
    "cli/evaluated_segmenters.py": "checks the file of recorded predictions before",
    "data/sa1b/index.py": "in the cache, or beside the tar with samjax's own suffix",
    "data/tfds/beam.py": "in a temporary folder",
    "data/tfds/convert.py": "tfds/layout.py checks the folder",
    "data/tfds/layout.py": "checks all of its files before it writes one",
    "data/tfds/metadata.py": "tfds/layout.py checks the folder",
    "engine/annotations/schema.py": "a database, if there is none",
    "engine/labelling.py": "its partial file, which it reads before",
    "engine/privacy/folder.py": "new names, what its journal has, and its report",
    "engine/project.py": "makes what is missing",
    "engine/run_folder.py": "checks the folder of the run",
    "export/files.py": "checks all of its files before it writes one",
    "export/prompt_text_files.py": "in the temporary folder of web/demo.py",
    "training/card.py": "keeps a card that was edited",
    "training/finetune/delta_file.py": "checks before it hashes the weights",
    "training/text/sidecar.py": "reads the file before; any other than its own is refused",
    "training/runtime/metrics_writer.py": "training/loop.py checks the folder",
    "web/demo.py": "in a temporary folder",
    "web/disk_cache.py": "in the cache",
    "web/embedding_cache.py": "in the cache",
    "web/site.py": "compares digests with the list of the demo before",
    "web/uploads.py": "a new name only",
}
WRITES = re.compile(
    r"(?<!hidden\.)\b(replacing|write_bytes|write_text|os\.replace|os\.rename)\("
)


def test_all_other_files_are_written_in_one_place():
    package = Path(samjax.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if WRITES.search(path.read_text("utf-8"))
    }
    assert {name for name in found if not name.startswith("files/")} == set(
        OTHER_WRITERS
    )
