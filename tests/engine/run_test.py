"""Runs over many images: stopped, resumed, shared, packed into shards."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samjax.data.formats import read_folder, read_shard
from samjax.data.images import find_images
from samjax.data.large_images import ArrayImage
from samjax.engine import schedule
from samjax.engine.run import Share, assign_image_ids, generate_to_folder
from samjax.engine.schedule import generate_for_many
from samjax.geometry.masks import encode_rle
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import generate_masks
from samjax.inference.automatic.tiles import generate_masks_in_tiles
from samjax.inference.images import read_image

ROOT = Path(__file__).parents[2]
OPEN = AutomaticConfig(
    points_per_side=2, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.9
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_all(predictor, photos, out, **options):
    return list(
        generate_to_folder(predictor, find_images([photos]), out, OPEN, **options)
    )


def test_records_are_those_of_single_calls(predictor, photos, tmp_path):
    done = run_all(predictor, photos, tmp_path)
    assert [one.item.name for one in done] == sorted(p.name for p in photos.iterdir())
    for image, record in read_folder(tmp_path):
        assert image is None
        name = record["image"]["file_name"]
        expected = generate_masks(predictor, photos / name, OPEN)
        assert len(record["annotations"]) == len(expected) > 0
        for ours, single in zip(record["annotations"], expected, strict=True):
            assert {**ours, "id": 0} == {**single, "id": 0}
    ids = [
        a["id"] for _, record in read_folder(tmp_path) for a in record["annotations"]
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("shard_size", [None, 3])
def test_a_run_that_is_stopped_anywhere_ends_with_the_same_files(
    predictor, photos, tmp_path, shard_size
):
    run_all(predictor, photos, tmp_path / "whole", shard_size=shard_size)
    expected = files_of(tmp_path / "whole")
    items = find_images([photos])
    for stop in (0, 1, 4):
        out = tmp_path / f"stopped_{stop}"
        run = generate_to_folder(predictor, items, out, OPEN, shard_size=shard_size)
        for _ in range(stop):
            next(run)
        run.close()
        assert files_of(out) != expected
        run_all(predictor, photos, out, shard_size=shard_size)
        assert files_of(out) == expected


def test_what_is_there_is_not_made_again(predictor, photos, tmp_path):
    run_all(predictor, photos, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("sa_*.json")}
    done = run_all(predictor, photos, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert all(one.outcome is None for one in done if one.item.stem != "sa_5x")
    assert all(one.record is not None for one in done if one.item.stem != "sa_5x")


def test_an_image_that_cannot_be_read_is_skipped_told_and_tried_again(
    predictor, photos, tmp_path
):
    copy = tmp_path / "photos"
    copy.mkdir()
    for path in photos.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "out"
    done = run_all(predictor, copy, out)
    [bad] = [one for one in done if one.record is None]
    assert bad.item.name == "sa_5x.png" and "no image" in str(bad.outcome.problem)
    problems = json.loads((out / "run/problems.json").read_text())
    assert problems == {"sa_5x.png": bad.outcome.problem}
    (copy / "sa_5x.png").write_bytes((copy / "sa_3.png").read_bytes())
    run_all(predictor, copy, out)
    assert (out / "sa_5x.json").exists() and not (out / "run/problems.json").exists()


def test_shards_hold_images_and_records_as_sa_1b_has_them(predictor, photos, tmp_path):
    run_all(predictor, photos, tmp_path, shard_size=3)
    names = sorted(files_of(tmp_path))
    # Eight images: the bad one is the third of the second shard, in order of names.
    tars = ["sa_000000.tar", "sa_000001.tar", "sa_000002.tar"]
    assert [name for name in names if name.endswith(".tar")] == tars
    found = [member for name in tars for member in read_shard(tmp_path / name)]
    assert len(found) == 7
    for name, image, record in found:
        assert image == (photos / name).read_bytes()
        assert record["image"]["file_name"] == name
        assert record["image"]["image_id"] is not None
    problems = [name for name in names if name.endswith(".problems.json")]
    assert len(problems) == 1 and "sa_5x.png" in (tmp_path / problems[0]).read_text()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["run"]


def test_a_run_killed_just_after_a_shard_was_packed_leaves_nothing_else(
    predictor, photos, tmp_path
):
    run_all(predictor, photos, tmp_path, shard_size=4)
    expected = files_of(tmp_path)
    left = tmp_path / ".sa_000000"
    left.mkdir()
    (left / "sa_3.json").write_text("{}")
    run_all(predictor, photos, tmp_path, shard_size=4)
    assert files_of(tmp_path) == expected
    assert not left.exists()


def test_images_in_memory_go_into_shards_as_png(predictor, tmp_path, rng):
    pixels = rng.integers(0, 256, (2, 30, 40, 3), np.uint8)
    items = find_images([list(pixels)])
    list(generate_to_folder(predictor, items, tmp_path, OPEN, shard_size=2))
    for (_, image, record), expected in zip(
        read_shard(tmp_path / "sa_000000.tar"), pixels, strict=True
    ):
        np.testing.assert_array_equal(Image.open(io.BytesIO(image)), expected)
        assert record["image"]["width"] == 40


@pytest.mark.parametrize("shard_size", [None, 2])
def test_shares_together_are_the_whole_run(predictor, photos, tmp_path, shard_size):
    run_all(predictor, photos, tmp_path / "whole", shard_size=shard_size)
    for index in (2, 0, 1):
        share = Share(index, 3)
        run_all(
            predictor, photos, tmp_path / "shared", shard_size=shard_size, share=share
        )
    whole, shared = files_of(tmp_path / "whole"), files_of(tmp_path / "shared")
    for files in (whole, shared):
        for name in [name for name in files if name.startswith("run/problems")]:
            del files[name]
    assert shared == whole


def test_other_settings_in_one_folder_are_refused_by_name(predictor, photos, tmp_path):
    items = find_images([photos])[:1]
    list(generate_to_folder(predictor, items, tmp_path, OPEN))
    other = dataclasses.replace(OPEN, points_per_side=3)
    with pytest.raises(ValueError, match="points_per_side is 3, was 2"):
        list(generate_to_folder(predictor, items, tmp_path, other))
    # How many points go together changes no result.
    other = dataclasses.replace(OPEN, points_per_batch=2)
    list(generate_to_folder(predictor, items, tmp_path, other))
    (tmp_path / "run/settings.json").write_text("[1]")
    with pytest.raises(ValueError, match="damaged"):
        list(generate_to_folder(predictor, items, tmp_path, OPEN))


def test_hierarchy_is_written_with_ids_of_the_run(
    predictor, photos, tmp_path, monkeypatch
):
    def two_masks(predictor, image, config):
        whole, part = np.ones((2, *image.shape[:2]), bool)
        part[0] = False
        single = generate_masks(predictor, image, OPEN)[0]
        return [
            {**single, "segmentation": encode_rle(mask), "id": number}
            for number, mask in enumerate((part, whole))
        ]

    monkeypatch.setattr(schedule, "generate_masks", two_masks)
    done = run_all(predictor, photos, tmp_path, hierarchy=True)
    for record in (one.record for one in done if one.record):
        part, whole = map(dict, record["annotations"])
        assert part["parent"] == whole["id"] and part["depth"] == 1
        assert whole["parent"] is None and whole["depth"] == 0


def test_an_empty_mask_has_a_stability_that_json_can_hold(
    predictor, photos, tmp_path, monkeypatch
):
    def empty(predictor, image, config):
        single = generate_masks(predictor, image, OPEN)[0]
        return [{**single, "stability_score": float("nan")}]

    monkeypatch.setattr(schedule, "generate_masks", empty)
    for one in run_all(predictor, photos, tmp_path):
        if one.record:
            assert one.record["annotations"][0]["stability_score"] == 0


def test_in_tiles_records_are_those_of_the_tiles(predictor, photos, tmp_path):
    done = run_all(predictor, photos, tmp_path, tile_size=40)
    assert [one.item.stem for one in done if one.record is None] == ["sa_5x"]
    for one in done:
        if one.record is None:
            continue
        image = ArrayImage(read_image(photos / one.item.name))
        expected = list(generate_masks_in_tiles(predictor, image, OPEN, tile_size=40))
        masks = [a["segmentation"] for a in one.record["annotations"]]
        assert masks == [a["segmentation"] for a in expected]
        info = one.record["image"]
        assert (info["height"], info["width"]) == image.size


def test_images_named_as_in_sa_1b_keep_their_numbers(tmp_path):
    items = find_images([[np.zeros((1, 1, 3), np.uint8)] * 2])
    assert assign_image_ids(items) == [0, 1]
    named = [item._replace(name=f"sa_{n}.jpg") for item, n in zip(items, (7, 3))]
    assert assign_image_ids(named) == [7, 3]
    assert assign_image_ids([named[0], items[1]]) == [0, 1]


def test_outcomes_keep_the_order_of_images(predictor, photos):
    items = find_images([photos])
    outcomes = list(generate_for_many(predictor, items, OPEN, in_flight=3))
    assert [outcome.item for outcome in outcomes] == items


def test_masks_may_be_made_in_another_way(predictor, photos):
    items = find_images([photos])
    asked = []

    def generate(predictor, image):
        asked.append(image)
        return generate_masks(predictor, image, OPEN)[:1]

    outcomes = list(generate_for_many(predictor, items, generate=generate))
    assert [outcome.item for outcome in outcomes] == items
    made = [one for one in outcomes if one.problem is None]
    assert len(made) == len(asked) == len(items) - 1
    for outcome in made:
        expected = generate_masks(predictor, read_image(outcome.item.read()), OPEN)
        assert outcome.annotations == tuple(expected[:1])


@pytest.mark.exhaustive
def test_several_devices_give_the_files_of_one(photos, tiny_model, tmp_path):
    """In a process of its own, since the number of devices is set before jax starts."""
    from samjax.checkpoints import save

    weights = save(tmp_path / "small.safetensors", tiny_model[0].config, tiny_model[1])
    command = [
        sys.executable, "-m", "samjax", "everything", photos, "--model", weights,
        "--points-per-side", "2", "--pred-iou-thresh", "0",
        "--stability-score-thresh", "0", "--box-nms-thresh", "0.9", "--no-pictures",
    ]  # fmt: skip
    for devices in (1, 3):
        flags = f"--xla_force_host_platform_device_count={devices}"
        subprocess.run(
            [*command, "--out", tmp_path / str(devices)],
            check=True,
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": flags},
        )
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")


@pytest.mark.parametrize("shard_size", [None, 4])
def test_every_mask_carries_the_provenance_of_the_run(
    predictor, photos, tmp_path, shard_size
):
    fields = {"stage": 3, "round": 2, "source": "automatic", "model": "m"}
    options = {"shard_size": shard_size, "provenance": fields}
    run_all(predictor, photos, tmp_path, **options)
    if shard_size is None:
        records = [record for _, record in read_folder(tmp_path)]
    else:
        records = [record for _, _, record in read_shard(tmp_path / "sa_000000.tar")]
    masks = [mask for record in records for mask in record["annotations"]]
    assert masks and all(fields.items() <= mask.items() for mask in masks)
    # Masks of another round are not mixed in.
    with pytest.raises(ValueError, match="provenance"):
        run_all(
            predictor,
            photos,
            tmp_path,
            **{**options, "provenance": {**fields, "round": 3}},
        )
