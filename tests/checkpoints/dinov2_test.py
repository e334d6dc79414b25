"""DINOv2 encoders, as published but small, become image encoders."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from checkpoints.mae_test import write as write_pth
from checkpoints.small_dinov2 import (
    CONFIG,
    PATCH,
    SAID,
    SIDE,
    WIDTH,
    draw,
    official,
    write_folder,
)
from conftest import random_params
from flax.traverse_util import flatten_dict

from samjax.checkpoints import CheckpointError
from samjax.checkpoints.dinov2 import load_dinov2_encoder
from samjax.checkpoints.plain_vit import cubic_matrix
from samjax.models import Sam, SamConfig
from samjax.models.image_encoder import PatchEmbed


@pytest.fixture
def arrays(rng):
    """An encoder under the names of transformers, every number random."""
    return draw(rng)


def fresh_of(config):
    """Parameters in which nothing is zero."""
    shapes = random_params(Sam(config), seed=0)
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), shapes)


@pytest.fixture(scope="module")
def fresh():
    return fresh_of(CONFIG)


@pytest.fixture
def folder(tmp_path, arrays):
    return write_folder(tmp_path / "dinov2", arrays)


@pytest.fixture
def loaded(folder, fresh):
    return load_dinov2_encoder(folder, fresh, CONFIG)


def assert_equal(one, other):
    one, other = (flatten_dict(tree, sep="/") for tree in (one, other))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], name)


def test_everything_in_the_encoder_but_its_neck_comes_from_the_file(loaded, fresh):
    before = flatten_dict(fresh, sep="/")
    assert "image_encoder/norm/scale" in before
    for name, leaf in flatten_dict(loaded, sep="/").items():
        from_file = name.startswith("image_encoder/") and "neck" not in name
        assert leaf.shape == before[name].shape and leaf.dtype == jnp.float32
        if "rel_pos" in name:
            assert not leaf.any(), name
        elif from_file:
            assert not (leaf == 0.5).any() and leaf.any(), name
        else:
            np.testing.assert_array_equal(leaf, before[name])
    assert all((leaf == 0.5).all() for leaf in jax.tree.leaves(fresh))


def tokens_of(params, config, pixels):
    """The image encoder's tokens before its neck."""
    _, captured = Sam(config).apply(
        {"params": params},
        jnp.asarray(pixels),
        method="encode_image",
        capture_intermediates=lambda module, _: module.name == "norm",
        mutable=["intermediates"],
    )
    (found,) = captured["intermediates"]["image_encoder"]["norm"]["__call__"]
    return np.asarray(found).reshape(len(pixels), -1, config.embed_dim)


def reference_of(folder):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model, report = transformers.Dinov2Model.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report[f"{kind}_keys"] for kind in ("missing", "unexpected"))
    return model.eval()


@pytest.mark.parity
@pytest.mark.parametrize(("side", "strength"), [(SIDE, 1.0), (8, 1.0), (SIDE, 0.02)])
def test_tokens_are_those_of_dinov2_without_its_class_token(
    tmp_path, arrays, side, strength
):
    """Also where tokens are faint, so that the norms' epsilon shows."""
    for name in arrays:
        if name.startswith("embeddings."):
            arrays[name] = arrays[name] * np.float32(strength)
    folder = write_folder(tmp_path / "dinov2", arrays)
    torch = pytest.importorskip("torch")
    model = reference_of(folder)
    config = dataclasses.replace(CONFIG, image_size=side * PATCH)
    params = load_dinov2_encoder(folder, fresh_of(config), config)
    pixels = np.random.default_rng(0).standard_normal(
        (2, side * PATCH, side * PATCH, 3), np.float32
    )
    with torch.no_grad():
        tokens = model.embeddings(torch.tensor(pixels.transpose(0, 3, 1, 2)))[:, 1:]
        found = model.encoder(tokens).last_hidden_state
        theirs = model.layernorm(found).numpy()
    ours = tokens_of(params, config, pixels)
    difference = np.abs(ours - theirs).max() / np.sqrt(np.mean(np.square(theirs)))
    assert difference < 2e-5


@pytest.mark.parity
def test_positions_are_resized_as_pytorch_does(arrays, folder):
    torch = pytest.importorskip("torch")
    table = arrays["embeddings.position_embeddings"][:, 1:]
    grid = torch.tensor(table).reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2)
    for side in (SIDE, 4, 9):
        config = dataclasses.replace(CONFIG, image_size=side * PATCH)
        ours = load_dinov2_encoder(folder, fresh_of(config), config)
        theirs = torch.nn.functional.interpolate(
            grid, (side, side), mode="bicubic", align_corners=False
        ).permute(0, 2, 3, 1)
        np.testing.assert_allclose(
            ours["image_encoder"]["pos_embed"], theirs.numpy(), atol=1e-6
        )


def test_a_resized_patch_makes_the_token_that_the_patch_made(arrays, folder, rng):
    config = dataclasses.replace(CONFIG, patch_size=16, image_size=SIDE * 16)
    params = load_dinov2_encoder(folder, fresh_of(config), config)["image_encoder"]
    patches = rng.standard_normal((4, PATCH, PATCH, 3))
    enlarge = cubic_matrix(PATCH, 16)
    enlarged = np.einsum("yi,xj,bijc->byxc", enlarge, enlarge, patches)
    ours = PatchEmbed(16, WIDTH, jnp.float32).apply(
        {"params": params["patch_embed"]}, jnp.asarray(enlarged, jnp.float32)
    )
    kernel, bias = (
        arrays[f"embeddings.patch_embeddings.projection.{leaf}"]
        for leaf in ("weight", "bias")
    )
    expected = np.einsum("bijc,dcij->bd", patches, kernel) + bias
    np.testing.assert_allclose(np.asarray(ours)[:, 0, 0], expected, atol=1e-4)


def test_layer_scale_is_part_of_the_projection_before_it(loaded, arrays):
    block = loaded["image_encoder"]["blocks_1"]
    for ours, theirs, scale in (
        (block["attn"]["proj"], "attention.output.dense", "layer_scale1"),
        (block["mlp"]["lin2"], "mlp.fc2", "layer_scale2"),
    ):
        weight, bias = (
            arrays[f"encoder.layer.1.{theirs}.{leaf}"] for leaf in ("weight", "bias")
        )
        gamma = arrays[f"encoder.layer.1.{scale}.lambda1"]
        np.testing.assert_array_equal(ours["kernel"], weight.T * gamma)
        np.testing.assert_array_equal(ours["bias"], bias * gamma)


def test_queries_keys_and_values_are_joined_in_this_order(loaded, arrays):
    kernel = loaded["image_encoder"]["blocks_2"]["attn"]["qkv"]["kernel"]
    for part, name in zip(np.split(kernel, 3, 1), ("query", "key", "value")):
        weight = arrays[f"encoder.layer.2.attention.attention.{name}.weight"]
        np.testing.assert_array_equal(part, weight.T)


@pytest.mark.parametrize(
    "form", ["file", "pickle", "dinov2.", "dinov2_with_registers.", "pth", "chunks"]
)
def test_every_published_form_gives_the_same(tmp_path, arrays, fresh, loaded, form):
    if form == "file":
        path = tmp_path / "model.safetensors"
        safetensors.numpy.save_file(arrays, path)
    elif form == "pickle":
        path = write_folder(tmp_path / "hf", arrays)
        (path / "model.safetensors").unlink()
        write_pth(path / "pytorch_model.bin", arrays)
    elif form in ("pth", "chunks"):
        block = "blocks.{}." if form == "pth" else "blocks.0.{}."
        path = write_pth(tmp_path / "dinov2.pth", official(arrays, block))
    else:
        around = {form + name: array for name, array in arrays.items()}
        around["classifier.weight"] = np.ones((10, 2 * WIDTH), np.float32)
        path = write_folder(tmp_path / "hf", around, model_type=form[:-1])
    assert_equal(load_dinov2_encoder(path, fresh, CONFIG), loaded)


@pytest.mark.parametrize("naming", ["transformers", "authors"])
def test_registers_are_dropped(tmp_path, arrays, fresh, loaded, naming):
    registers = {"embeddings.register_tokens": np.ones((1, 4, WIDTH), np.float32)}
    if naming == "transformers":
        path = write_folder(
            tmp_path / "registers",
            arrays | registers,
            model_type="dinov2_with_registers",
        )
    else:
        path = write_pth(tmp_path / "registers.pth", official(arrays | registers))
    assert_equal(load_dinov2_encoder(path, fresh, CONFIG), loaded)


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["Dinov2Model", "Dinov2WithRegistersModel"])
def test_folders_that_transformers_writes_are_read(tmp_path, fresh, kind):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = {name: value for name, value in SAID.items() if name != "model_type"}
    config = getattr(transformers, kind.replace("Model", "Config"))(**sizes)
    model = getattr(transformers, kind)(config)
    model.save_pretrained(tmp_path / "folder")
    params = load_dinov2_encoder(tmp_path / "folder", fresh, CONFIG)
    state = model.state_dict()
    kernel = params["image_encoder"]["blocks_0"]["mlp"]["lin1"]["kernel"]
    weight = state["encoder.layer.0.mlp.fc1.weight"].numpy()
    np.testing.assert_array_equal(kernel, weight.T)
    # Other names than in its folders since transformers 5.
    torch.save(state, tmp_path / "state.pth")
    assert_equal(load_dinov2_encoder(tmp_path / "state.pth", fresh, CONFIG), params)


def test_a_model_without_a_final_norm_takes_all_but_that(folder, loaded):
    config = dataclasses.replace(CONFIG, final_norm=False)
    params = load_dinov2_encoder(folder, fresh_of(config), config)
    expected = dict(loaded["image_encoder"])
    del expected["norm"]
    assert_equal(params["image_encoder"], expected)


def refused(path, fresh, config=CONFIG):
    with pytest.raises(CheckpointError) as error:
        load_dinov2_encoder(path, fresh, config)
    assert str(path) in str(error.value)
    return error.value


def in_one_line(error):
    assert "\n" not in str(error)
    return str(error)


def test_what_is_not_there_is_refused_with_where_to_get_it(tmp_path, fresh):
    message = in_one_line(refused(tmp_path / "none", fresh))
    assert "facebook/dinov2-small" in message


def test_another_size_is_refused_by_width_and_depth(folder, fresh):
    larger = dataclasses.replace(CONFIG, embed_dim=32, depth=4)
    message = in_one_line(refused(folder, fresh, larger))
    assert "width 24 and 3 blocks, expected the model's 32 and 4" in message


@pytest.mark.parametrize("naming", ["transformers", "authors"])
def test_the_giant_is_refused_for_its_mlps(tmp_path, arrays, fresh, naming):
    giant = {n: a for n, a in arrays.items() if ".mlp." not in n}
    names = ("weights_in", "weights_out")
    if naming == "authors":
        giant, names = official(giant), ("w12", "w3")
    block = "encoder.layer.0" if naming == "transformers" else "blocks.0"
    for name in names:
        giant[f"{block}.mlp.{name}.weight"] = np.zeros((8, WIDTH), np.float32)
    path = tmp_path / "giant.safetensors"
    safetensors.numpy.save_file(giant, path)
    assert "SwiGLU" in in_one_line(refused(path, fresh))


def test_checkpoints_of_sam_are_sent_the_other_way(tmp_path, fresh, arrays):
    for part in ("image_encoder.", "vision_encoder."):
        path = tmp_path / f"{part}safetensors"
        of_sam = {part + name: array for name, array in official(arrays).items()}
        safetensors.numpy.save_file(of_sam, path)
        assert "without dinov2:" in in_one_line(refused(path, fresh))


def test_masked_autoencoders_are_sent_the_other_way(tmp_path, fresh, arrays):
    mae = {n: a for n, a in official(arrays).items() if ".ls" not in n}
    path = write_pth(tmp_path / "mae.pth", mae)
    assert "goes by mae:" in in_one_line(refused(path, fresh))


def test_any_other_file_is_refused(tmp_path, fresh):
    other = {"conv1.weight": np.zeros((8, 3, 7, 7), np.float32)}
    path = write_pth(tmp_path / "other.pth", other)
    assert "no DINOv2 of a published layout" in in_one_line(refused(path, fresh))


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_files_that_are_cut_off_are_refused(folder, fresh, kept):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert "damaged or cut off" in in_one_line(refused(file, fresh))


def test_heads_that_no_shape_shows_have_to_agree(tmp_path, arrays, fresh):
    folder = write_folder(tmp_path / "hf", arrays, num_attention_heads=4)
    assert refused(folder, fresh).problems == (
        "it has 4 attention heads, expected the model's 2",
    )


def test_published_sizes_have_heads_of_64_where_no_config_says_so(tmp_path, fresh):
    config = SamConfig(
        embed_dim=384, depth=1, num_heads=4, global_attention_blocks=(0,)
    )
    small = {
        "pos_embed": np.zeros((1, 5, 384), np.float32),
        "patch_embed.proj.weight": np.zeros((384, 3, 14, 14), np.float32),
        "blocks.0.ls1.gamma": np.ones(384, np.float32),
    }
    path = write_pth(tmp_path / "small.pth", small)
    problems = refused(path, fresh, config).problems
    assert problems[0] == "it has 6 attention heads, expected the model's 4"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act = 'gelu_new'"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps = 1e-05"),
        ({"model_type": "vit"}, "model_type 'vit', expected 'dinov2' or"),
    ],
)
def test_a_config_of_another_computation_is_refused(
    tmp_path, arrays, fresh, said, expected
):
    folder = write_folder(tmp_path / "hf", arrays, **said)
    assert expected in str(refused(folder, fresh))


def test_everything_that_is_wrong_is_listed(tmp_path, fresh, arrays):
    del arrays["encoder.layer.1.mlp.fc2.bias"]
    del arrays["encoder.layer.0.layer_scale2.lambda1"]
    arrays["head.weight"] = np.zeros((10, WIDTH), np.float32)
    arrays["embeddings.position_embeddings"] = np.zeros((1, 16, WIDTH), np.float32)
    arrays["encoder.layer.0.attention.attention.key.bias"] = np.zeros(7, np.float32)
    arrays["encoder.layer.2.layer_scale1.lambda1"] = np.zeros(1, np.float32)
    arrays["layernorm.bias"] = np.zeros(WIDTH, np.int32)
    problems = refused(write_folder(tmp_path / "hf", arrays), fresh).problems
    assert sorted(problems) == [
        "embeddings.position_embeddings has shape 1x16x24, expected 1x(n*n+1)x24",
        "encoder.layer.0.attention.attention.key.bias has shape 7, expected 24",
        "encoder.layer.0.layer_scale2.lambda1 is missing",
        "encoder.layer.1.mlp.fc2.bias is missing",
        "encoder.layer.2.layer_scale1.lambda1 has shape 1, expected 24",
        "head.weight is not of a DINOv2 encoder",
        "layernorm.bias is of I32, expected floating point",
    ]
