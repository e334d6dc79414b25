"""The trainer of `small_text`, from photos and scenes to weights, on a tiny model."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax import checkpoints
from samjax.geometry.masks import encode_rle
from samjax.models.config import SamConfig

TOOL = Path(__file__).parents[2] / "tools" / "small_text"


@pytest.fixture(scope="module")
def tool():
    """The trainer's modules by name."""
    sys.path.insert(0, str(TOOL))
    try:
        import decoding
        import photos
        import phrases
        import train

        yield {
            "train": train,
            "photos": photos,
            "phrases": phrases,
            "decoding": decoding,
        }
    finally:
        sys.path.remove(str(TOOL))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A set of photos with names, and captions of some."""
    folder = tmp_path_factory.mktemp("data")
    place = folder / "coco_permissive"
    (place / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    images, annotations, captions = [], [], []
    for number in range(1, 10):
        name = f"images/{number}.jpg"
        pixels = generator.integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(place / name)
        image = {"id": number, "file_name": name, "width": 64, "height": 48}
        # The last one is share-alike, and is left out.
        image |= {"license": 5 if number == 9 else 4, "complete": "true"}
        if number == 8:
            image["source"] = "a repository:datasets/COCO_MVal/img/wine glass03_8.jpg"
        images.append(image)
        captions.append({"image_id": number, "caption": "A red cup on a table."})
        for index in range(0 if number == 7 else 2):
            mask = np.zeros((48, 64), bool)
            mask[8:40, 4 + 30 * index : 28 + 30 * index] = True
            kind = 3 if number == 8 else 1 + index
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": kind,
                    "segmentation": encode_rle(mask),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "spoon"}]
    categories.append({"id": 3, "name": "object"})
    content = {"images": images, "annotations": annotations, "categories": categories}
    (place / "annotations.json").write_text(json.dumps(content))
    (folder / "captions.json").write_text(json.dumps({"annotations": captions}))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Weights of the small model without text."""
    params = random_params()
    names = [field.name for field in dataclasses.fields(SamConfig)]
    config = SamConfig(**{name: getattr(SMALL_TEXT, name) for name in names})
    parts = {name: params[name] for name in config.parts}
    prompts = dict(parts["prompt_encoder"])
    del prompts["text_projection"]
    path = tmp_path_factory.mktemp("weights") / "base.safetensors"
    return checkpoints.save(path, config, {**parts, "prompt_encoder": prompts})


def test_photos_have_the_names_of_their_masks_and_files(tool, data):
    photos = tool["photos"].list_photos(data, data / "captions.json")
    assert [photo.name for photo in photos] == [
        f"coco_permissive_{number}" for number in range(1, 9)
    ]
    assert [named.name for named in photos[0].named] == ["cup", "spoon"]
    assert photos[6].named == () and photos[6].captions == ("A red cup on a table.",)
    (single,) = photos[7].named
    assert single.name == "wine glass" and len(single.masks) == 2
    assert all(photo.is_complete for photo in photos)


def test_words_are_those_of_names_scenes_and_repeated_captions(tool):
    words = tool["phrases"].vocabulary(["A zebra, a zebra.", "an emu"], ["hot dog"])
    assert {"zebra", "hot", "dog", "cup", "purple", "handle", "sofa"} <= {*words}
    assert "emu" not in words and list(words) == sorted(words)


@pytest.mark.exhaustive
def test_all_commands_give_weights_that_load_and_go_on(tool, data, base, tmp_path):
    def run(command, **more):
        options = tool["train"].Options(
            command=command,
            folder=tmp_path / "work",
            base=str(base),
            data=data,
            captions=data / "captions.json",
            scenes=6,
            out=tmp_path / "text.safetensors",
            **more,
        )
        tool["train"].main(options)

    run("embed")
    made = sorted(path.name for path in (tmp_path / "work").iterdir())
    assert sum(name.startswith("scene_") for name in made) == 7
    assert sum(name.startswith("coco_permissive_") for name in made) == 8
    run("align", steps=3)
    run("decode", steps=2)
    model, params = samjax.load(tmp_path / "text.safetensors")
    assert model.config.text_similarity_width and "sofa" in model.config.words
    # It goes on: the steps that were done are not done again.
    stamp = (tmp_path / "work" / "decoding.npz").stat().st_mtime_ns
    run("decode", steps=2)
    assert (tmp_path / "work" / "decoding.npz").stat().st_mtime_ns == stamp
    run("measure")
    _, loaded = samjax.load(base)
    for name, leaf in loaded["image_encoder"]["neck_0"].items():
        kept = params["image_encoder"]["neck_0"][name]
        np.testing.assert_allclose(kept, leaf, atol=2e-3)
