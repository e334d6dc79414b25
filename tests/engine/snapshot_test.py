"""Snapshots: shards that readers of SA-1B read, of the masks at one revision."""

import io
import json
import tarfile

import numpy as np
import pytest
from engine.annotations.store_test import SIZE, add, mask
from PIL import Image

from samjax.data.sa1b.source import open_sa1b
from samjax.engine.annotations import AnnotationStore
from samjax.engine.snapshot import write_snapshot
from samjax.files import sha256_of


@pytest.fixture
def store(tmp_path):
    made = AnnotationStore(tmp_path / "annotations.sqlite3")
    yield made
    made.close()


def png(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((*SIZE, 3), len(name), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def records(folder) -> dict[str, dict]:
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    found[member.name.removeprefix("./")] = json.load(
                        tar.extractfile(member)
                    )
    return found


def test_a_snapshot_is_of_its_revision_and_is_read_as_sa1b(store, tmp_path):
    first = add(store, "one", "a.png", author="Ada", clicks=3, stage=2, round=4)
    add(store, "two", "b.png", author="Bob", model="m7")
    revision = store.snapshot()[0]
    store.change(first["id"], first["revision"], {}, mask(7))
    add(store, "three", "c.png")
    out = tmp_path / "snapshot"
    manifest = write_snapshot(store, png, out, revision=revision, images_per_shard=1)
    assert (manifest["revision"], manifest["images"], manifest["masks"]) == (2, 2, 2)
    assert [shard["name"] for shard in manifest["shards"]] == [
        "000000.tar",
        "000001.tar",
    ]
    for shard in manifest["shards"]:
        assert sha256_of(out / shard["name"]) == shard["sha256"]
    a, b = records(out)["a.json"], records(out)["b.json"]
    (made,) = a["annotations"]
    assert made["area"] == 3 and made["segmentation"]["counts"] == mask().counts
    assert (made["clicks"], made["stage"], made["round"]) == (3, 2, 4)
    assert (made["uuid"], made["version"], made["author"]) == ("one", 1, "person-1")
    assert (b["annotations"][0]["author"], b["annotations"][0]["model"]) == (
        "person-2",
        "m7",
    )
    assert "Ada" not in json.dumps(a) and len(open_sa1b(str(out))) == 2


def test_a_complete_snapshot_is_not_written_again(store, tmp_path):
    add(store)
    out = tmp_path / "snapshot"
    manifest = write_snapshot(store, png, out)
    add(store, "later", "later.png")
    assert write_snapshot(store, png, out) == manifest
    assert list(records(out)) == ["a.json"]


def test_masks_lie_on_the_upright_image(store, tmp_path):
    """The store has masks of upright images; a shard's are of its stored pixels."""
    add(store, "one", "sub/a.png")

    def turned(name: str) -> bytes:
        image = Image.new("RGB", SIZE, "white")
        exif = image.getexif()
        exif[274] = 6
        buffer = io.BytesIO()
        image.save(buffer, "PNG", exif=exif)
        return buffer.getvalue()

    out = tmp_path / "snapshot"
    write_snapshot(store, turned, out)
    with tarfile.open(out / "000000.tar") as tar:
        (name,) = [n for n in tar.getnames() if n.endswith(".png")]
        content = tar.extractfile(name)
        assert content is not None and name.endswith("000001_a.png")
        with Image.open(content) as image:
            assert image.size == SIZE[::-1] and not image.getexif().get(274)


def test_images_whose_names_differ_by_folder_or_suffix_stay_apart(store, tmp_path):
    names = ["A.png", "a.jpg", "sub/a.png", "sub/b.png"]
    for number, name in enumerate(names):
        add(store, f"mask-{number}", name)
    out = tmp_path / "snapshot"
    assert write_snapshot(store, png, out)["images"] == 4
    expected = ["A.json", "000002_a.json", "000003_a.json", "000004_b.json"]
    assert sorted(records(out)) == sorted(expected)


def test_a_part_of_the_masks_can_be_written(store, tmp_path):
    add(store, "one", "a.png", source="proposed")
    add(store, "two", "b.png", edited=True)
    out = tmp_path / "snapshot"
    manifest = write_snapshot(store, png, out, keep=lambda row: row["edited"])
    assert (manifest["images"], manifest["masks"]) == (1, 1)
    (made,) = records(out)["b.json"]["annotations"]
    assert (made["source"], made["edited"], made["strokes"]) == ("click", True, None)
