"""Properties of the model that need no reference: batching, padding, sizes, dtypes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.models import ABSENT, VIT_B, PromptInputs, Sam
from samjax.models.image_encoder import (
    Block,
    merge_windows,
    partition_windows,
    relative_positions,
    resize_position_table,
)


def close(a, b, tolerance=1e-5):
    rms = float(jnp.sqrt(jnp.mean(jnp.square(b))))
    return float(jnp.abs(a - b).max()) < tolerance * rms


def images(batch=1, height=64, width=64):
    return jax.random.normal(jax.random.key(1), (batch, height, width, 3))


def some_prompts(batch, sets, number, masks=False):
    keys = jax.random.split(jax.random.key(2), 3)
    return PromptInputs(
        jax.random.uniform(keys[0], (batch, sets, number, 2), maxval=64.0),
        jax.random.randint(keys[1], (batch, sets, number), -1, 4),
        jax.random.normal(keys[2], (batch, sets, 32, 32)) if masks else None,
    )


def run(model, params, pixels, prompts):
    return jax.jit(lambda p, x, q: model.apply({"params": p}, x, q))(
        params, pixels, prompts
    )


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("sets", [1, 3, 40])
def test_prompt_sets_do_not_see_each_other(tiny_model, sets, masks):
    # One set folds the image's projections into the tokens, forty project the image.
    prompts = some_prompts(2, sets, 4, masks)
    together = run(*tiny_model, images(2), prompts)
    for image in range(2):
        for i in {0, sets - 1}:
            where = np.s_[image : image + 1, i : i + 1]
            one = PromptInputs(*(x if x is None else x[where] for x in prompts))
            alone = run(*tiny_model, images(2)[image : image + 1], one)
            assert close(together.low_res_logits[image, i], alone.low_res_logits[0, 0])
            assert close(
                together.iou_predictions[image, i], alone.iou_predictions[0, 0]
            )


@pytest.mark.parametrize("padding", [1, 30])
def test_absent_slots_change_nothing(tiny_model, padding):
    prompts = some_prompts(1, 2, 3)
    padded = PromptInputs(
        jnp.pad(prompts.points, ((0, 0), (0, 0), (0, padding), (0, 0))),
        jnp.pad(prompts.labels, ((0, 0), (0, 0), (0, padding)), constant_values=ABSENT),
    )
    plain = run(*tiny_model, images(), prompts)
    same = run(*tiny_model, images(), padded)
    assert close(same.low_res_logits, plain.low_res_logits)
    assert close(same.iou_predictions, plain.iou_predictions)


def test_no_sparse_prompt_is_a_prompt(tiny_model):
    nothing = run(*tiny_model, images(), some_prompts(1, 1, 0))
    absent = some_prompts(1, 1, 2)._replace(labels=jnp.full((1, 1, 2), ABSENT))
    assert close(
        nothing.low_res_logits, run(*tiny_model, images(), absent).low_res_logits
    )


def test_sets_with_and_without_a_mask_mix(tiny_model):
    prompts = some_prompts(1, 2, 3, masks=True)
    mixed = run(
        *tiny_model, images(), prompts._replace(has_mask=jnp.array([[True, False]]))
    )
    with_masks = run(*tiny_model, images(), prompts)
    without = run(*tiny_model, images(), prompts._replace(masks=None))
    assert close(mixed.low_res_logits[:, 0], with_masks.low_res_logits[:, 0])
    assert close(mixed.low_res_logits[:, 1], without.low_res_logits[:, 1])


def test_the_order_of_points_does_not_matter(tiny_model):
    prompts = some_prompts(1, 1, 5)
    turned = jax.tree.map(lambda x: x[:, :, ::-1], prompts)
    assert close(
        run(*tiny_model, images(), turned).low_res_logits,
        run(*tiny_model, images(), prompts).low_res_logits,
    )


@pytest.mark.parametrize(("height", "width"), [(5, 7), (14, 14), (16, 30), (1, 1)])
def test_merging_undoes_partitioning(height, width):
    x = jnp.arange(2 * height * width * 3.0).reshape(2, height, width, 3)
    windows = partition_windows(x, 14)
    assert windows.shape[1:3] == (14, 14)
    np.testing.assert_array_equal(merge_windows(windows, 14, (height, width)), x)


def test_tables_at_their_own_size_are_used_as_they_are():
    table = jax.random.normal(jax.random.key(0), (1, 8, 8, 4))
    assert resize_position_table(table, (8, 8)) is table
    relative = jax.random.normal(jax.random.key(0), (15, 4))
    picked = relative_positions(relative, 8)
    for query, key in ((0, 0), (7, 0), (0, 7), (3, 5)):
        np.testing.assert_array_equal(picked[query, key], relative[query - key + 7])


@pytest.mark.parametrize(("height", "width"), [(32, 96), (128, 128)])
def test_inputs_of_other_sizes_give_their_own_grid(tiny_model, height, width):
    model, params = tiny_model
    prediction = run(model, params, images(1, height, width), some_prompts(1, 1, 2))
    assert prediction.low_res_logits.shape == (1, 1, 4, height // 2, width // 2)
    assert bool(jnp.isfinite(prediction.low_res_logits).all())


def test_sides_off_the_patch_size_are_refused(tiny_model):
    model, params = tiny_model
    with pytest.raises(ValueError, match="70 x 64.*multiples of the patch size 8"):
        run(model, params, images(1, 70, 64), some_prompts(1, 1, 2))


def test_drop_path_drops_whole_images_and_keeps_the_mean():
    block = Block(2, 0, 4, 4.0, 0.25, jnp.float32)
    branch = jax.random.normal(jax.random.key(0), (4000, 1, 1, 3))
    dropped = block.apply(
        {},
        branch,
        False,
        rngs={"drop_path": jax.random.key(1)},
        method=Block._drop_path,
    )
    ratio = np.asarray(dropped) / np.asarray(branch)
    assert np.allclose(ratio, ratio[..., :1])
    assert set(np.unique(ratio.round(4))) == {0.0, np.float32(1.3333)}
    assert abs(ratio.mean() - 1) < 0.03


def test_drop_path_is_off_unless_asked_for(tiny_model):
    model, params = tiny_model
    params = jax.tree.map(jnp.asarray, params)
    config = dataclasses.replace(model.config, drop_path_rate=0.9)
    dropping = Sam(config)
    expected = model.apply({"params": params}, images(), method="encode_image")
    still = dropping.apply({"params": params}, images(), method="encode_image")
    np.testing.assert_array_equal(still, expected)
    moved = dropping.apply(
        {"params": params},
        images(),
        deterministic=False,
        rngs={"drop_path": jax.random.key(3)},
        method="encode_image",
    )
    assert not close(moved, expected)


def test_remat_changes_neither_values_nor_gradients(tiny_model):
    model, params = tiny_model

    def loss(model):
        def of(params):
            x = model.apply({"params": params}, images(), method="encode_image")
            return jnp.sum(jnp.sin(x))

        return jax.jit(jax.value_and_grad(of))(params)

    plain = loss(model)
    recomputed = loss(Sam(dataclasses.replace(model.config, remat=True)))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(recomputed), strict=True):
        assert float(jnp.abs(a - b).max()) <= 1e-4 * float(jnp.abs(b).max() + 1e-6)


def test_the_frequencies_get_no_gradient(tiny_model):
    model, params = tiny_model

    def loss(params):
        logits = model.apply({"params": params}, images(), some_prompts(1, 1, 3))[0]
        return jnp.mean(jnp.square(logits))

    gradients = jax.jit(jax.grad(loss))(params)
    layer = gradients["prompt_encoder"]["pe_layer"]
    assert not np.any(layer["positional_encoding_gaussian_matrix"])
    others = jax.tree.leaves(gradients["image_encoder"])
    assert all(np.any(leaf) for leaf in others)


def test_bfloat16_keeps_logits_in_float32_and_masks_alike(tiny_model):
    model, params = tiny_model
    prompts = some_prompts(1, 8, 3)
    full = run(model, params, images(), prompts)
    half = run(Sam(model.config, jnp.bfloat16), params, images(), prompts)
    assert half.low_res_logits.dtype == half.iou_predictions.dtype == jnp.float32
    a, b = full.low_res_logits > 0, half.low_res_logits > 0
    iou = (a & b).sum((-1, -2)) / jnp.maximum((a | b).sum((-1, -2)), 1)
    assert float(iou.mean()) > 0.95
    assert not close(half.low_res_logits, full.low_res_logits, 1e-4)


def test_float16_is_refused():
    with pytest.raises(ValueError, match="float16.*bfloat16"):
        Sam(VIT_B, jnp.float16).apply({"params": {}}, images(), method="encode_image")
