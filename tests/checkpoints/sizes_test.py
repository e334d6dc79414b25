"""A model's sizes are read from its tensors' shapes."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.checkpoints import CheckpointError, config_from_shapes
from samjax.checkpoints.sizes import config_from_json, config_to_json
from samjax.models import SIZES, VIT_B, SamConfig
from samjax.models.weight_map import entries


def shapes_of(config: SamConfig) -> dict[str, tuple[int, ...]]:
    return {entry.released: entry.shape for entry in entries(config)}


@pytest.mark.parametrize("name", SIZES)
def test_released_sizes_are_read_from_their_shapes(name):
    assert config_from_shapes(shapes_of(SIZES[name])) == SIZES[name]


@st.composite
def configs(draw):
    """Fields of any config of which every one shows in some shape.

    Only the fields: building a config draws random numbers of its own for checking
    types, which a strategy must not.
    """
    depth = draw(st.integers(2, 5))
    heads = draw(st.integers(1, 3))
    windowed = draw(st.integers(0, depth - 1))
    blocks = st.sets(st.integers(0, depth - 1).filter(lambda block: block != windowed))
    patch, grid = draw(st.integers(1, 20)), draw(st.integers(3, 70))
    return {
        "image_size": patch * grid,
        "patch_size": patch,
        "embed_dim": heads * draw(st.integers(1, 40)),
        "depth": depth,
        "num_heads": heads,
        "global_attention_blocks": tuple(sorted(draw(blocks))),
        "window_size": draw(st.integers(1, grid - 1)),
        "mlp_ratio": float(draw(st.integers(1, 5))),
        "prompt_embed_dim": draw(st.integers(1, 5)) * 16,
        "mask_in_chans": draw(st.integers(1, 5)) * 4,
        "decoder_depth": draw(st.integers(1, 3)),
        "decoder_mlp_dim": draw(st.integers(1, 3000)),
        "num_multimask_outputs": draw(st.integers(1, 4)),
        "final_norm": draw(st.booleans()),
    }


@settings(max_examples=25)
@given(fields=configs())
def test_any_sizes_are_read_from_their_shapes(fields):
    config = SamConfig(**fields)
    assert config_from_shapes(shapes_of(config)) == config


@settings(max_examples=25)
@given(data=st.data())
def test_one_wrong_tensor_does_not_change_the_sizes_of_a_released_model(data):
    shapes = shapes_of(VIT_B)
    wrong = data.draw(st.sampled_from(sorted(shapes)))
    shapes[wrong] = tuple(data.draw(st.lists(st.integers(0, 3000), max_size=5)))
    try:
        assert config_from_shapes(shapes) == VIT_B
    except CheckpointError as error:
        # Where a single tensor shows a size, the loss of it is the problem named.
        assert "no tensor shows" in str(error)


@settings(max_examples=25)
@given(width=st.integers(1, 2000), hidden=st.integers(1, 9000))
def test_mlp_widths_that_are_no_multiple_come_back_exactly(width, hidden):
    shapes = shapes_of(dataclasses.replace(VIT_B, embed_dim=width, num_heads=1))
    for name in shapes:
        if name.endswith("mlp.lin1.bias") and "blocks" in name:
            shapes[name] = (hidden,)
    config = config_from_shapes(shapes)
    assert int(config.embed_dim * config.mlp_ratio) == hidden


def test_a_model_of_windows_only_and_one_of_global_blocks_only():
    windows = dataclasses.replace(VIT_B, global_attention_blocks=())
    assert config_from_shapes(shapes_of(windows)) == windows
    everywhere = dataclasses.replace(VIT_B, global_attention_blocks=tuple(range(12)))
    assert config_from_shapes(shapes_of(everywhere)) == everywhere


def test_shapes_of_nothing_are_refused():
    with pytest.raises(CheckpointError, match="no tensor shows embed_dim"):
        config_from_shapes({})
    with pytest.raises(CheckpointError, match="no tensor shows"):
        config_from_shapes({"image_encoder.blocks.999999.norm1.weight": (3,)})


def test_a_width_that_its_heads_do_not_divide_is_refused():
    shapes = shapes_of(VIT_B)
    for name in shapes:
        if "rel_pos" in name:
            shapes[name] = (shapes[name][0], 50)
    with pytest.raises(CheckpointError, match="768 is no multiple of head_dim 50"):
        config_from_shapes(shapes)


@given(fields=configs())
def test_configs_survive_json(fields):
    config = SamConfig(**fields)
    assert config_from_json(config_to_json(config)) == config


def test_released_sizes_are_written_as_before_there_was_a_final_norm():
    assert "final_norm" not in config_to_json(VIT_B)
    assert set(dataclasses.asdict(VIT_B)) - set(VIT_B.as_fields()) == {"final_norm"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": "12"}, "depth"),
        ({"depth": True}, "depth"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 10**9}, "depth is 1000000000"),
        ({"embed_dim": -768}, "embed_dim is -768"),
        ({"num_heads": 7}, "multiple of 7"),
        ({"global_attention_blocks": [99]}, "below the depth 12"),
        ({"global_attention_blocks": ["a"]}, "global_attention_blocks"),
        ({"global_attention_blocks": 3}, "global_attention_blocks"),
        ({"text_tower": 1}, "unknown field 'text_tower': update samjax"),
        ({"embed_dim": None}, "embed_dim"),
        ({"final_norm": 1}, "final_norm"),
    ],
)
def test_configs_that_no_model_could_have_are_refused(change, message):
    values = dataclasses.asdict(VIT_B) | change
    with pytest.raises(CheckpointError, match=message):
        config_from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "1" * 10_000])
def test_configs_that_are_no_json_object_are_refused(text):
    with pytest.raises(CheckpointError, match="JSON object"):
        config_from_json(text)


def test_a_config_without_sizes_names_every_one():
    with pytest.raises(CheckpointError) as error:
        config_from_json("{}")
    assert len(error.value.problems) == 4
