"""Sets of interactive segmentation and of HQ-SAM, in their layouts with one defect each."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from published_set_parts import photo, save
from small_photo_set import SIZE, TWO

from samjax.evaluation.datasets.benchmarks import BENCHMARKS
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.suites.single_point import SinglePoint

pytest.importorskip("cv2", reason="connected regions need the extra `eval`")

FIRST, SECOND = (int(mask.sum()) for mask in TWO)


def levels(mask, value=255):
    return mask.astype(np.uint8) * np.uint8(value)


def pairs(images: str, masks: str, value: int = 255):
    """Two photos with masks, a photo without one, and a mask without its photo."""

    def write(folder: Path):
        for name in "xyz":
            photo(folder / images / f"{name}.jpg")
        for name, mask in zip("xyw", (TWO[0], TWO[1], TWO[0]), strict=True):
            save(folder / masks / f"{name}.png", levels(mask, value))
        return [FIRST, SECOND], {"no masks": 1, "missing photo": 1}

    return write


def write_grabcut(folder: Path):
    """A band of unknown truth, and a damaged photo."""
    for name in ("a", "b"):
        photo(folder / "data_GT" / f"{name}.jpg")
        band = levels(TWO[0])
        band[TWO[1]] = 128
        save(folder / "boundary_GT" / f"{name}.bmp", band)
    (folder / "data_GT" / "b.jpg").write_bytes(b"no photo")
    return [FIRST], {"damaged or missing photo": 1}


def write_berkeley(folder: Path):
    """A photo with two masks, and a mask of another size than its photo."""
    for name in ("12", "13"):
        photo(folder / "images" / f"{name}.jpg")
    save(folder / "masks" / "12.png", levels(TWO[0]))
    save(folder / "masks" / "12a.png", levels(TWO[1]))
    save(folder / "masks" / "13.png", levels(np.ones((9, 9), bool)))
    return [FIRST, SECOND], {"damaged or missing photo": 1}


def write_sbd(folder: Path):
    """Two instances and a region of unknown truth, and a file that is damaged."""
    savemat = pytest.importorskip("scipy.io").savemat
    data = folder / "benchmark_RELEASE" / "dataset"
    (data / "inst").mkdir(parents=True)
    for name in ("2008_1", "2008_2", "2008_3"):
        photo(data / "img" / f"{name}.jpg")
    instances = np.zeros(SIZE, np.uint8)
    instances[TWO[0]], instances[TWO[1]], instances[:2, :2] = 1, 2, 255
    inner = np.zeros((1, 1), [("Segmentation", object)])
    inner[0, 0]["Segmentation"] = instances
    savemat(data / "inst" / "2008_1.mat", {"GTinst": inner})
    (data / "inst" / "2008_2.mat").write_bytes(b"damaged")
    (data / "val.txt").write_text("2008_1\n2008_2\n")
    return [FIRST, SECOND], {"missing or damaged masks": 1}


WRITERS = {
    "grabcut": write_grabcut,
    "berkeley": write_berkeley,
    "davis": pairs("img", "gt", 1),
    "sbd": write_sbd,
    "coco-mval": pairs("img", "gt"),
    "dis-vd": pairs("DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt"),
    "coift": pairs(
        "thin_object_detection/COIFT/images", "thin_object_detection/COIFT/masks"
    ),
    "hrsod": pairs("HRSOD/images", "HRSOD/masks_max255"),
    "thinobject5k": pairs("ThinObject5K/images_test", "ThinObject5K/masks_test"),
}


def test_every_row_is_tried():
    assert list(WRITERS) == list(BENCHMARKS)


@pytest.mark.parametrize("name", WRITERS)
def test_a_set_is_read_as_distributed_and_its_defect_is_named(name, tmp_path):
    areas, reasons = WRITERS[name](tmp_path)
    dataset = BENCHMARKS[name].open(tmp_path, Selection(min_area=1))
    found, skipped = [], list(dataset.skipped)
    for index in range(len(dataset)):
        sample = dataset[index]
        if isinstance(sample, Skipped):
            skipped.append(sample)
            continue
        skipped += sample.skipped
        found += [int(mask.sum()) for mask in sample.targets]
        if name in ("grabcut", "sbd"):
            assert sample.ignored is not None and sample.ignored.any()
    assert found == areas
    assert Counter(part.reason for part in skipped) == reasons


def test_the_command_takes_them_and_says_that_they_are_not_the_papers(tmp_path):
    WRITERS["davis"](tmp_path)
    options = SinglePoint(dataset=("davis",), boundary=True, resize="square")
    options.check([tmp_path], "samjax")
    suite = options.make([tmp_path], None)
    assert "other sets than the paper's 23" in suite.deviations
    assert any("square" in text for text in suite.deviations)
    assert suite.protocol["published"]["DAVIS"]["paper"] is None
