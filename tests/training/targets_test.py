import jax.numpy as jnp
import numpy as np
import pytest

from samjax.training.targets import make_targets, repeat_targets, resize_logits


def test_targets_at_image_resolution_are_the_masks_without_padding():
    masks = jnp.ones((1, 2, 8, 8), bool)
    valid = jnp.array([[True, False]])
    targets = make_targets(masks, valid, jnp.array([[6, 4]]), "image", (2, 2))
    expected = np.zeros((8, 8), bool)
    expected[:6, :4] = True
    np.testing.assert_array_equal(targets.inside[0], expected)
    np.testing.assert_array_equal(targets.masks[0, 0], expected)
    assert not targets.masks[0, 1].any()
    assert targets.valid.tolist() == [[True, False]]


def test_coarse_targets_take_the_majority_and_drop_what_vanishes():
    masks = jnp.zeros((1, 2, 8, 8), bool)
    masks = masks.at[0, 0, :4, :2].set(True).at[0, 1, 0, 0].set(True)
    valid = jnp.ones((1, 2), bool)
    targets = make_targets(masks, valid, jnp.array([[8, 8]]), "logits", (2, 2))
    assert targets.masks[0, 0].tolist() == [[True, False], [False, False]]
    assert targets.valid.tolist() == [[True, False]]
    assert targets.pixel_side == 4


def test_free_slots_repeat_the_masks_of_their_image_in_turn():
    marks = jnp.zeros((3, 5, 8, 8), bool)
    for slot in range(5):
        marks = marks.at[:, slot, 0, slot].set(True)
    valid = jnp.array(
        [[False, True, False, True, True], [False] * 5, [True] * 5], dtype=bool
    )
    sizes = jnp.full((3, 2), 8)
    targets = make_targets(marks, valid, sizes, "image", (2, 2))
    repeated = repeat_targets(targets)
    slots = jnp.argmax(repeated.masks[:, :, 0], axis=-1)
    assert slots[0].tolist() == [1, 3, 4, 1, 3]
    assert slots[2].tolist() == [0, 1, 2, 3, 4]
    assert repeated.valid.tolist() == [[True] * 5, [False] * 5, [True] * 5]
    assert not repeated.masks[1].any()


def test_logits_that_do_not_divide_the_masks_are_refused():
    masks, valid = jnp.ones((1, 1, 8, 8), bool), jnp.ones((1, 1), bool)
    with pytest.raises(ValueError, match="resolution='image'"):
        make_targets(masks, valid, jnp.array([[8, 8]]), "logits", (3, 3))


@pytest.mark.parity
def test_logits_are_resized_as_the_reference_resizes_masks():
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(0).normal(size=(1, 2, 3, 5, 6)).astype(np.float32)
    ours = resize_logits(jnp.asarray(logits), (20, 24))
    theirs = torch.nn.functional.interpolate(
        torch.tensor(logits[0]), (20, 24), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(ours[0], theirs.numpy(), atol=1e-5)
