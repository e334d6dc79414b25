import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from samjax.models import ABSENT, BACKGROUND, BOX_TOP_LEFT, FOREGROUND, MaskPrediction
from samjax.training.prompt_draws import keys_of_targets
from samjax.training.prompt_simulation import (
    PromptSimulationConfig,
    correction_slot,
    simulate_prompts,
)
from samjax.training.targets import make_targets

SIZE, LOW = 16, 8


def random_targets(number=6, seed=0):
    masks = np.random.default_rng(seed).random((2, number, SIZE, SIZE)) < 0.3
    return make_targets(
        jnp.asarray(masks),
        jnp.ones((2, number), bool),
        jnp.full((2, 2), SIZE),
        "image",
        (LOW, LOW),
    )


def predict(logits, scores=(0.0, 1.0, 2.0, 3.0)):
    """A prediction with the same logits for all four masks."""
    logits = jnp.broadcast_to(logits[:, :, None], (*logits.shape[:2], 4, LOW, LOW))
    shape = logits.shape[:3]
    scores = jnp.broadcast_to(jnp.array(scores).reshape(1, 1, 4), shape)
    return MaskPrediction(logits, scores)


class Recorder:
    """A decoder that answers at random and remembers what it was asked."""

    def __init__(self, targets):
        self.shape = targets.valid.shape
        self.asked = []
        self.answered = []

    def __call__(self, prompts):
        key = jax.random.key(prompts.labels.shape[-1])
        if prompts.masks is not None:
            key = jax.random.fold_in(
                key, jnp.abs(prompts.masks.sum() * 1e3).astype(int)
            )
        logits = jax.random.normal(key, (*self.shape, 4, LOW, LOW))
        scores = jax.random.uniform(key, (*self.shape, 4))
        jax.debug.callback(
            lambda *arrays: self._remember(*map(np.asarray, arrays)),
            prompts.points,
            prompts.labels,
            jnp.zeros(()) if prompts.masks is None else prompts.masks,
            logits,
            scores,
            ordered=True,
        )
        return MaskPrediction(logits, scores)

    def _remember(self, points, labels, masks, logits, scores):
        self.asked.append((points, labels, masks))
        self.answered.append((logits, scores))


def record(config, targets, judge=lambda logits, scores, allowed: scores.sum()):
    recorder = Recorder(targets)
    verdicts = simulate_prompts(
        recorder, judge, targets, keys_of_targets(jax.random.key(0), targets), config
    )
    jax.effects_barrier()
    return recorder, verdicts


@pytest.fixture(scope="module")
def recorded():
    targets = random_targets(number=300)
    config = PromptSimulationConfig(remat=False)
    return targets, *record(config, targets)


def test_the_default_has_the_eleven_rounds_of_the_paper(recorded):
    _, recorder, verdicts = recorded
    assert PromptSimulationConfig().num_rounds == 11
    assert len(recorder.asked) == 11 and verdicts.shape == (11,)


def test_the_first_prompt_is_a_point_or_a_box_with_equal_chance(recorded):
    _, recorder, _ = recorded
    is_box = recorder.asked[0][1][..., 0] == BOX_TOP_LEFT
    assert stats.binomtest(int(is_box.sum()), is_box.size, 0.5).pvalue > 1e-3


def test_every_round_adds_one_point_but_a_random_one_and_the_last(recorded):
    _, recorder, _ = recorded
    tokens = np.stack([(labels != ABSENT).sum(-1) for _, labels, _ in recorder.asked])
    added = np.diff(tokens, axis=0)
    assert (tokens[0] == 2).all() and (tokens[-1] == 2 + 8).all()
    assert np.isin(added, (0, 1)).all()
    assert (added[-1] == 0).all()
    assert ((added[:-1] == 0).sum(0) == 1).all()
    place = (added[:-1] == 0).argmax(0)
    assert place.max() == 7
    assert stats.chisquare(np.bincount(place.ravel(), minlength=8)).pvalue > 1e-3


def test_earlier_prompts_stay(recorded):
    _, recorder, _ = recorded
    for earlier, later in zip(recorder.asked[1:], recorder.asked[2:], strict=False):
        used = earlier[1] != ABSENT
        np.testing.assert_array_equal(earlier[0][used], later[0][used])
        np.testing.assert_array_equal(earlier[1][used], later[1][used])


def test_the_mask_with_the_highest_score_is_fed_back_as_logits(recorded):
    _, recorder, _ = recorded
    assert recorder.asked[0][2].shape == ()
    for i in range(1, 11):
        logits, scores = recorder.answered[i - 1]
        if i == 1:
            best = 1 + scores[:, :, 1:].argmax(-1)
        else:
            best = np.zeros(scores.shape[:2], int)
        expected = np.take_along_axis(logits, best[..., None, None, None], 2)[:, :, 0]
        np.testing.assert_array_equal(recorder.asked[i][2], expected)


def test_corrections_lie_in_the_error_of_the_mask_that_is_fed_back(recorded):
    targets, recorder, _ = recorded
    masks = np.asarray(targets.masks)
    for i in range(1, 11):
        points, labels, mask = recorder.asked[i]
        before = recorder.asked[i - 1][1]
        before = np.pad(
            before,
            ((0, 0), (0, 0), (0, labels.shape[-1] - before.shape[-1])),
            constant_values=ABSENT,
        )
        predicted = jax.image.resize(jnp.asarray(mask), masks.shape, "bilinear") > 0
        error = np.asarray(predicted) ^ masks
        for image, k, slot in np.argwhere(labels != before):
            x, y = points[image, k, slot].astype(int)
            assert error[image, k, y, x]
            is_missed = masks[image, k, y, x]
            assert labels[image, k, slot] == (FOREGROUND if is_missed else BACKGROUND)


def test_the_place_of_the_random_refinement_is_before_a_correction():
    config = PromptSimulationConfig(correction_points=3)
    slots = [
        [int(correction_slot(jnp.array(i), jnp.array([[place]]), config)[0, 0])]
        for place in range(3)
        for i in range(5)
    ]
    assert np.array(slots).reshape(3, 5).tolist() == [
        [-1, 0, 1, 2, -1],
        [0, -1, 1, 2, -1],
        [0, 1, -1, 2, -1],
    ]


@pytest.mark.parametrize(
    ("corrections", "at_random", "at_end"),
    [(0, False, False), (0, True, True), (1, False, False), (3, True, False)],
)
def test_cheaper_rounds_are_a_matter_of_options(corrections, at_random, at_end):
    targets = random_targets(number=2)
    config = PromptSimulationConfig(
        correction_points=corrections,
        refine_at_random=at_random,
        refine_at_end=at_end,
        remat=False,
    )
    recorder, verdicts = record(config, targets)
    assert len(verdicts) == 1 + corrections + at_random + at_end == config.num_rounds
    last = recorder.asked[-1][1]
    assert ((last != ABSENT).sum(-1) == 2 + corrections).all()


def judge_iou(targets):
    def judge(logits, scores, allowed):
        predicted, masks = logits > 0, targets.masks[:, :, None]
        both = (predicted & masks).sum((-2, -1))
        return both / (predicted | masks).sum((-2, -1))

    return judge


def test_a_decoder_that_knows_the_answer_is_never_corrected():
    masks = jnp.zeros((1, 3, SIZE, SIZE), bool).at[:, :, 4:12, 2:10].set(True)
    targets = make_targets(
        masks, jnp.ones((1, 3), bool), jnp.full((1, 2), SIZE), "logits", (LOW, LOW)
    )
    truth = jnp.where(targets.masks, 9.0, -9.0)
    seen = []

    def oracle(prompts):
        jax.debug.callback(
            lambda labels: seen.append(np.asarray(labels)), prompts.labels, ordered=True
        )
        return predict(truth)

    config = PromptSimulationConfig(
        empty_error="none", multimask_corrections=True, remat=False
    )
    ious = simulate_prompts(
        oracle,
        judge_iou(targets),
        targets,
        keys_of_targets(jax.random.key(0), targets),
        config,
    )
    jax.effects_barrier()
    assert ious.shape[0] == 11 and (ious == 1).all()
    assert ((seen[-1] != ABSENT).sum(-1) == 2).all()


def test_a_decoder_that_copies_its_clicks_is_right_after_enough_of_them():
    # Two coarse pixels of target: the first click gets one, the correction the other.
    masks = jnp.zeros((1, 8, SIZE, SIZE), bool).at[:, :, 4:6, 4:8].set(True)
    targets = make_targets(
        masks, jnp.ones((1, 8), bool), jnp.full((1, 2), SIZE), "logits", (LOW, LOW)
    )

    def paint(prompts):
        cell = (prompts.points / 2).astype(int)
        is_point = prompts.labels == FOREGROUND
        rows = jax.nn.one_hot(jnp.where(is_point, cell[..., 1], -1), LOW)
        columns = jax.nn.one_hot(cell[..., 0], LOW)
        painted = jnp.einsum("bkny,bknx->bkyx", rows, columns)
        return predict(jnp.where(painted > 0, 5.0, -5.0))

    config = PromptSimulationConfig(
        correction_points=1,
        box_probability=0.0,
        refine_at_random=False,
        refine_at_end=False,
    )
    ious = simulate_prompts(
        paint,
        lambda *args: judge_iou(targets)(*args)[..., 0],
        targets,
        keys_of_targets(jax.random.key(0), targets),
        config,
    )
    np.testing.assert_array_equal(ious[0], 0.5)
    np.testing.assert_array_equal(ious[1], 1.0)


@pytest.mark.parametrize(("corrections", "later"), [(False, 1), (True, 3)])
def test_three_masks_answer_the_first_prompt_and_one_the_others(corrections, later):
    targets = random_targets(number=2)
    config = PromptSimulationConfig(
        correction_points=1, remat=False, multimask_corrections=corrections
    )
    answers = []

    def judge(logits, scores, allowed):
        answers.append(logits.shape[2])
        assert allowed.shape == scores.shape
        return allowed.all()

    _, verdicts = record(config, targets, judge)
    assert answers == [3, later] and verdicts.all()


def test_everything_is_taught_and_the_same_masks_are_fed_back_if_asked():
    targets = random_targets(number=3)
    judged = []

    def judge(logits, scores, allowed):
        judged.append(logits.shape[2])
        return jnp.where(allowed.all(), jnp.float32(logits.shape[2]), jnp.nan)

    rounds = {"correction_points": 2, "refine_at_random": False, "remat": False}
    plain, _ = record(PromptSimulationConfig(**rounds), targets)
    config = PromptSimulationConfig(**rounds, teach_all=True)
    recorder, verdicts = record(config, targets, judge)
    # The first round and the scanned ones: each judges the one mask and the three.
    assert judged == [1, 3, 1, 3]
    np.testing.assert_array_equal(verdicts, np.full(4, (1 + 3) / 2))
    jax.tree.map(np.testing.assert_array_equal, recorder.asked, plain.asked)


def test_a_box_may_be_answered_by_the_single_mask():
    targets = random_targets(number=50)
    config = PromptSimulationConfig(
        correction_points=0,
        refine_at_random=False,
        refine_at_end=False,
        multimask_box=False,
        remat=False,
    )
    recorder, (allowed,) = record(
        config, targets, lambda logits, scores, allowed: allowed
    )
    is_box = recorder.asked[0][1][..., 0] == BOX_TOP_LEFT
    np.testing.assert_array_equal(allowed[..., 0], is_box)
    for i in (1, 2, 3):
        np.testing.assert_array_equal(allowed[..., i], ~is_box)


@pytest.mark.parametrize(("stop", "expected"), [(True, 4.0), (False, 10.0)])
def test_the_gradient_passes_the_mask_that_is_fed_back_only_if_asked(stop, expected):
    targets = random_targets(number=1)
    config = PromptSimulationConfig(
        correction_points=3,
        refine_at_random=False,
        refine_at_end=False,
        stop_gradient=stop,
    )

    @jax.grad
    def slope(theta):
        def decode(prompts):
            logits = jnp.full((2, 1, LOW, LOW), theta)
            if prompts.masks is not None:
                logits = logits + prompts.masks
            return predict(logits)

        rounds = simulate_prompts(
            decode,
            lambda logits, *_: logits[:, :, 0].mean(),
            targets,
            keys_of_targets(jax.random.key(0), targets),
            config,
        )
        return rounds.sum()

    # Round t sees theta once of its own, and t times more through what was fed back.
    assert slope(0.1) == pytest.approx(expected, rel=1e-5)


def test_recomputing_rounds_changes_neither_values_nor_gradients():
    targets = random_targets(number=3)

    def run(theta, remat):
        def decode(prompts):
            mean = prompts.points.mean((-2, -1))[..., None, None]
            return predict(jnp.sin(theta * mean * jnp.ones((2, 3, LOW, LOW))))

        config = PromptSimulationConfig(correction_points=2, remat=remat)
        rounds = simulate_prompts(
            decode,
            lambda logits, *_: jnp.square(logits).mean(),
            targets,
            keys_of_targets(jax.random.key(0), targets),
            config,
        )
        return rounds.sum()

    values = [
        jax.jit(jax.value_and_grad(run), static_argnums=1)(0.3, remat)
        for remat in (False, True)
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)


def test_senseless_options_are_refused():
    with pytest.raises(ValueError, match="correction_points=-1"):
        PromptSimulationConfig(correction_points=-1)
    with pytest.raises(ValueError, match="box_probability=1.5"):
        PromptSimulationConfig(box_probability=1.5)
