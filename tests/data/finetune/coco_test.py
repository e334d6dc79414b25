"""Examples of COCO files: masks of the file, images from the usual folders."""

import json
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from data.finetune.files import SIZE, coco_folder, square

from samjax.data.batch import decode_runs
from samjax.data.examples import ExampleSource
from samjax.data.finetune import CocoSource, open_examples
from samjax.data.prepare import PrepareConfig, Status, prepare
from samjax.evaluation.datasets.examples import read_example


def test_polygons_and_run_lengths_become_masks(tmp_path):
    source = CocoSource(coco_folder(tmp_path))
    assert isinstance(source, ExampleSource)
    # The third image has no mask, which nothing can be learned from.
    assert len(source) == 2 and source.groups == ("photo 0.png", "photo 1.png")
    image, masks = read_example(source[0])
    assert image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(masks, square(2, 4, 6)[None])
    _, masks = read_example(source[1])
    assert len(masks) == 1 and masks[0, :5, 0].all() and masks.sum() == 5


def test_a_folder_with_a_single_file_equals_the_file(tmp_path):
    coco_folder(tmp_path, file="annotations/instances_small.json")
    assert len(open_examples(tmp_path, "coco")) == 2


@pytest.mark.parametrize(
    ("images", "file"),
    [
        (".", "_annotations.coco.json"),
        ("images", "labels.json"),
        ("images", "annotations/train.json"),
        ("train2017", "annotations/instances_train2017.json"),
    ],
)
def test_images_are_found_in_the_usual_folders(tmp_path, images, file):
    source = CocoSource(coco_folder(tmp_path, images=images, file=file))
    assert all(source[i].image is not None for i in range(len(source)))


def test_a_source_can_be_pickled_to_other_processes(tmp_path):
    source = CocoSource(coco_folder(tmp_path))
    assert pickle.loads(pickle.dumps(source))[1] == source[1]


def test_a_missing_or_damaged_image_has_a_status(tmp_path):
    source = CocoSource(coco_folder(tmp_path))
    config = PrepareConfig(image_size=32, masks_per_image=2)
    rng = np.random.default_rng(0)
    fine = prepare(source[0], config, rng)
    assert fine.status == Status.FINE and fine.valid.tolist() == [True, False]
    mask = decode_runs(jnp.array(fine.runs[None]), jnp.array(fine.size[None]), 32)[0, 0]
    np.testing.assert_array_equal(np.asarray(mask)[:24], square(2, 4, 6))

    (tmp_path / "images" / "photo 0.png").write_bytes(b"no image")
    assert prepare(source[0], config, rng).status == Status.BAD_IMAGE
    (tmp_path / "images" / "photo 0.png").unlink()
    assert prepare(source[0], config, rng).status == Status.MISSING_IMAGE


def test_left_out_parts_are_reported(tmp_path):
    path = coco_folder(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"].append({"id": 9, "image_id": 0, "segmentation": [[1, 2]]})
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="1 parts are left out"):
        source = CocoSource(path)
    assert len(source) == 2 and "annotation 9" in source.problems[0]


def test_a_file_that_is_not_a_dataset_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ValueError, match="no JSON file"):
        CocoSource(tmp_path)
    with pytest.raises(FileNotFoundError):
        CocoSource(tmp_path / "none.json")
    path = coco_folder(tmp_path, images="elsewhere/deep")
    with pytest.raises(
        ValueError, match=r"'photo 0.png'.*expected them in one of.*--data\.images"
    ):
        CocoSource(path)
    assert len(CocoSource(path, images=tmp_path / "elsewhere" / "deep")) == 2
    # The usual name goes before others.
    (tmp_path / "second.json").write_text("{}")
    assert len(CocoSource(tmp_path, images=tmp_path / "elsewhere" / "deep")) == 2
    path = path.rename(tmp_path / "first.json")
    with pytest.raises(ValueError, match="2 JSON files"):
        CocoSource(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"annotations": []}))
    with pytest.raises(ValueError, match="no image with a mask"):
        CocoSource(path)


def test_images_without_masks_are_kept_on_request(tmp_path):
    coco_folder(tmp_path)
    source = open_examples(tmp_path, "coco", unlabelled=True)
    assert len(source) == 3
    config = PrepareConfig(image_size=32, masks_per_image=2)
    made = prepare(source[2], config, np.random.default_rng(0))
    assert made.status == Status.NO_MASK and made.image.any()


def test_images_are_left_out_by_their_licence(tmp_path):
    path = coco_folder(tmp_path)
    content = json.loads(path.read_text())
    content["images"][0]["licence"] = "CC-BY-SA-4.0"
    path.write_text(json.dumps(content))
    source = CocoSource(path, exclude_licences=("CC BY-SA",))
    assert source.groups == ("photo 1.png",)
    content["images"][1]["license"] = 5
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="a mask that is under none of 5, CC BY-SA"):
        CocoSource(path, exclude_licences=("5", "CC BY-SA"))


def changed(path, change):
    """Rewrites a COCO file as `change` leaves its content."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_masks_with_iscrowd_are_used_if_there_are_no_others_with_a_note(tmp_path):
    path = coco_folder(tmp_path)

    def brush(content):
        for one in content["annotations"]:
            one["iscrowd"] = 1

    with pytest.warns(UserWarning, match="all 2 masks have iscrowd"):
        assert len(CocoSource(changed(path, brush))) == 2
    changed(path, lambda content: content["annotations"][0].update(iscrowd=0))
    with pytest.warns(UserWarning, match=r"1 of 2 masks have iscrowd.*data\.crowds"):
        assert len(CocoSource(path)) == 1
    assert len(open_examples(path, "coco", crowds=True)) == 2


def test_boxes_without_masks_do_not_hide_painted_masks(tmp_path):
    """Rectangles beside brushed masks, as CVAT writes them."""
    path = coco_folder(tmp_path)

    def brush(content):
        boxes = []
        for one in content["annotations"]:
            boxes.append({**one, "id": one["id"] + 100, "segmentation": []})
            one["iscrowd"] = 1
        content["annotations"] += boxes

    with pytest.warns(UserWarning, match="all 2 masks have iscrowd"):
        assert len(CocoSource(changed(path, brush))) == 2


def test_sizes_that_the_file_lacks_are_those_of_the_images(tmp_path):
    path = coco_folder(tmp_path)

    def forget(content):
        for one in content["images"]:
            del one["height"], one["width"]

    source = CocoSource(changed(path, forget))
    np.testing.assert_array_equal(read_example(source[0])[1], square(2, 4, 6)[None])


def test_folders_in_names_are_dropped_if_images_are_stored_without_them(tmp_path):
    path = coco_folder(tmp_path)

    def put_deep(content):
        for one in content["images"]:
            one["file_name"] = f"data/train/{one['file_name']}"

    source = CocoSource(changed(path, put_deep))
    assert source.groups[0] == "data/train/photo 0.png"
    assert all(source[i].image is not None for i in range(len(source)))


def test_names_are_not_shortened_so_far_that_two_images_coincide(tmp_path):
    path = coco_folder(tmp_path)

    def name_alike(content):
        for number, one in enumerate(content["images"]):
            one["file_name"] = f"{number}/photo 0.png"

    with pytest.raises(ValueError, match="expected them in one of"):
        CocoSource(changed(path, name_alike))


@pytest.mark.parametrize(
    "ring",
    [[0.1, 0.1, 0.3, 0.1, 0.3, 0.3], [100, 2, 110, 2, 110, 8], [1, 1, 1, 1, 1, 1]],
)
def test_masks_without_pixels_are_left_out_with_a_note(tmp_path, ring):
    path = coco_folder(tmp_path)
    changed(path, lambda content: content["annotations"][0].update(segmentation=[ring]))
    with pytest.warns(UserWarning, match="annotation 1 of image 0 has no pixel"):
        assert CocoSource(path).groups == ("photo 1.png",)


def test_many_problems_are_summarized_by_kind(tmp_path):
    path = coco_folder(tmp_path)

    def spoil(content):
        for number in range(10, 30):
            content["annotations"].append(
                {"id": number, "image_id": 0, "bbox": [1] * 4}
            )
        content["annotations"].append({"id": 30, "image_id": 9})

    changed(path, spoil)
    with pytest.warns(UserWarning) as told:
        CocoSource(path)
    text = str(told[0].message)
    assert "21 parts are left out" in text
    assert "(and 19 more like it)" in text and "an annotation of image '9'" in text


def test_an_unreadable_image_reports_the_reason(tmp_path):
    source = CocoSource(coco_folder(tmp_path))
    (tmp_path / "images" / "photo 0.png").unlink()
    assert "No such file" in (source[0].problem or "")
