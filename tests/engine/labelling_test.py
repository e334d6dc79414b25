"""Runs of labels: stopped anywhere they end alike, and they replace nothing of others."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from data.finetune.files import coco_folder, noise, save
from inference.scenes import box, mask_of

from samjax.data.datasets import DatasetConfig, open_examples
from samjax.data.formats.coco import read_coco
from samjax.engine import PseudoLabelConfig, label_photos, open_photos
from samjax.engine.pseudo_labels import EVERYTHING
from samjax.files import InUse
from samjax.geometry.masks import encode_rle
from samjax.inference import Predictor

CONFIG = PseudoLabelConfig(scales=())


@pytest.fixture(scope="module")
def predictor(tiny_model) -> Predictor:
    return Predictor(*tiny_model)


@pytest.fixture
def folder(tmp_path):
    """Five photos of a COCO file with licences, none with masks."""
    coco_folder(tmp_path / "set")
    path = tmp_path / "set/annotations.json"
    content = json.loads(path.read_text())
    content["annotations"] = []
    content["licenses"] = [{"id": 4, "name": "Attribution"}]
    for number in (7, 8):
        save(tmp_path / f"set/images/photo {number}.png", noise(number))
        entry = content["images"][0] | {
            "id": number,
            "file_name": f"photo {number}.png",
        }
        content["images"].append(entry)
    for image in content["images"]:
        image["license"] = 4
    path.write_text(json.dumps(content))
    return tmp_path / "set"


class Generator:
    """Labels a photo by a square and a score that follow from its pixels.

    Keeps what it was asked for; fails in place of the photo number `fail_at`.
    """

    def __init__(self, fail_at=None):
        self.asked, self.fail_at = [], fail_at

    def __call__(self, predictor, image):
        if len(self.asked) == self.fail_at:
            raise KeyboardInterrupt
        self.asked.append(image)
        side = 2 + int(image[0, 0, 0]) % 9
        mask = box(image.shape[:2], 3, 4, 3 + side, 4 + side)
        label = {
            "bbox": [4.0, 3.0, side - 1.0, side - 1.0],
            "area": side * side,
            "segmentation": encode_rle(mask),
            "predicted_iou": 0.5 + float(image.mean()) / 1000,
            "point_coords": [[1.5, 2.5]],
            "crop_box": [0.0, 0.0, 32.0, 24.0],
            "id": 0,
            "stability_score": 0.75,
            "agreement": 0.8125,
        }
        return [label, {**label, "id": 1}] if side % 2 else []


def run(predictor, folder, out, generate=None, **options):
    generate = generate or Generator()
    photos = open_photos(folder)
    options = {"config": CONFIG, "in_flight": 1} | options
    return list(label_photos(predictor, photos, out, generate=generate, **options))


@pytest.fixture
def expected(predictor, folder, tmp_path) -> bytes:
    """The labels of a run that nothing stopped."""
    run(predictor, folder, tmp_path / "expected.json")
    return (tmp_path / "expected.json").read_bytes()


def test_labels_are_a_coco_file_with_the_images_of_the_set(predictor, folder, tmp_path):
    out = tmp_path / "labels.json"
    generate = Generator()
    done = run(predictor, folder, out, generate)
    assert [one.item.name for one in done] == [
        f"photo {n}.png" for n in (0, 1, 2, 7, 8)
    ]
    content = json.loads(out.read_text())
    original = json.loads((folder / "annotations.json").read_text())
    assert content["images"] == original["images"]
    assert content["licenses"] == original["licenses"]
    for record, image in zip(read_coco(out), generate.asked, strict=True):
        number = len(Generator()(predictor, image))
        assert [one.get("agreement") for one in record["annotations"]] == [
            0.8125
        ] * number
    info = content["info"]
    assert info["format"] == "samjax pseudo-labels"
    assert len(info["weights"]) == 64
    assert info["options"]["agreement"] == 0.8 and info["options"]["scales"] == []
    assert info["options"]["points_per_side"] == EVERYTHING.points_per_side
    assert not out.with_name("labels.json.partial").exists()


def test_training_reads_the_labels(predictor, folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "elsewhere/labels.json"
    done = run(predictor, folder, out)
    labelled = {
        one.item.name: len(one.record["annotations"])
        for one in done
        if one.record["annotations"]
    }
    config = DatasetConfig(path=str(out), format="coco", images=str(folder / "images"))
    examples = open_examples(config)
    read = {}
    for index in range(len(examples)):
        example = examples[index]
        assert example.image == (folder / "images" / example.name).read_bytes()
        read[example.name] = len(example.record["annotations"])
    assert read == labelled and 0 < len(labelled) < 5


@pytest.mark.parametrize("fail_at", range(5))
def test_a_run_that_is_stopped_goes_on_where_it_was(
    predictor, folder, tmp_path, expected, fail_at
):
    out = tmp_path / "labels.json"
    with pytest.raises(KeyboardInterrupt):
        run(predictor, folder, out, Generator(fail_at))
    assert not out.exists()
    again = Generator()
    done = run(predictor, folder, out, again)
    assert len(again.asked) == 5 - fail_at and len(done) == 5
    assert [one.outcome is None for one in done] == [True] * fail_at + [False] * (
        5 - fail_at
    )
    assert out.read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "expected.json",
        "labels.json",
        "set",
    ]


def test_a_run_that_is_killed_within_a_line_ends_alike(
    predictor, folder, tmp_path, expected
):
    out, partial = tmp_path / "labels.json", tmp_path / "labels.json.partial"
    with pytest.raises(KeyboardInterrupt):
        run(predictor, folder, out, Generator(4))
    content = partial.read_bytes()
    head = content.index(b"\n") + 1
    for length in range(head, len(content), 97):
        partial.write_bytes(content[:length])
        done = content[head:length].count(b"\n")
        # Goes on for one photo, and is killed again.
        with pytest.raises(KeyboardInterrupt):
            run(predictor, folder, out, Generator(1))
        again = Generator()
        run(predictor, folder, out, again)
        assert len(again.asked) == 5 - done - 1
        assert out.read_bytes() == expected
        out.unlink()


def test_a_run_that_is_killed_before_it_removes_its_own_file_ends_alike(
    predictor, folder, tmp_path, expected
):
    out, partial = tmp_path / "labels.json", tmp_path / "labels.json.partial"
    with pytest.raises(KeyboardInterrupt):
        run(predictor, folder, out, Generator(4))
    out.write_bytes(expected)
    again = Generator()
    run(predictor, folder, out, again)
    assert not again.asked and out.read_bytes() == expected
    assert not partial.exists()


def test_photos_that_are_added_are_labelled_and_the_others_not_again(
    predictor, tmp_path
):
    folder, out = tmp_path / "photos", tmp_path / "labels.json"
    for number in (2, 3):
        save(folder / f"{number}.png", noise(number))
    run(predictor, folder, out)
    save(folder / "1.png", noise(1))
    again = Generator()
    done = run(predictor, folder, out, again)
    assert len(again.asked) == 1 and len(done) == 3
    whole = tmp_path / "whole.json"
    run(predictor, folder, whole)
    assert out.read_bytes() == whole.read_bytes()


def test_a_photo_that_cannot_be_read_is_named_and_tried_again(
    predictor, folder, tmp_path, expected
):
    out, photo = tmp_path / "labels.json", folder / "images/photo 1.png"
    whole = photo.read_bytes()
    photo.write_bytes(whole[:100])
    done = run(predictor, folder, out)
    assert [one.item.name for one in done if one.record is None] == ["photo 1.png"]
    assert "cannot be read" in str(done[1].outcome.problem)
    assert len(json.loads(out.read_text())["images"]) == 4
    photo.write_bytes(whole)
    again = Generator()
    run(predictor, folder, out, again)
    assert len(again.asked) == 1 and out.read_bytes() == expected


FOREIGN = [
    "",
    "notes",
    "[1]",
    '{"images": [], "annotations": []}',
    '{"images": [], "info": {"format": "samjax pseudo-labels", "version": 2}}',
]


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("name", ["labels.json", "labels.json.partial"])
def test_files_of_others_are_refused_and_stay(predictor, folder, tmp_path, text, name):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="no file of `samjax data label`"):
        run(predictor, folder, tmp_path / "labels.json")
    assert (tmp_path / name).read_text() == text
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["set", name])


@pytest.mark.parametrize("stopped", [True, False])
def test_labels_of_other_weights_or_options_are_refused_by_name(
    predictor, folder, tmp_path, tiny_model, stopped
):
    out = tmp_path / "labels.json"
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            run(predictor, folder, out, Generator(3))
    else:
        run(predictor, folder, out)
    before = {path: path.read_bytes() for path in tmp_path.glob("labels*")}
    model, params = tiny_model
    decoder = jax.tree.map(lambda leaf: leaf + 1, params["mask_decoder"])
    other = Predictor(model, {**params, "mask_decoder": decoder})
    changed = dataclasses.replace(CONFIG, agreement=0.75)
    points = dataclasses.replace(EVERYTHING, points_per_side=7)
    for with_predictor, config, said in (
        (other, CONFIG, "weights is "),
        (predictor, changed, "agreement is 0.75, was 0.8"),
        (
            predictor,
            dataclasses.replace(CONFIG, everything=points),
            "points_per_side is 7, was 16",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            run(with_predictor, folder, out, config=config)
    assert {path: path.read_bytes() for path in tmp_path.glob("labels*")} == before
    # How many points go together changes no label.
    same = dataclasses.replace(EVERYTHING, points_per_batch=7)
    run(predictor, folder, out, config=dataclasses.replace(CONFIG, everything=same))


def test_a_second_run_into_the_file_is_refused_while_the_first_lasts(
    predictor, folder, tmp_path
):
    out, photos = tmp_path / "labels.json", open_photos(folder)
    first = label_photos(predictor, photos, out, CONFIG, generate=Generator())
    next(first)
    with pytest.raises(InUse, match=r"labels\.json is in use"):
        next(label_photos(predictor, photos, out, CONFIG, generate=Generator()))
    list(first)
    again = label_photos(predictor, photos, out, CONFIG, generate=Generator())
    assert all(done.outcome is None for done in again)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.json", "set"]


def test_labels_of_other_photos_are_refused(predictor, folder, tmp_path):
    save(tmp_path / "others/strange.png", noise(0))
    out = tmp_path / "labels.json"
    run(predictor, folder, out)
    with pytest.raises(
        ValueError, match="5 photos that are none of these, photo 0.png"
    ):
        run(predictor, tmp_path / "others", out)


def test_several_photos_under_way_change_nothing(predictor, folder, tmp_path, expected):
    out = tmp_path / "labels.json"
    run(predictor, folder, out, in_flight=3)
    assert out.read_bytes() == expected


def test_by_default_labels_are_those_of_label_photo(predictor, folder, tmp_path, rng):
    from samjax.engine import label_photo

    everything = dataclasses.replace(
        EVERYTHING, points_per_side=2, pred_iou_thresh=0, stability_score_thresh=0
    )
    config = PseudoLabelConfig(scales=(), everything=everything, agreement=0.2)
    photos = open_photos(folder)
    out = tmp_path / "labels.json"
    done = list(label_photos(predictor, photos, out, config))
    for one, photo in zip(done, photos.photos, strict=True):
        single = label_photo(predictor, photo.item.read(), config)
        assert one.record["annotations"] == single
    assert any(one.record["annotations"] for one in done)
    masks = [mask_of(one) for r in read_coco(out) for one in r["annotations"]]
    assert all(np.any(mask) for mask in masks)
