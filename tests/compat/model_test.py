"""`Sam` called on a batch, and the registry that builds it."""

import jax
import numpy as np
import pytest

from samjax import checkpoints, compat, models
from samjax.compat import ResizeLongestSide, SamPredictor, sam_model_registry


def batch(images: list[np.ndarray], side: int, convert) -> list[dict]:
    """The notebook's batched input: resized images, and prompts in their frame."""
    transform = ResizeLongestSide(side)
    records = []
    for i, image in enumerate(images):
        size = image.shape[:2]
        record = {
            "image": convert(transform.apply_image(image).transpose(2, 0, 1)),
            "original_size": size,
        }
        boxes = np.array([[5, 5, 30, 20], [10, 2, 40, 33.5]])
        points = np.array([[[9, 9], [20, 30]], [[1, 2], [3, 4]]])
        if i != 1:
            record["boxes"] = convert(transform.apply_boxes_torch(boxes, size))
        if i > 0:
            record["point_coords"] = convert(transform.apply_coords_torch(points, size))
            record["point_labels"] = convert(np.array([[1, 0], [1, 1]]))
        records.append(record)
    return records


@pytest.mark.parity
@pytest.mark.parametrize("multimask", [True, False])
def test_a_batched_call_equals_the_reference(published, ours, multimask):
    import torch

    generator = np.random.default_rng(2)
    images = [
        generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        for size in ((50, 80), (64, 40), (33, 45))
    ]
    theirs = published(batch(images, 64, torch.as_tensor), multimask)
    answers = ours(batch(images, 64, np.asarray), multimask_output=multimask)
    for left, right in zip(answers, theirs, strict=True):
        assert left.keys() == right.keys()
        low_res = right["low_res_logits"].numpy()
        rms = np.sqrt(np.mean(low_res**2))
        np.testing.assert_allclose(left["low_res_logits"], low_res, atol=1e-4 * rms)
        scores = right["iou_predictions"].numpy()
        np.testing.assert_allclose(left["iou_predictions"], scores, atol=1e-4)
        masks = right["masks"].numpy()
        assert left["masks"].shape == masks.shape and left["masks"].dtype == np.bool_
        assert (left["masks"] == masks).mean() > 0.999


@pytest.mark.parity
def test_images_of_any_size_are_padded_not_resized(published, ours):
    """Trap 4a: the whole-model call resizes nothing; a smaller input is only padded."""
    import torch

    image = np.random.default_rng(3).uniform(0, 255, (3, 30, 41)).astype(np.float32)
    mask = 3 * np.random.default_rng(4).standard_normal((1, 1, 32, 32))
    mask = mask.astype(np.float32)
    record = {"original_size": (60, 82), "image": image, "mask_inputs": mask}
    tensors = {
        "original_size": (60, 82),
        "image": torch.as_tensor(image),
        "mask_inputs": torch.as_tensor(mask),
    }
    [theirs], [answer] = published([tensors], True), ours([record], True)
    low_res = theirs["low_res_logits"].numpy()
    rms = np.sqrt(np.mean(low_res**2))
    np.testing.assert_allclose(answer["low_res_logits"], low_res, atol=1e-4 * rms)
    assert (answer["masks"] == theirs["masks"].numpy()).mean() > 0.999


@pytest.mark.parity
def test_pre_and_postprocessing_equal_the_reference(published, ours, rng):
    """Traps 4a and 4e: normalize then pad; two bilinear steps."""
    import torch

    pixels = rng.uniform(0, 255, (2, 3, 40, 64)).astype(np.float32)
    theirs = published.preprocess(torch.as_tensor(pixels)).numpy()
    np.testing.assert_allclose(ours.preprocess(pixels), theirs, atol=1e-5)
    logits = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
    theirs = published.postprocess_masks(torch.as_tensor(logits), (40, 64), (77, 123))
    answer = ours.postprocess_masks(logits, (40, 64), (77, 123))
    np.testing.assert_allclose(answer, theirs.numpy(), atol=1e-5)


def test_the_model_has_the_references_attributes(tiny_model):
    sam = compat.Sam(*tiny_model)
    assert sam.to(device="cuda") is sam and sam.eval() is sam
    assert sam.image_format == "RGB" and sam.mask_threshold == 0.0
    assert sam.image_encoder.img_size == 64
    assert sam.device == SamPredictor(sam).device == "cpu"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": np.zeros((40, 64, 3))},
            r"image \(40, 64, 3\), expected \(3, h, w\)",
        ),
        ({"image": np.zeros((3, 65, 10))}, "sides of at most 64"),
        ({"boxes": np.zeros((1, 5))}, r"boxes \(1, 5\), expected \(B, 4\)"),
        ({"mask_inputs": np.zeros((1, 32, 32))}, r"expected \(B, 1, 32, 32\)"),
    ],
)
def test_a_batched_call_names_what_has_a_wrong_shape(tiny_model, change, message):
    record = {"image": np.zeros((3, 40, 64)), "original_size": (40, 64)} | change
    with pytest.raises(ValueError, match=message):
        compat.Sam(*tiny_model)([record], True)


def test_the_mask_threshold_can_be_moved(tiny_model):
    sam = compat.Sam(*tiny_model)
    predictor = SamPredictor(sam)
    predictor.set_image(np.zeros((20, 30, 3), np.uint8))
    point, label = np.array([[3, 4]]), np.array([1])
    logits = predictor.predict(point, label, return_logits=True)[0]
    sam.mask_threshold = 0.5
    np.testing.assert_array_equal(predictor.predict(point, label)[0], logits > 0.5)


def test_the_registry_has_the_references_names():
    assert {"default", "vit_h", "vit_l", "vit_b"} < set(sam_model_registry)
    assert sam_model_registry["default"] is sam_model_registry["vit_h"]
    assert compat.build_sam is compat.build_sam_vit_h


@pytest.fixture
def small_registry(small_config, monkeypatch):
    """The registry with a small model in place of ViT-B."""
    monkeypatch.setitem(models.SIZES, "vit_b", small_config)


def test_without_a_checkpoint_parameters_are_random(small_registry, small_config):
    sam = sam_model_registry["vit_b"]()
    assert sam.predictor.model.config == small_config
    kernel = sam.predictor.params["image_encoder"]["neck_0"]["kernel"]
    assert np.std(kernel) > 0


def test_a_checkpoint_of_the_right_size_is_loaded(
    small_registry, tiny_model, monkeypatch
):
    monkeypatch.setattr(checkpoints, "load", lambda source: tiny_model)
    sam = sam_model_registry["vit_b"](checkpoint="sam_vit_b.pth")
    left = jax.tree.leaves(sam.predictor.params)
    for a, b in zip(left, jax.tree.leaves(tiny_model[1]), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b, np.float32))


def test_a_checkpoint_of_another_size_is_refused(tiny_model, monkeypatch):
    monkeypatch.setattr(checkpoints, "load", lambda source: tiny_model)
    with pytest.raises(ValueError, match=r"sam.pth, a checkpoint of .*expected vit_l"):
        sam_model_registry["vit_l"](checkpoint="sam.pth")
