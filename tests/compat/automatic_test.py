"""`SamAutomaticMaskGenerator` has the reference's signature and records."""

import inspect

import numpy as np
import pytest

from samjax import compat
from samjax.compat import SamAutomaticMaskGenerator


@pytest.fixture(scope="module")
def sam(tiny_model):
    return compat.Sam(*tiny_model)


@pytest.mark.parity
def test_the_signature_is_the_reference_s():
    import reference

    published = reference.import_reference()

    def signature(function):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    for name in ("__init__", "generate"):
        assert signature(getattr(SamAutomaticMaskGenerator, name)) == signature(
            getattr(published.SamAutomaticMaskGenerator, name)
        )


@pytest.mark.parametrize("mode", ["binary_mask", "uncompressed_rle", "coco_rle"])
def test_records_have_the_reference_s_fields_and_types(sam, rng, mode):
    image = rng.integers(0, 256, (40, 50, 3), np.uint8)
    generator = SamAutomaticMaskGenerator(
        sam,
        points_per_side=3,
        pred_iou_thresh=-1,
        stability_score_thresh=0,
        output_mode=mode,
    )
    records = generator.generate(image)
    assert records
    for record in records:
        assert list(record) == [
            "segmentation",
            "area",
            "bbox",
            "predicted_iou",
            "point_coords",
            "stability_score",
            "crop_box",
        ]
        assert record["crop_box"] == [0, 0, 50, 40]
        assert all(isinstance(side, int) for side in record["bbox"])
        segmentation = record["segmentation"]
        if mode == "binary_mask":
            assert segmentation.shape == (40, 50) and segmentation.dtype == bool
            assert segmentation.sum() == record["area"]
        else:
            kind = list if mode == "uncompressed_rle" else str
            assert isinstance(segmentation["counts"], kind)


def test_an_option_that_means_nothing_is_refused(sam):
    with pytest.raises(ValueError, match="output_mode"):
        SamAutomaticMaskGenerator(sam, output_mode="png")
    with pytest.raises(ValueError, match="exactly one"):
        SamAutomaticMaskGenerator(sam, points_per_side=None)
