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


@pytest.mark.parity
def test_the_generator_has_the_reference_s_public_attributes(published, sam):
    from segment_anything import SamAutomaticMaskGenerator as Published

    theirs, ours = Published(published), SamAutomaticMaskGenerator(sam)
    names = [name for name in dir(theirs) if not name.startswith("_")]
    assert {"predictor", "point_grids", "generate"} < set(names)
    for name in names:
        value = getattr(ours, name)
        if isinstance(value, int | float | str):
            assert value == getattr(theirs, name), name
    for grid, other in zip(ours.point_grids, theirs.point_grids, strict=True):
        np.testing.assert_array_equal(grid, other)


def test_its_predictor_embeds_images_and_has_none_after_generate(sam, rng):
    image = rng.integers(0, 256, (40, 50, 3), np.uint8)
    generator = SamAutomaticMaskGenerator(sam, points_per_side=1)
    assert generator.predictor.model is sam
    generator.predictor.set_image(image)
    assert generator.predictor.get_image_embedding().ndim == 4
    generator.generate(image)
    assert not generator.predictor.is_image_set


def test_options_that_are_assigned_hold_from_then_on(sam, rng):
    image = rng.integers(0, 256, (40, 50, 3), np.uint8)
    generator = SamAutomaticMaskGenerator(sam, points_per_side=2, pred_iou_thresh=1e6)
    assert generator.generate(image) == []
    generator.pred_iou_thresh = generator.stability_score_thresh = 0.0
    generator.output_mode = "uncompressed_rle"
    assert generator.generate(image)[0]["segmentation"]["size"] == [40, 50]
    generator.point_grids = [np.array([[0.5, 0.5]])]
    points = {tuple(r["point_coords"][0]) for r in generator.generate(image)}
    assert points == {(25.0, 20.0)}
    generator.output_mode = "png"
    with pytest.raises(ValueError, match="output_mode"):
        generator.generate(image)


@pytest.mark.parity
def test_small_regions_are_cleaned_up_as_by_the_reference(rng):
    import copy

    import reference
    import torch

    reference.import_reference()
    from segment_anything import SamAutomaticMaskGenerator as Published
    from segment_anything.utils.amg import MaskData, mask_to_rle_pytorch

    masks = rng.random((6, 30, 40)) < 0.5
    masks[3] = False
    masks[3, 5:20, 5:20] = True
    rles = mask_to_rle_pytorch(torch.as_tensor(masks))
    boxes = torch.arange(24.0).reshape(6, 4)
    data = {"rles": rles, "boxes": boxes.numpy(), "names": list("abcdef")}
    theirs = MaskData(rles=copy.deepcopy(rles), boxes=boxes, names=list("abcdef"))
    Published.postprocess_small_regions(theirs, 20, 0.7)
    ours = SamAutomaticMaskGenerator.postprocess_small_regions(data, 20, 0.7)
    assert ours["rles"] == theirs["rles"] and ours["names"] == theirs["names"]
    np.testing.assert_array_equal(ours["boxes"], theirs["boxes"].numpy())


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
