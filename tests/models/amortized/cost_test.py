"""The products of the amortized decoder, traced and counted by hand."""

import dataclasses

import pytest

from samjax.models import SIZES
from samjax.models.amortized.cost import prompt_multiply_adds
from samjax.training.runtime import flops


@pytest.mark.parametrize(("depth", "points"), [(1, 2), (2, 2), (3, 5)])
def test_every_product_of_prompts_over_a_prepared_image_is_counted(depth, points):
    config = dataclasses.replace(SIZES["vit_b"], decoder_depth=depth)
    traced = prompt_multiply_adds(config, 256, 8, points)
    counted = 8 * by_hand(config, 16**2, config.num_multimask_outputs + 2 + points)
    # Left out: the products of vectors of tokens with each other, in the variance, and
    # what projecting them for drawing takes.
    assert counted <= traced < 1.05 * counted


def test_prompts_over_a_prepared_image_cost_less_than_written_out():
    config = SIZES["vit_b"]
    written_out = flops.prompt_multiply_adds(config, 1024, 64, 2, has_mask=False)
    assert prompt_multiply_adds(config, 1024, 64, 2) < 0.6 * written_out


def test_the_count_grows_with_the_prompts_and_leaves_out_the_image():
    config = SIZES["tiny"]
    counts = [prompt_multiply_adds(config, 256, sets, 2) for sets in (1, 8)]
    assert counts[1] == pytest.approx(8 * counts[0], rel=1e-6)


def by_hand(config, positions, tokens):
    """Multiply-adds of one prompt set of `tokens` tokens."""
    channels, heads = config.prompt_embed_dim, config.decoder_num_heads
    inner, columns = channels // 2, heads * tokens
    # With the embedding, by head; and with the weights of one layer.
    shared, own = positions * tokens * inner, positions * columns**2
    # Queries, keys, values and sums of tokens, of an attention to or from the image.
    of_tokens = 2 * tokens * channels * inner
    # Values of a layer, and a constant, through a projection; and these with tokens.
    projected = columns * (inner // heads + 1) * inner
    met = columns * tokens * inner
    self_attention = 4 * tokens * channels**2 + 2 * tokens**2 * channels
    total = 0
    for layer in range(config.decoder_depth + 1):
        # Keys and values. Later image sides have another scale than the positions.
        scaled = 1 if layer else 0
        total += (2 + scaled) * shared + 2 * layer * (own + projected + met) + of_tokens
        if layer == config.decoder_depth:
            break
        total += self_attention + 2 * tokens * channels * config.decoder_mlp_dim
        total += (1 + scaled) * shared + layer * (own + projected + met) + of_tokens
        # The variance: with the embedding, and of every two layers.
        total += (layer + 1) * (shared + positions * columns)
        total += (layer + 1) * (layer + 2) // 2 * own
    total += config.decoder_depth * columns * channels * positions
    # The second upscaling, 16 pixels a position for every mask, and the small MLPs.
    masks = config.num_multimask_outputs + 1
    total += positions * (channels**2 // 2) + 16 * positions * masks * (channels // 8)
    total += masks * (2 * channels**2 + channels * (channels // 8))
    return total + 2 * channels**2 + channels * masks
