"""Masked autoencoders, as published but small, become image encoders."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from samjax.checkpoints import CheckpointError
from samjax.checkpoints.mae import load_mae_encoder
from samjax.checkpoints.plain_vit import cubic_matrix
from samjax.checkpoints.safetensors_file import Planned
from samjax.checkpoints.torch_writer import write_torch_file
from samjax.models import VIT_B, VIT_H, VIT_L, Sam, SamConfig
from samjax.models.image_encoder import PatchEmbed

CONFIG = SamConfig(
    image_size=64,
    patch_size=8,
    embed_dim=24,
    depth=2,
    num_heads=2,
    global_attention_blocks=(0, 1),
    prompt_embed_dim=16,
    decoder_depth=1,
    decoder_num_heads=2,
    decoder_mlp_dim=16,
)
SIDE = 4


def layout(config: SamConfig, side: int, patch: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file."""
    width = config.embed_dim
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, side * side + 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    for i in range(config.depth):
        for name, shape in {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
        }.items():
            shapes[f"blocks.{i}.{name}"] = shape
    return shapes | {"norm.weight": (width,), "norm.bias": (width,)}


@pytest.fixture
def arrays(rng):
    return draw(rng, layout(CONFIG, SIDE, CONFIG.patch_size))


def draw(rng, shapes):
    return {
        name: (0.2 * rng.standard_normal(shape) + name.endswith("norm1.weight")).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def write(path, arrays):
    plan = [
        Planned(k, {"f": "F32", "i": "I64"}[a.dtype.kind], a.shape)
        for k, a in arrays.items()
    ]
    with open(path, "wb") as file:
        write_torch_file(file, plan, iter(arrays.values()))
    return path


@pytest.fixture(scope="module")
def fresh():
    """Parameters in which nothing is zero."""
    model = Sam(CONFIG)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), prompts())
    )
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), shapes["params"])


def prompts():
    from samjax.models import PromptInputs

    return PromptInputs(jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1), jnp.int32))


@pytest.fixture
def loaded(tmp_path, arrays, fresh):
    return load_mae_encoder(write(tmp_path / "mae.pth", arrays), fresh, CONFIG)


def test_everything_in_the_encoder_but_its_neck_comes_from_the_file(loaded, fresh):
    before = flatten_dict(fresh, sep="/")
    for name, leaf in flatten_dict(loaded, sep="/").items():
        from_file = name.startswith("image_encoder/") and "neck" not in name
        assert leaf.shape == before[name].shape and leaf.dtype == jnp.float32
        if "rel_pos" in name:
            assert not leaf.any(), name
        elif from_file:
            assert not (leaf == 0.5).any() and leaf.any(), name
        else:
            np.testing.assert_array_equal(leaf, before[name])


def test_the_parameters_that_were_given_stay_as_they_were(loaded, fresh):
    del loaded
    assert all((leaf == 0.5).all() for leaf in jax.tree.leaves(fresh))


def test_a_model_with_a_final_norm_takes_that_too(tmp_path, arrays, fresh):
    config = dataclasses.replace(CONFIG, final_norm=True)
    path = write(tmp_path / "mae.pth", arrays)
    norm = load_mae_encoder(path, fresh, config)["image_encoder"]["norm"]
    np.testing.assert_array_equal(norm["scale"], arrays["norm.weight"])
    np.testing.assert_array_equal(norm["bias"], arrays["norm.bias"])


@pytest.mark.parity
@pytest.mark.parametrize("new_format", [True, False])
def test_tokens_are_those_of_the_masked_autoencoder(
    tmp_path, arrays, fresh, new_format
):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(array) for name, array in arrays.items()}
    path = tmp_path / "mae.pth"
    torch.save({"model": state}, path, _use_new_zipfile_serialization=new_format)
    config = dataclasses.replace(CONFIG, image_size=SIDE * CONFIG.patch_size)
    sized = jax.eval_shape(
        lambda: Sam(config).init(
            jax.random.key(0), jnp.zeros((1, 32, 32, 3)), prompts()
        )
    )["params"]
    params = load_mae_encoder(
        path, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), sized), config
    )
    pixels = np.random.default_rng(0).standard_normal((2, 32, 32, 3), np.float32)
    _, captured = Sam(config).apply(
        {"params": params},
        jnp.asarray(pixels),
        method="encode_image",
        capture_intermediates=lambda module, _: module.name == "blocks_1",
        mutable=["intermediates"],
    )
    (ours,) = captured["intermediates"]["image_encoder"]["blocks_1"]["__call__"]
    theirs = torch_tokens(state, torch.tensor(pixels.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(ours.reshape(2, -1, 24), theirs, rtol=1e-4, atol=1e-4)


def torch_tokens(state, pixels):
    """The blocks of a plain ViT without class token and final norm."""
    import torch.nn.functional as f

    x = f.conv2d(
        pixels,
        state["patch_embed.proj.weight"],
        state["patch_embed.proj.bias"],
        stride=CONFIG.patch_size,
    )
    x = x.flatten(2).transpose(1, 2) + state["pos_embed"][:, 1:]
    batch, tokens, width = x.shape

    def linear(name, x):
        return f.linear(x, state[name + ".weight"], state[name + ".bias"])

    def norm(name, x):
        weight, bias = state[name + ".weight"], state[name + ".bias"]
        return f.layer_norm(x, (width,), weight, bias, eps=1e-6)

    for i in range(CONFIG.depth):
        block = f"blocks.{i}"
        qkv = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x))
        q, k, v = qkv.reshape(batch, tokens, 3, CONFIG.num_heads, -1).permute(
            2, 0, 3, 1, 4
        )
        y = f.scaled_dot_product_attention(q, k, v)
        x = x + linear(f"{block}.attn.proj", y.transpose(1, 2).flatten(2))
        hidden = f.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        x = x + linear(f"{block}.mlp.fc2", hidden)
    return x.numpy()


@pytest.mark.parity
def test_positions_are_enlarged_as_vitdet_does(loaded, arrays):
    torch = pytest.importorskip("torch")
    grid = torch.tensor(arrays["pos_embed"][:, 1:]).reshape(1, SIDE, SIDE, -1)
    theirs = torch.nn.functional.interpolate(
        grid.permute(0, 3, 1, 2), (8, 8), mode="bicubic", align_corners=False
    ).permute(0, 2, 3, 1)
    ours = loaded["image_encoder"]["pos_embed"]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


def test_an_enlarged_patch_makes_the_token_that_the_patch_made(tmp_path, rng, fresh):
    arrays = draw(rng, layout(CONFIG, SIDE, 7))
    path = write(tmp_path / "mae.pth", arrays)
    params = load_mae_encoder(path, fresh, CONFIG)["image_encoder"]
    patches = rng.standard_normal((5, 7, 7, 3))
    enlarge = cubic_matrix(7, 8)
    enlarged = np.einsum("yi,xj,bijc->byxc", enlarge, enlarge, patches)
    ours = PatchEmbed(8, CONFIG.embed_dim, jnp.float32).apply(
        {"params": params["patch_embed"]}, jnp.asarray(enlarged, jnp.float32)
    )
    kernel, bias = (arrays[f"patch_embed.proj.{part}"] for part in ("weight", "bias"))
    expected = np.einsum("bijc,dcij->bd", patches, kernel) + bias
    np.testing.assert_allclose(np.asarray(ours)[:, 0, 0], expected, atol=1e-4)


def test_a_constant_stays_constant_when_it_is_enlarged():
    for old, new in ((14, 64), (14, 16), (7, 7)):
        np.testing.assert_allclose(cubic_matrix(old, new).sum(1), 1)
    np.testing.assert_array_equal(cubic_matrix(7, 7), np.eye(7))


@pytest.mark.parametrize(
    ("config", "side", "patch"), [(VIT_B, 14, 16), (VIT_L, 14, 16), (VIT_H, 16, 14)]
)
def test_the_published_layouts_fit_the_released_models(config, side, patch):
    from samjax.checkpoints.mae import DROPPED, POSITIONS, _mae_name
    from samjax.models.weight_map import entries

    wanted = {_mae_name(entry): entry for entry in entries(config)}
    published = layout(config, side, patch)
    kept = {name for name in published if not name.startswith(DROPPED)}
    assert kept == set(wanted) - {None}
    assert len(published) == {12: 150, 24: 294, 32: 390}[config.depth]
    for name in kept - {POSITIONS, "patch_embed.proj.weight"}:
        assert published[name] == wanted[name].shape


def refused(tmp_path, fresh, arrays, config=CONFIG):
    path = write(tmp_path / "wrong.pth", arrays)
    with pytest.raises(CheckpointError) as error:
        load_mae_encoder(path, fresh, config)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_missing_file_is_refused_with_where_to_get_it(tmp_path, fresh):
    with pytest.raises(CheckpointError, match=r"no file .*mae_pretrain_vit_base"):
        load_mae_encoder(tmp_path / "none.pth", fresh, CONFIG)


def test_a_folder_is_refused_as_one(tmp_path, fresh):
    with pytest.raises(CheckpointError, match=r"is a folder.*files: mae_pretrain"):
        load_mae_encoder(tmp_path, fresh, CONFIG)


def test_another_size_of_vit_is_refused_by_width_and_depth(tmp_path, fresh, arrays):
    larger = dataclasses.replace(CONFIG, embed_dim=32, depth=3)
    message = refused(tmp_path, fresh, arrays, larger)
    assert "width 24 and 2 blocks, expected the model's 32 and 3" in message


def test_a_checkpoint_of_sam_is_sent_the_other_way(tmp_path, fresh, arrays):
    sam = {f"image_encoder.{name}": array for name, array in arrays.items()}
    assert "without mae:" in refused(tmp_path, fresh, sam)


def test_any_other_file_is_refused(tmp_path, fresh):
    other = {"conv1.weight": np.zeros((8, 3, 7, 7), np.float32)}
    assert "no pos_embed" in refused(tmp_path, fresh, other)


def test_everything_that_is_wrong_is_listed(tmp_path, fresh, arrays):
    del arrays["blocks.1.mlp.fc2.bias"]
    arrays["head.weight"] = np.zeros((10, 24), np.float32)
    arrays["pos_embed"] = np.zeros((1, 16, 24), np.float32)
    arrays["patch_embed.proj.weight"] = np.zeros((24, 1, 8, 8), np.float32)
    arrays["blocks.0.attn.qkv.bias"] = np.zeros(24, np.float32)
    message = refused(tmp_path, fresh, arrays)
    for part in (
        "blocks.1.mlp.fc2.bias is missing",
        "head.weight is not of a masked autoencoder's encoder",
        "pos_embed has shape 1x16x24, expected 1x(n*n+1)x24",
        "patch_embed.proj.weight has shape 24x1x8x8, expected 24x3xpxp",
        "blocks.0.attn.qkv.bias has shape 24, expected 72",
    ):
        assert part in message


def test_the_decoder_of_a_masked_autoencoder_is_no_hindrance(tmp_path, fresh, arrays):
    arrays["decoder_embed.weight"] = np.ones((8, 24), np.float32)
    arrays["mask_token"] = np.ones((1, 1, 8), np.float32)
    load_mae_encoder(write(tmp_path / "full.pth", arrays), fresh, CONFIG)
