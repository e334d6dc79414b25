"""Exported annotations are read back by the reader of each format."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from web.annotation_routes_test import annotation
from web.conftest import code_of, picture

from samjax.data.formats import read_coco
from samjax.data.schema import record_from_json
from samjax.geometry.masks import decode_rle, encode_rle
from samjax.web.folder import image_id
from samjax.web.zip_stream import zip_chunks

SIZES = {"img2.png": (30, 40), "sub/photo.png": (24, 32)}


def drawn(size, row) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[row : row + 5, 2:9] = True
    return mask


@pytest.fixture
def masks(client, ids) -> dict[str, list[np.ndarray]]:
    """Two masks on each of two images, stored."""
    stored = {}
    for name, size in SIZES.items():
        stored[name] = [drawn(size, 1), drawn(size, 12)]
        for row, mask in enumerate(stored[name]):
            given = annotation(f"{ids[name]}-{row}", label=["cat", ""][row])
            given["segmentation"] = encode_rle(mask)
            given["score"] = [0.75, None][row]
            given["prompts"] = {"points": [[3, 2], [0, 0]], "labels": [1, 0]}
            path = f"/api/v1/images/{ids[name]}/annotations"
            assert client.post(path, json=given).status_code == 201
    return stored


def export(client, form, **query) -> zipfile.ZipFile:
    response = client.get("/api/v1/export", params={"format": form, **query})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.testzip() is None
    return archive


def test_sa1b_has_a_record_for_each_image(client, masks):
    archive = export(client, "sa1b")
    assert archive.namelist() == ["img2.json", "sub/photo.json"]
    for name, member in zip(SIZES, archive.namelist(), strict=True):
        record: dict = dict(record_from_json(archive.read(member)))
        assert record["image"]["file_name"] == name.rpartition("/")[2]
        found = [decode_rle(one["segmentation"]) for one in record["annotations"]]
        np.testing.assert_array_equal(found, masks[name])
        first, second = record["annotations"]
        assert (first["predicted_iou"], second["predicted_iou"]) == (0.75, 1.0)
        assert first["point_coords"] == [[3, 2]]
        assert (first["label"], second["label"]) == ("cat", "")


def test_coco_has_the_labels_as_categories_and_is_read_by_our_reader(
    client, masks, tmp_path
):
    archive = export(client, "coco")
    assert archive.namelist() == ["annotations.json"]
    path = tmp_path / "coco.json"
    path.write_bytes(archive.read("annotations.json"))
    content = json.loads(path.read_bytes())
    kinds = {one["id"]: one["name"] for one in content["categories"]}
    assert [kinds[one["category_id"]] for one in content["annotations"]] == [
        "cat",
        "object",
    ] * 2
    # One pixel more than SA-1B's.
    assert content["annotations"][0]["bbox"] == [2, 1, 7, 5]
    found = {record["image"]["file_name"]: record for record in read_coco(path)}
    for name, wanted in masks.items():
        own = [decode_rle(one["segmentation"]) for one in found[name]["annotations"]]
        np.testing.assert_array_equal(own, wanted)


def test_label_maps_have_the_number_of_each_mask(client, masks):
    archive = export(client, "png")
    for name, wanted in masks.items():
        stem = name.removesuffix(".png")
        labels = np.array(Image.open(io.BytesIO(archive.read(f"{stem}.png"))))
        legend = json.loads(archive.read(f"{stem}.labels.json"))
        assert [one["label"] for one in legend] == ["cat", ""]
        for one, mask in zip(legend, wanted, strict=True):
            np.testing.assert_array_equal(labels == one["value"], mask)


def test_one_image_is_a_file_by_itself(client, masks, ids):
    image = {"image": ids["img2.png"]}
    whole = export(client, "sa1b").read("img2.json")
    alone = client.get("/api/v1/export", params={"format": "sa1b", **image})
    assert alone.headers["content-type"] == "application/json"
    assert alone.content == whole
    coco = client.get("/api/v1/export", params={"format": "coco", **image}).json()
    assert [one["file_name"] for one in coco["images"]] == ["img2.png"]
    assert len(coco["annotations"]) == 2
    assert len(export(client, "png", **image).namelist()) == 2
    response = client.get("/api/v1/export", params={"image": ids["img10.jpg"]})
    assert response.status_code == 404 and code_of(response) == "not_found"
    for query in ({"image": "x"}, {"format": "exe"}):
        assert client.get("/api/v1/export", params=query).status_code in (404, 422)


def test_nothing_marked_is_an_empty_archive(client):
    assert export(client, "sa1b").namelist() == []
    content = json.loads(export(client, "coco").read("annotations.json"))
    assert content["images"] == content["annotations"] == []


def test_images_that_differ_by_their_ending_alone_do_not_collide(client, photos):
    names = ("same.png", "same.bmp", "same.png.png")
    for name in names:
        (photos / name).write_bytes(picture((24, 32)))
    for name in names:
        path = f"/api/v1/images/{image_id(name)}/annotations"
        assert client.post(path, json=annotation(f"uuid-{name}")).status_code == 201
    found = export(client, "sa1b").namelist()
    assert len(set(found)) == 3


def test_masks_outlast_their_image_and_say_when_they_do_not_fit(client, masks, photos):
    (photos / "img2.png").unlink()
    record = record_from_json(export(client, "sa1b").read("img2.json"))
    assert len(record["annotations"]) == 2
    (photos / "sub" / "photo.png").write_bytes(picture((5, 5)))
    archive = export(client, "sa1b")
    record = record_from_json(archive.read("sub/photo.json"))
    assert record["annotations"] == []
    assert archive.read("problems.txt").decode().count("sub/photo.png: mask") == 2


def test_an_archive_holds_a_chunk_at_a_time():
    import tracemalloc

    def chunks():
        # What does not compress.
        for number in range(5):
            yield np.random.default_rng(number).bytes(1 << 20)

    def members():
        for number in range(4):
            yield f"{number}.bin", chunks()

    tracemalloc.start()
    total = sum(map(len, zip_chunks(members())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 20 << 20
    assert peak < 4 << 20
