"""Hugging Face's folders are read, and those written load in transformers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.checkpoints import CheckpointError, convert, hugging_face, load
from samjax.checkpoints.reader import open_checkpoint
from samjax.models import VIT_B, PromptInputs


@pytest.fixture
def folder(tmp_path, own_file):
    """The small model as a folder of Hugging Face, written by samjax."""
    return convert(own_file, tmp_path / "hf", format="huggingface")


@pytest.fixture
def transformers_sam():
    """`SamModel` of transformers; it must not see a stand-in for torchvision."""
    import sys

    hidden = {name: m for name, m in sys.modules.items() if "torchvision" in name}
    for name in hidden:
        del sys.modules[name]
    from transformers import SamModel

    sys.modules.update(hidden)
    return SamModel


def edit(folder, *, config=None, **sections):
    """Changes fields of a folder's config.json."""
    path = folder / "config.json"
    content = json.loads(path.read_text()) | (config or {})
    for section, changes in sections.items():
        content[section] |= changes
    path.write_text(json.dumps(content))


@pytest.mark.parity
def test_transformers_loads_what_samjax_writes_tensor_by_tensor(
    folder, state, config, transformers_sam
):
    from samjax.models.weight_map import entries

    model, report = transformers_sam.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    tensors = model.state_dict()
    names = {entry.hugging_face for entry in entries(config)}
    assert set(tensors) == names | set(hugging_face_copies())
    for entry in entries(config):
        assert np.array_equal(tensors[entry.hugging_face], state[entry.released])


def hugging_face_copies():
    from samjax.models.weight_map import HUGGING_FACE_COPIES

    return HUGGING_FACE_COPIES


@pytest.mark.parity
def test_transformers_computes_the_same_with_what_samjax_writes(
    folder, config, rng, transformers_sam
):
    import torch

    model, params = load(folder)
    pixels = rng.standard_normal((1, 80, 80, 3), np.float32)
    points = np.array([[[[20.0, 30.0], [55.0, 60.0]]]], np.float32)
    prompts = PromptInputs(
        jnp.concatenate([points, jnp.zeros((1, 1, 1, 2))], axis=2),
        jnp.array([[[1, 0, -1]]]),
    )
    ours = jax.jit(model.apply)({"params": params}, jnp.asarray(pixels), prompts)
    with torch.no_grad():
        theirs = transformers_sam.from_pretrained(folder).eval()(
            pixel_values=torch.from_numpy(pixels).permute(0, 3, 1, 2),
            input_points=torch.from_numpy(points).double(),
            input_labels=torch.tensor([[[1, 0]]]),
            multimask_output=True,
        )
    for got, expected in (
        (ours.iou_predictions[:, :, 1:], theirs.iou_scores),
        (ours.low_res_logits[:, :, 1:], theirs.pred_masks),
    ):
        scale = float(expected.square().mean().sqrt())
        assert np.abs(np.asarray(got) - expected.numpy()).max() < 2e-5 * scale


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shard", ["1GB", "100KB"])
def test_samjax_loads_what_transformers_writes(
    tmp_path, folder, config, params, assert_same, transformers_sam, shard
):
    model = transformers_sam.from_pretrained(folder)
    model.save_pretrained(tmp_path / "saved", max_shard_size=shard)
    assert (len(list((tmp_path / "saved").iterdir())) > 3) == (shard == "100KB")
    loaded, got = load(tmp_path / "saved")
    assert loaded.config == config
    assert_same(got, params)


@pytest.mark.parity
def test_a_folder_with_a_pickled_file_loads(
    tmp_path, folder, config, params, assert_same
):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    loaded, got = load(folder)
    assert loaded.config == config
    assert_same(got, params)


def test_the_decoders_heads_come_from_the_config(folder):
    edit(folder, mask_decoder_config={"num_attention_heads": 4})
    assert open_checkpoint(folder).config.decoder_num_heads == 4


def test_what_the_config_leaves_out_agrees(folder, config):
    (folder / "config.json").write_text('{"model_type": "sam"}')
    assert open_checkpoint(folder).config == config


def test_the_epsilon_of_released_folders_is_let_pass(folder, config):
    edit(folder, mask_decoder_config={"layer_norm_eps": 1e-6})
    assert open_checkpoint(folder).config == config


def test_a_config_that_contradicts_the_tensors_is_refused_with_every_contradiction(
    folder,
):
    edit(
        folder,
        vision_config={"window_size": 7, "hidden_act": "relu", "use_rel_pos": False},
        mask_decoder_config={"attention_downsample_rate": 4},
    )
    with pytest.raises(CheckpointError) as error:
        load(folder)
    assert len(error.value.problems) == 4
    for field in ("window_size", "hidden_act", "use_rel_pos", "downsample_rate"):
        assert any(field in problem for problem in error.value.problems)


@pytest.mark.parametrize(
    ("config", "message"),
    [({"model_type": "sam2"}, "'sam2', expected 'sam'"), ({"model_type": None}, "sam")],
)
def test_folders_of_other_models_are_refused(folder, config, message):
    edit(folder, config=config)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "\udc80"])
def test_a_config_that_is_no_json_object_is_refused(folder, text):
    (folder / "config.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CheckpointError, match="JSON"):
        load(folder)


def test_folders_without_config_or_weights_say_what_is_missing(folder):
    (folder / "config.json").rename(folder / "other.json")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"samjax\.safetensors.*pytorch_model"):
        load(folder)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "a/b", "..", "", "a\\b", 3, None]
)
def test_shards_outside_of_the_folder_are_refused(folder, name):
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match="expected a file beside it"):
        load(folder)


def test_an_index_without_shards_and_a_repeated_tensor_are_refused(folder):
    weights = folder / "model.safetensors"
    weights.rename(folder / "one.safetensors")
    (folder / "two.safetensors").write_bytes((folder / "one.safetensors").read_bytes())
    index = folder / "model.safetensors.index.json"
    for shards, message in (({}, "no shards"), ({"a": "one", "b": "two"}, "repeats")):
        named = {key: f"{shard}.safetensors" for key, shard in shards.items()}
        index.write_text(json.dumps({"weight_map": named}))
        with pytest.raises(CheckpointError, match=message):
            load(folder)


@pytest.mark.parity
def test_the_config_of_vit_b_is_transformers_own_default(transformers_sam):
    from transformers import SamConfig

    default = SamConfig().to_dict()
    for section, fields in hugging_face.config_json(VIT_B).items():
        if isinstance(fields, dict):
            for key, value in fields.items():
                expected = default[section][key]
                expected = list(expected) if isinstance(expected, tuple) else expected
                if (section, key) != ("mask_decoder_config", "layer_norm_eps"):
                    assert expected == value, (section, key)
