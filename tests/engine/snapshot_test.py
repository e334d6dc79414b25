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
