import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.training.losses import (
    LossConfig,
    dice_loss,
    focal_loss,
    grouping_loss,
    mask_iou,
    mean_over_valid,
    prompt_loss,
)


def random_case(seed, masks=3):
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(rng.normal(size=(2, 3, masks, 6, 5)), jnp.float32)
    scores = jnp.asarray(rng.uniform(size=(2, 3, masks)), jnp.float32)
    targets = jnp.asarray(rng.random((2, 3, 6, 5)) < 0.4)
    inside = jnp.ones((2, 6, 5), bool)
    return logits, scores, targets, inside, jnp.ones((2, 3, masks), bool)


def test_focal_loss_of_one_pixel_is_the_formula():
    # p = sigmoid(0) = 1/2: alpha (1/2)^2 log 2 on foreground, 1 - alpha on background.
    expected = 0.25 * 0.25 * np.log(2)
    zero, inside = jnp.zeros((1, 1)), jnp.ones((1, 1), bool)
    assert focal_loss(zero, inside, inside, 0.25, 2.0) == pytest.approx(expected)
    assert focal_loss(zero, ~inside, inside, 0.25, 2.0) == pytest.approx(3 * expected)


def test_dice_loss_of_half_a_mask_is_the_formula():
    logits = jnp.array([[100.0, -100.0, -100.0, -100.0]])
    target = jnp.array([[True, True, False, False]])
    inside = jnp.ones((1, 4), bool)
    # 1 - (2 * 1 + 1) / (1 + 2 + 1).
    assert dice_loss(logits, target, inside, 1.0) == pytest.approx(0.25)


@pytest.mark.parity
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), gamma=st.sampled_from([0.0, 1.5, 2.0]))
def test_losses_equal_the_textbook_formulas_in_torch(seed, gamma):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    logits, _, targets, inside, _ = random_case(seed)
    logits = 5 * logits
    truth = jnp.broadcast_to(targets[:, :, None], logits.shape)
    ours_focal = focal_loss(logits, truth, inside[:, None, None], 0.25, gamma)
    ours_dice = dice_loss(logits, truth, inside[:, None, None], 1.0)

    x = torch.tensor(np.asarray(logits), dtype=torch.float64)
    t = torch.tensor(np.asarray(truth), dtype=torch.float64)
    p = torch.sigmoid(x)
    entropy = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    p_t = p * t + (1 - p) * (1 - t)
    alpha_t = 0.25 * t + 0.75 * (1 - t)
    focal = (alpha_t * (1 - p_t) ** gamma * entropy).mean((-2, -1))
    dice = 1 - (2 * (p * t).sum((-2, -1)) + 1) / ((p + t).sum((-2, -1)) + 1)
    np.testing.assert_allclose(ours_focal, focal.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours_dice, dice.numpy(), rtol=1e-4, atol=1e-6)


def test_losses_and_gradients_are_finite_at_any_logit():
    logits = jnp.array([[-1e4, -50.0, 0.0, 50.0, 1e4]])
    inside = jnp.ones((1, 5), bool)
    for target in (inside, ~inside):
        loss, gradient = jax.value_and_grad(
            lambda x: (
                focal_loss(x, target, inside, 0.25, 2.0)  # noqa: B023
                + dice_loss(x, target, inside, 1.0)  # noqa: B023
            )
        )(logits)
        assert jnp.isfinite(loss) and jnp.isfinite(gradient).all()


def test_a_confident_right_mask_costs_nothing_and_a_wrong_one_the_most():
    target = jnp.array([[True, False, True, False]])
    inside = jnp.ones((1, 4), bool)
    right = jnp.where(target, 30.0, -30.0)
    assert focal_loss(right, target, inside, 0.25, 2.0) == pytest.approx(0, abs=1e-6)
    assert dice_loss(right, target, inside, 1.0) == pytest.approx(0, abs=1e-6)
    assert dice_loss(-right, target, inside, 0.0) == pytest.approx(1)
    assert focal_loss(-right, target, inside, 0.25, 2.0) > 10


def test_mask_loss_is_twenty_focal_plus_one_dice_and_one_iou_error():
    logits, scores, targets, inside, candidates = random_case(0, masks=1)
    loss = prompt_loss(logits, scores, targets, inside, candidates, LossConfig())
    np.testing.assert_allclose(
        loss.total, 20 * loss.focal + loss.dice + loss.iou_error, rtol=1e-6
    )


def test_only_the_mask_with_the_least_loss_gets_a_gradient():
    logits, scores, targets, inside, candidates = random_case(1)
    config = LossConfig()

    def total(logits, scores):
        return prompt_loss(
            logits, scores, targets, inside, candidates, config
        ).total.sum()

    by_logits, by_scores = jax.grad(total, argnums=(0, 1))(logits, scores)
    each = jnp.stack(
        [
            prompt_loss(
                logits[:, :, i : i + 1],
                scores[:, :, i : i + 1],
                targets,
                inside,
                candidates[:, :, :1],
                LossConfig(iou_weight=0.0),
            ).total
            for i in range(3)
        ],
        axis=-1,
    )
    is_best = each == each.min(-1, keepdims=True)
    moved = jnp.abs(by_logits).sum((-2, -1)) > 0
    np.testing.assert_array_equal(moved, is_best)
    np.testing.assert_array_equal(by_scores != 0, is_best)


def test_supervising_all_scores_moves_every_score_but_one_mask():
    logits, scores, targets, inside, candidates = random_case(2)
    config = LossConfig(iou_supervision="all")

    def total(logits, scores):
        return prompt_loss(
            logits, scores, targets, inside, candidates, config
        ).total.sum()

    by_logits, by_scores = jax.grad(total, argnums=(0, 1))(logits, scores)
    assert (by_scores != 0).all()
    assert ((jnp.abs(by_logits).sum((-2, -1)) > 0).sum(-1) == 1).all()


def test_a_mask_that_is_no_candidate_is_never_chosen():
    logits, scores, targets, inside, candidates = random_case(3)
    perfect = jnp.where(targets, 50.0, -50.0)
    logits = logits.at[:, :, 0].set(perfect)
    without = candidates.at[:, :, 0].set(False)
    loss = prompt_loss(logits, scores, targets, inside, candidates, LossConfig())
    assert (loss.iou == 1).all()
    loss = prompt_loss(logits, scores, targets, inside, without, LossConfig())
    assert (loss.iou < 1).all()


def test_the_score_is_compared_with_the_iou_of_the_thresholded_mask():
    target = jnp.array([[True, True, False, False]])[None, None]
    # Two pixels above zero, one of them right: intersection 1, union 3.
    logits = jnp.array([[[[[0.1, -9.0, 0.1, -9.0]]]]])
    loss = prompt_loss(
        logits,
        jnp.array([[[0.5]]]),
        target,
        jnp.ones((1, 1, 4), bool),
        jnp.ones((1, 1, 1), bool),
        LossConfig(),
    )
    assert loss.iou.item() == pytest.approx(1 / 3)
    assert loss.iou_error.item() == pytest.approx((0.5 - 1 / 3) ** 2)


def test_padding_does_not_count():
    logits, scores, targets, inside, candidates = random_case(4)
    config = LossConfig()
    padded = [((0, 0),) * (x.ndim - 2) + ((0, 3), (0, 2)) for x in (logits, targets)]
    wide = jnp.pad(logits, padded[0], constant_values=7.0)
    loss = prompt_loss(
        wide,
        scores,
        jnp.pad(targets, padded[1]),
        jnp.pad(inside, ((0, 0), (0, 3), (0, 2))),
        candidates,
        config,
    )
    plain = prompt_loss(logits, scores, targets, inside, candidates, config)
    for ours, expected in zip(loss, plain, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def halves(channels=8):
    """Two images whose left and right halves point elsewhere, and masks of them."""
    directions = jax.random.normal(jax.random.key(0), (2, 1, 2, channels))
    embeddings = jnp.repeat(jnp.repeat(directions, 2, 2), 4, 1)
    left = jnp.broadcast_to(jnp.arange(16) < 8, (2, 1, 16, 16))
    return embeddings, left, jnp.ones((2, 16, 16), bool)


def test_grouping_is_learnt_when_patches_of_a_mask_point_one_way_and_others_elsewhere():
    embeddings, left, inside = halves()
    opposite = embeddings.at[:, :, 2:].set(-embeddings[:, :, :2])
    good = grouping_loss(opposite, left, inside)
    alike = grouping_loss(jnp.ones_like(embeddings), left, inside)
    assert good.shape == (2, 1) and (good < 0.01).all() and (alike > 1).all()
    # Lengths do not matter, only directions.
    longer = grouping_loss(3 * opposite, left, inside)
    np.testing.assert_allclose(longer, good, rtol=1e-4)
    nothing = grouping_loss(opposite, jnp.zeros_like(left), inside)
    assert jnp.isfinite(nothing).all()


def test_a_mask_of_one_patch_counts_as_much_as_all_the_rest():
    embeddings, _, inside = halves()
    one = jnp.zeros((2, 1, 16, 16), bool).at[:, :, :4, :4].set(True)
    # Alike all over: the logit is 5 everywhere, right for one patch, wrong for 15.
    loss = grouping_loss(jnp.ones_like(embeddings), one, inside)
    expected = (np.log1p(np.exp(-5)) + np.log1p(np.exp(5))) / 2
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_grouping_ignores_the_padding_and_counts_half_covered_patches_by_half():
    embeddings, left, inside = halves()
    padded = inside.at[:, 8:].set(False)
    noisy = embeddings.at[:, 2:].set(jax.random.normal(jax.random.key(1), (2, 2, 4, 8)))
    np.testing.assert_allclose(
        grouping_loss(noisy, left & padded[:, None], padded),
        grouping_loss(embeddings, left & padded[:, None], padded),
        rtol=1e-5,
    )
    half = jnp.broadcast_to(jnp.arange(16) < 2, (2, 1, 16, 16))
    alike = grouping_loss(jnp.ones_like(embeddings), half, inside)
    expected = (np.log1p(np.exp(-5)) + np.log1p(np.exp(5))) / 2
    np.testing.assert_allclose(alike, expected, rtol=1e-4)


def test_gradients_of_grouping_are_finite_where_nothing_is():
    _, left, inside = halves()
    slope = jax.grad(lambda e: grouping_loss(e, left, inside).sum())
    assert jnp.isfinite(slope(jnp.zeros((2, 4, 4, 8)))).all()


def test_iou_of_two_empty_masks_is_zero_and_not_nan():
    empty = jnp.zeros((2, 2), bool)
    assert mask_iou(empty, empty) == 0
    assert mask_iou(~empty, ~empty) == 1


def test_the_mean_over_valid_ignores_what_is_not_valid():
    values = jnp.array([[1.0, jnp.nan], [3.0, jnp.inf]])
    valid = jnp.array([[True, False], [True, False]])
    assert mean_over_valid(values, valid) == 2
    assert mean_over_valid(values, jnp.zeros((2, 2), bool)) == 0
