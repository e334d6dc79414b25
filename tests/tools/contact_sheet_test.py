"""Contact sheets of masks on photo datasets."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_photo_set import TWO, square, write_set

import samjax
from samjax.checkpoints import save

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

sys.path.append(str(Path(__file__).parents[2] / "tools"))
contact_sheet = importlib.import_module("contact_sheet")


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory) -> str:
    model, params = tiny_model
    folder = tmp_path_factory.mktemp("weights")
    return str(save(folder / "small.safetensors", model.config, params))


def config(folder, **options):
    return contact_sheet.SheetConfig(data=(folder,), **options)


def test_a_sheet_has_three_pictures_for_each_object(tmp_path, weights):
    folder = write_set(tmp_path / "set", [TWO] * 3)
    out = tmp_path / "deep" / "sheet.jpg"
    contact_sheet.main(config(folder, model=weights, out=out, objects=2, cell_size=80))
    with Image.open(out) as sheet:
        assert sheet.format == "JPEG" and sheet.width > 6 * 80
    assert [file.name for file in out.parent.iterdir()] == ["sheet.jpg"]


def test_objects_are_drawn_by_the_seed_and_damaged_photos_skipped(tmp_path):
    band = square(30, 45, 25) & ~square(30, 45, 20)
    folder = write_set(tmp_path / "set", [TWO] * 6, ignored=[band] * 6)
    (folder / "images/002.png").write_text("no image")
    drawn = contact_sheet.draw_objects(config(folder, objects=9))
    assert len(drawn) == 5
    again, other = (
        contact_sheet.draw_objects(config(folder, objects=9, seed=seed))
        for seed in (0, 1)
    )
    targets = [[one.target for one in objects] for objects in (drawn, again, other)]
    np.testing.assert_array_equal(targets[0], targets[1])
    assert not np.array_equal(targets[0], targets[2])
    assert not any((one.target & band).any() for one in drawn)
    with pytest.raises(ValueError, match="no photo has an object"):
        contact_sheet.draw_objects(config(folder, min_area=3000))


def test_captions_have_the_true_ious(tmp_path, tiny_model):
    folder = write_set(tmp_path / "set", [TWO])
    (shown,) = contact_sheet.draw_objects(config(folder))
    pictures, captions = contact_sheet.show(samjax.Predictor(*tiny_model), shown)
    assert [picture.shape for picture in pictures] == [(60, 80, 3)] * 3
    assert captions[0] == "thing"
    best, first = (float(word.strip("()")) for word in captions[1].split()[1::3])
    assert 0 <= first <= best <= 1


def test_a_sheet_stays_below_its_size(tmp_path, rng):
    noise = rng.integers(0, 256, (900, 1000, 3), np.uint8)
    size = contact_sheet.write_jpeg(noise, tmp_path / "noise.jpg")
    assert size == (tmp_path / "noise.jpg").stat().st_size < contact_sheet.MOST_BYTES
