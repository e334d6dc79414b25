"""Rounds of prompts with text: the text first and alone, then points beside it."""

import jax
import jax.numpy as jnp
import numpy as np
from small_text_sam import SMALL_TEXT, random_params
from training.discs import disc_batch

from samjax.models import ABSENT, NOT_A_POINT, MaskPrediction
from samjax.models.text_sam import TextSam
from samjax.training.finetune.trainable import merge_params, split_params
from samjax.training.prompt_simulation import PromptSimulationConfig, simulate_prompts
from samjax.training.step import StepConfig, batch_loss
from samjax.training.targets import make_targets

ROUNDS = PromptSimulationConfig(
    correction_points=2, refine_at_random=False, refine_at_end=False, remat=False
)


def test_a_text_is_first_and_alone_and_stays_when_points_come():
    batch = disc_batch(0)
    text = jnp.arange(12.0).reshape(2, 2, 3)
    targets = make_targets(batch.masks, batch.valid, batch.sizes, "image", (8, 8))
    seen = []

    def decode(prompts):
        seen.append(prompts)
        return MaskPrediction(jnp.zeros((2, 2, 4, 8, 8)), jnp.zeros((2, 2, 4)))

    def loss(logits, scores, allowed):
        return jnp.broadcast_to(allowed, scores.shape).sum(-1)

    with jax.disable_jit():
        allowed = simulate_prompts(
            decode,
            loss,
            targets._replace(text=text),
            jax.random.split(jax.random.key(0), (2, 2)),
            ROUNDS,
        )
    first, *later = seen
    assert np.unique(first.labels[..., 0]).tolist() == [NOT_A_POINT]
    assert np.unique(first.labels[..., 1:]).tolist() == [ABSENT]
    assert first.masks is None and len(later) == 2
    for count, prompts in enumerate(later, 1):
        assert ((prompts.labels >= 0).sum(-1) == count).all()
        assert prompts.masks is not None
    for prompts in seen:
        np.testing.assert_array_equal(prompts.text, text)
    # Three masks for a text alone, one after that.
    assert (allowed[0] == 3).all() and (allowed[1:] == 1).all()


def test_the_projection_learns_and_the_text_tower_does_not():
    batch = disc_batch(0, size=64)
    generator = np.random.default_rng(0)
    text = generator.standard_normal((2, 2, 12), np.float32)
    config = StepConfig(
        prompts=ROUNDS, resolution="logits", trainable="decoder_and_prompts"
    )
    trained, frozen = split_params(
        jax.tree.map(jnp.asarray, random_params()), "decoder_and_prompts"
    )
    assert "text_encoder" in frozen and "text_encoder" not in trained

    @jax.jit
    def loss(trained, text):
        params = merge_params(trained, frozen)
        key, model = jax.random.key(1), TextSam(SMALL_TEXT)
        return batch_loss(params, batch._replace(text=text), key, model, config)[0]

    value, gradients = jax.value_and_grad(loss)(trained, text)
    projection = gradients["prompt_encoder"]["text_projection"]
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(projection))
    assert abs(loss(trained, text + 1) - value) > 1e-6
