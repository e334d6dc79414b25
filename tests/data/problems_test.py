"""Messages about problems: one-line summaries, and the damaged examples of a run."""

import re

import numpy as np
from data.finetune.files import coco_folder, noise, save

from samjax.data.datasets import DatasetConfig, open_source
from samjax.data.examples import RawExample
from samjax.data.mixture import MixtureConfig, MixturePart, open_mixture
from samjax.data.prepare import PrepareConfig, Status, diagnose, prepare
from samjax.data.problems import summary

CONFIG = PrepareConfig(image_size=32, masks_per_image=2)


def test_problems_of_the_same_kind_are_reported_once():
    alike = [f"/data/masks/cell_{n}.png: has {n + 40} levels" for n in range(50)]
    other = ["'a b.jpg' has no mask", "'c.jpg' has no mask"]
    assert summary(alike + other) == (
        "/data/masks/cell_0.png: has 40 levels (and 49 more like it); "
        "'a b.jpg' has no mask (and 1 more like it)"
    )
    assert summary([]) == "" and summary(["one thing"]) == "one thing"
    many = [f"{word} is wrong" for word in ("red", "green", "blue", "black", "white")]
    assert summary(many).endswith("; and 1 more")


RECORD = {
    "image": {"height": 24, "width": 32, "image_id": 1, "file_name": "a.png"},
    "annotations": [],
}


def png(pixels, tmp_path):
    save(tmp_path / "a.png", pixels)
    return (tmp_path / "a.png").read_bytes()


def damaged(tmp_path):
    image = png(noise(0), tmp_path)
    bad_mask = {"segmentation": {"size": [24, 32], "counts": "zz"}}
    yield Status.MISSING_IMAGE, RawExample("a", None, RECORD), "its image is missing"
    yield Status.MISSING_IMAGE, RawExample("a", None, RECORD, "no disk"), "no disk"
    yield (
        Status.MISSING_RECORD,
        RawExample("a", image, None, "b.png: 9 colours"),
        "9 col",
    )
    yield Status.BAD_IMAGE, RawExample("a", b"text", RECORD), "its image: "
    yield Status.BAD_RECORD, RawExample("a", image, b"{"), "its record: "
    yield Status.BAD_RECORD, RawExample("a", image, {"image": {}}), "KeyError"
    sized = RECORD | {"image": {"height": 0, "width": 5}}
    yield Status.BAD_RECORD, RawExample("a", image, sized), r"size of \(0, 5\)"
    small = png(noise(0)[:9], tmp_path)
    yield Status.SIZE_MISMATCH, RawExample("a", small, RECORD), r"\(9, 32\), its masks"
    masks = RECORD | {"annotations": [bad_mask, {}]}
    yield Status.BAD_MASKS, RawExample("a", image, masks), "2 of 2 masks are damaged"


def test_every_status_has_a_description(tmp_path):
    cases = list(damaged(tmp_path))
    assert {status for status, _, _ in cases} == {one for one in Status if one > 0}
    for status, raw, words in cases:
        assert prepare(raw, CONFIG, np.random.default_rng(0)).status == status
        said = diagnose(raw, CONFIG)
        assert said is not None and said.startswith("a: ")
        assert re.search(words, said)
    fine = RawExample("a", png(noise(0), tmp_path), RECORD)
    assert diagnose(fine, CONFIG) is None


def reading(**more):
    return {"image_size": 32, "masks_per_image": 2, "batch_size": 2, "seed": 0} | more


def test_a_source_describes_the_damage_of_its_batches(tmp_path):
    path = coco_folder(tmp_path / "coco")
    source = open_source(DatasetConfig(path=str(path), format="coco"), **reading())
    for step in range(3):
        source.batch(step)
    assert source.damage() == []
    source.close()
    (tmp_path / "coco" / "images" / "photo 1.png").unlink()
    source = open_source(DatasetConfig(path=str(path), format="coco"), **reading())
    for step in range(3):
        source.batch(step)
    (said,) = source.damage()
    assert said.startswith("photo 1.png: ") and "No such file" in said
    source.close()


def test_a_mixture_reports_the_damage_of_its_parts(tmp_path):
    paths = [coco_folder(tmp_path / name) for name in ("a", "b")]
    (tmp_path / "b" / "images" / "photo 0.png").write_bytes(b"no image")
    parts = tuple(
        MixturePart(data=DatasetConfig(path=str(path), format="coco")) for path in paths
    )
    source = open_mixture(MixtureConfig(parts=parts), **reading())
    for step in range(6):
        source.batch(step)
    (said,) = source.damage()
    assert said.startswith("photo 0.png: its image: ")
    source.close()
