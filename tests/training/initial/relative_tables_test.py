"""Relative position tables between stages of different input sizes."""

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from samjax.models import SamConfig
from samjax.training.initial.relative_tables import fill_relative_tables

CONFIG = SamConfig(
    image_size=128,
    patch_size=8,
    embed_dim=8,
    depth=2,
    num_heads=2,
    global_attention_blocks=(1,),
    window_size=4,
)


def tables(rows: int) -> dict:
    """Tables of both blocks whose entries are a smooth function of distance."""
    distance = np.linspace(-1, 1, rows)[:, None] * np.ones((1, 4))
    windowed = np.linspace(-1, 1, 7)[:, None] * np.ones((1, 4))
    return unflatten_dict(
        {
            ("image_encoder", f"blocks_{block}", "attn", name): jnp.asarray(
                table, jnp.float32
            )
            for block, table in ((0, windowed), (1, distance))
            for name in ("rel_pos_h", "rel_pos_w")
        }
    )


def test_untouched_rows_take_the_values_between_trained_ones():
    smooth = tables(31)

    def sampled(table):
        return jax.image.resize(table, (7, 4), "linear", antialias=False)

    # Only rows that an input of 32 pixels reads are trained; the rest are rubbish.
    attention = smooth["image_encoder"]["blocks_1"]["attn"]
    read = jax.jacobian(lambda t: sampled(t).sum(1))(attention["rel_pos_h"])
    is_read = np.abs(np.asarray(read)).sum((0, 2)) > 0
    assert 7 <= is_read.sum() < 31
    attention["rel_pos_h"] = jnp.where(is_read[:, None], attention["rel_pos_h"], 9.0)

    filled = fill_relative_tables(smooth, CONFIG, 32)
    table = filled["image_encoder"]["blocks_1"]["attn"]["rel_pos_h"]
    expected = tables(31)["image_encoder"]["blocks_1"]["attn"]["rel_pos_h"]
    # Beyond the outermost sample the table is flat, as interpolation has it.
    np.testing.assert_allclose(table[3:-3], expected[3:-3], atol=0.02)
    assert np.abs(table).max() < 1.1


def test_windows_and_the_own_size_are_left_alone():
    params = tables(31)
    filled = flatten_dict(fill_relative_tables(params, CONFIG, 32))
    for path, table in flatten_dict(params).items():
        if "blocks_0" in path:
            np.testing.assert_array_equal(filled[path], table)
    assert fill_relative_tables(params, CONFIG, 128) is params
