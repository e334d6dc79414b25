"""`SamPredictor` as the reference's README and notebooks call it: the same arrays."""

import numpy as np
import pytest

from samjax.compat import SamPredictor

pytestmark = pytest.mark.parity

POINT = np.array([[50, 37]])
POINTS = np.array([[50, 37], [100.5, 12.25]])
BOX = np.array([12, 8, 95, 60])


@pytest.fixture(scope="module")
def pair(published, ours, image):
    """Both predictors, with the image set."""
    from segment_anything import SamPredictor as Published

    predictors = Published(published), SamPredictor(ours)
    for predictor in predictors:
        predictor.set_image(image)
    return predictors


def assert_equal_answers(published, theirs, ours):
    """Logits and scores within the parity bar, masks wherever logits are not at 0."""
    import torch

    masks, scores, low_res = (np.asarray(array) for array in theirs)
    assert all(isinstance(array, np.ndarray) for array in ours)
    for left, right in zip(ours, (masks, scores, low_res), strict=True):
        assert left.shape == right.shape and left.dtype == right.dtype
    rms = np.sqrt(np.mean(low_res**2))
    np.testing.assert_allclose(ours[2], low_res, atol=1e-4 * rms)
    np.testing.assert_allclose(ours[1], scores, atol=1e-4)
    if masks.dtype == np.bool_:
        batch = torch.as_tensor(low_res.reshape(-1, *low_res.shape[-3:]))
        logits = published.model.postprocess_masks(
            batch, published.input_size, published.original_size
        )
        decided = np.abs(logits.numpy()).reshape(masks.shape) > 1e-4 * rms
        assert decided.mean() > 0.99
        np.testing.assert_array_equal(ours[0][decided], masks[decided])
    else:
        np.testing.assert_allclose(ours[0], masks, atol=1e-4 * rms)


@pytest.mark.parametrize(
    "arguments",
    [
        # README and notebook, in their order: a click; several clicks with the mask of
        # an earlier answer; background click; box; box and click; mask alone; nothing.
        {"point_coords": POINT, "point_labels": np.array([1])},
        {"point_coords": POINTS, "point_labels": np.array([1, 0])},
        {"box": BOX},
        {"box": BOX[None, :], "multimask_output": False},
        {"point_coords": POINT, "point_labels": np.array([0]), "box": BOX},
        {
            "point_coords": POINTS,
            "point_labels": np.array([1, 1]),
            "return_logits": True,
        },
        {"box": BOX, "return_logits": True, "multimask_output": False},
        {"point_coords": np.zeros((0, 2)), "point_labels": np.zeros(0)},
        {"point_coords": np.array([[-20.0, 500.0]]), "point_labels": np.array([1])},
        {},
    ],
    ids=str,
)
def test_predict_gives_the_arrays_of_the_reference(pair, arguments):
    published, ours = pair
    answers = ours.predict(**arguments)
    assert_equal_answers(published, published.predict(**arguments), answers)


def test_masks_can_be_fed_back_as_in_the_notebook(pair):
    published, ours = pair
    _, scores, logits = published.predict(POINT, np.array([1]))
    arguments = {
        "point_coords": POINTS,
        "point_labels": np.array([1, 1]),
        "mask_input": logits[np.argmax(scores), :, :][None, :, :],
        "multimask_output": False,
    }
    answers = ours.predict(**arguments)
    assert_equal_answers(published, published.predict(**arguments), answers)


def test_many_boxes_at_once_as_in_the_notebook(pair, image):
    import torch

    published, ours = pair
    boxes = np.array([[10, 5, 60, 40], [70, 20, 110, 70], [0, 0, 117, 74]])
    tensor = published.transform.apply_boxes_torch(torch.tensor(boxes), image.shape[:2])
    array = ours.transform.apply_boxes_torch(boxes, image.shape[:2])
    np.testing.assert_array_equal(array, tensor.numpy())
    for multimask in (False, True):
        theirs = published.predict_torch(
            point_coords=None,
            point_labels=None,
            boxes=tensor,
            multimask_output=multimask,
        )
        answers = ours.predict_torch(
            point_coords=None,
            point_labels=None,
            boxes=array,
            multimask_output=multimask,
        )
        assert answers[0].shape == (3, 3 if multimask else 1, 75, 118)
        assert_equal_answers(published, theirs, answers)


def test_padding_labels_are_tokens_as_in_the_reference(pair):
    """Trap 4c: through `compat`, a -1 given by the user takes part in attention."""
    import torch

    published, ours = pair
    points = np.array([[[5.0, 6.0], [0.0, 0.0]], [[20.0, 9.0], [30.0, 3.0]]])
    labels = np.array([[1, -1], [1, 0]])
    theirs = published.predict_torch(
        torch.tensor(points, dtype=torch.float), torch.tensor(labels)
    )
    answers = ours.predict_torch(points, labels)
    assert_equal_answers(published, theirs, answers)
    alone = ours.predict_torch(points[:1, :1], labels[:1, :1])
    assert np.abs(alone[2][0] - answers[2][0]).max() > 1e-3


def test_cpu_tensors_are_taken(pair):
    import torch

    _, ours = pair
    tensors = torch.tensor([[[5.0, 6.0]]]), torch.tensor([[1]])
    arrays = [tensor.numpy() for tensor in tensors]
    for left, right in zip(
        ours.predict_torch(*tensors), ours.predict_torch(*arrays), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_the_embedding_is_the_references(pair):
    published, ours = pair
    theirs = published.get_image_embedding().numpy()
    embedding = ours.get_image_embedding()
    assert embedding.shape == theirs.shape == (1, 256, 8, 8)
    rms = np.sqrt(np.mean(theirs**2))
    np.testing.assert_allclose(embedding, theirs, atol=2e-5 * rms)
    assert ours.features is embedding
    assert ours.original_size == published.original_size
    assert ours.input_size == published.input_size
    assert ours.is_image_set


def test_bgr_images_are_turned_to_rgb(pair, ours, image):
    _, rgb = pair
    bgr = SamPredictor(ours)
    bgr.set_image(image[..., ::-1], image_format="BGR")
    np.testing.assert_array_equal(bgr.features, rgb.features)


def test_set_torch_image_takes_a_resized_image(published, ours, image):
    """Floats too; and the longer side must be the model's, as in the reference."""
    import torch
    from segment_anything import SamPredictor as Published

    theirs, mine = Published(published), SamPredictor(ours)
    resized = mine.transform.apply_image(image)
    np.testing.assert_array_equal(resized, theirs.transform.apply_image(image))
    pixels = resized.transpose(2, 0, 1)[None] + np.float32(0.25)
    theirs.set_torch_image(torch.from_numpy(pixels), image.shape[:2])
    mine.set_torch_image(pixels, image.shape[:2])
    np.testing.assert_allclose(
        mine.get_image_embedding(), theirs.get_image_embedding().numpy(), atol=1e-4
    )
    with pytest.raises(ValueError, match="long side of 64"):
        mine.set_torch_image(pixels[..., :50], image.shape[:2])


def test_state_can_be_saved_and_put_back(pair, ours):
    """Annotation tools keep `features` and sizes, and restore them."""
    _, predictor = pair
    other = SamPredictor(ours)
    other.set_image(np.zeros((30, 20, 3), np.uint8))
    other.features = predictor.features.copy()
    other.original_size = predictor.original_size
    other.input_size = predictor.input_size
    other.is_image_set = True
    left = other.predict(POINT, np.array([1]))
    right = predictor.predict(POINT, np.array([1]))
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_transform_maps_as_the_reference(pair):
    published, ours = pair
    size = (1201, 1799)
    points = np.random.default_rng(0).uniform(0, 1800, (50, 2))
    np.testing.assert_array_equal(
        ours.transform.apply_coords(points, size),
        published.transform.apply_coords(points, size),
    )
    boxes = points[:48].reshape(-1, 4)
    np.testing.assert_array_equal(
        ours.transform.apply_boxes(boxes, size),
        published.transform.apply_boxes(boxes, size),
    )
    for shape in ((1200, 1800), (3, 5), (2048, 5), (999, 1001)):
        assert ours.transform.get_preprocess_shape(
            *shape, 1024
        ) == published.transform.get_preprocess_shape(*shape, 1024)
    assert ours.transform.target_length == 64


def test_predicting_needs_an_image(ours):
    predictor = SamPredictor(ours)
    with pytest.raises(RuntimeError, match="An image must be set with .set_image"):
        predictor.predict(POINT, np.array([1]))
    with pytest.raises(RuntimeError, match="An image must be set"):
        predictor.get_image_embedding()
    predictor.set_image(np.zeros((5, 6, 3), np.uint8))
    predictor.reset_image()
    assert not predictor.is_image_set and predictor.features is None
    with pytest.raises(RuntimeError, match="An image must be set"):
        predictor.predict(POINT, np.array([1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"point_coords": POINT}, "without point_labels"),
        (
            {"point_coords": POINT, "point_labels": np.array([1, 0])},
            r"expected \(B, N, 2\) and \(B, N\)",
        ),
        (
            {"point_coords": POINT, "point_labels": np.array([3])},
            r"point_labels \[3\], expected 1",
        ),
        ({"box": np.zeros((2, 4))}, "predict_torch takes several boxes"),
        (
            {"point_coords": np.zeros((1, 3)), "point_labels": np.array([1])},
            r"points \(1, 3\), expected \(\.\.\., 2\)",
        ),
        (
            {"point_coords": np.zeros(2), "point_labels": np.array([1])},
            r"point_coords \(1, 2\), expected \(B, N, 2\)",
        ),
        (
            {"point_coords": POINT, "point_labels": np.array(1)},
            r"point_labels \(1,\), expected \(B, N\)",
        ),
        (
            {"point_coords": [["a", "b"]], "point_labels": [1]},
            "could not convert",
        ),
        ({"box": np.zeros(3)}, r"box of shape \(3,\), expected \(4,\)"),
        ({"mask_input": np.zeros((32, 32))}, r"expected \(B, 1, 32, 32\)"),
        ({"mask_input": np.zeros((1, 16, 16))}, r"expected \(B, 1, 32, 32\)"),
    ],
)
def test_wrong_arguments_are_named(pair, arguments, message):
    with pytest.raises(ValueError, match=message):
        pair[1].predict(**arguments)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((4, 3)), r"boxes \(4, 3\), expected \(B, 4\)"),
        (np.zeros(4), r"boxes \(4,\), expected \(B, 4\)"),
        (np.zeros((2, 2, 2)), r"boxes \(2, 2, 2\)"),
    ],
)
def test_boxes_of_other_shapes_are_not_cut_up_anew(pair, boxes, message):
    """The reference makes three boxes of four times three numbers."""
    with pytest.raises(ValueError, match=message):
        pair[1].predict_torch(None, None, boxes)
    with pytest.raises(ValueError, match=r"boxes \(5,\)"):
        pair[1].transform.apply_boxes(np.zeros(5), (75, 118))


def test_what_the_reference_asserts_is_an_assertion_error_too(pair, image):
    for call in (
        lambda one: one.set_image(image, "HSV"),
        lambda one: one.set_torch_image(image[None], (75, 118)),
        lambda one: one.predict(POINT),
    ):
        for predictor in pair:
            with pytest.raises(AssertionError):
                call(predictor)
    for predictor in pair:
        predictor.set_image(image)


def test_the_predictor_has_the_reference_s_public_attributes(pair):
    published, ours = (
        {name for name in dir(one) if not name.startswith("_")} for one in pair
    )
    assert published <= ours


def test_prompts_of_different_numbers_are_refused(pair):
    with pytest.raises(ValueError, match=r"prompts for \[1, 2\] objects"):
        pair[1].predict_torch(
            np.zeros((2, 1, 2)), np.ones((2, 1)), boxes=np.zeros((1, 4))
        )


def test_unknown_channel_orders_are_refused(ours, image):
    with pytest.raises(ValueError, match="'RGB' or 'BGR'"):
        SamPredictor(ours).set_image(image, image_format="HSV")
