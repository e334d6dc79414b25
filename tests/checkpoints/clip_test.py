"""Weights of CLIP in every form: transformers, OpenCLIP, OpenAI's archives, samjax's."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, tree_of
from safetensors.numpy import load_file, save_file

import samjax
from samjax import checkpoints
from samjax.checkpoints import CheckpointError
from samjax.checkpoints.reader import open_checkpoint
from samjax.models.clip import Clip
from samjax.models.clip.hugging_face import (
    config_from_hugging_face,
    config_to_hugging_face,
)
from samjax.models.clip.open_clip import config_from_open_clip

EXACT = dataclasses.replace(SMALL, quick_gelu=False)


@pytest.fixture
def state():
    return random_state(SMALL)


@pytest.fixture
def own(tmp_path, state):
    return checkpoints.save(tmp_path / "own.safetensors", SMALL, tree_of(SMALL, state))


def assert_holds(source, config, state):
    """Checks that weights load as this config and exactly these numbers."""
    model, params = samjax.load(source)
    assert isinstance(model, Clip) and model.config == config
    jax.tree.map(np.testing.assert_array_equal, params, tree_of(config, state))


def open_clip_json(config, **changes):
    model = {
        "embed_dim": config.embed_dim,
        "vision_cfg": {
            "image_size": config.image_size,
            "layers": config.vision_depth,
            "width": config.vision_width,
            "patch_size": config.patch_size,
            "head_width": config.vision_width // config.vision_heads,
            "mlp_ratio": config.vision_mlp_dim / config.vision_width,
        },
        "text_cfg": {
            "context_length": config.context_length,
            "vocab_size": config.vocab_size,
            "width": config.text_width,
            "heads": config.text_heads,
            "layers": config.text_depth,
            "mlp_ratio": config.text_mlp_dim / config.text_width,
        },
    }
    if config.quick_gelu:
        model["quick_gelu"] = True
    return {"model_cfg": model | changes, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}


@pytest.fixture
def open_clip(tmp_path, state):
    """A folder as OpenCLIP writes it."""
    folder = tmp_path / "open_clip"
    folder.mkdir()
    save_file(state, folder / "open_clip_model.safetensors")
    text = json.dumps(open_clip_json(SMALL))
    (folder / "open_clip_config.json").write_text(text)
    return folder


def test_samjax_s_own_form_is_written_and_read(own, state):
    assert_holds(own, SMALL, state)


def test_a_folder_of_transformers_is_written_and_read_byte_by_byte(
    tmp_path, own, state
):
    folder = checkpoints.convert(own, tmp_path / "hf", format="huggingface")
    assert_holds(folder, SMALL, state)
    again = checkpoints.convert(folder, tmp_path / "again.safetensors")
    assert load_file(again).keys() == load_file(own).keys()
    for name, array in load_file(own).items():
        assert load_file(again)[name].tobytes() == array.tobytes()


@pytest.mark.parity
def test_transformers_loads_what_samjax_writes_and_the_other_way(tmp_path, own, state):
    pytest.importorskip("torch")
    from transformers import CLIPModel

    folder = checkpoints.convert(own, tmp_path / "hf", format="huggingface")
    # The stubs have one return type, whatever the options.
    loaded: Any = CLIPModel.from_pretrained(folder, output_loading_info=True)
    model, report = loaded
    assert not any(report.values()), report
    model.save_pretrained(tmp_path / "theirs")
    assert_holds(tmp_path / "theirs", SMALL, state)


def test_a_folder_of_openclip_is_read(open_clip, state):
    assert_holds(open_clip, SMALL, state)
    # The file alone has its config beside it.
    assert_holds(open_clip / "open_clip_model.safetensors", SMALL, state)


def test_openclip_s_activation_is_exact_unless_its_config_says_quick(open_clip, state):
    text = json.dumps(open_clip_json(EXACT))
    (open_clip / "open_clip_config.json").write_text(text)
    assert_holds(open_clip, EXACT, state)


def test_openclip_s_other_models_are_refused_by_the_field_that_makes_them(open_clip):
    content = open_clip_json(SMALL)
    content["model_cfg"]["vision_cfg"]["timm_model_name"] = "vit_base"
    (open_clip / "open_clip_config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="vision_cfg.timm_model_name"):
        samjax.load(open_clip)


def test_without_a_config_the_activation_is_not_guessed(tmp_path, state):
    save_file(state, tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match=r"activation.*have its open_clip_config"):
        samjax.load(tmp_path / "alone.safetensors")


@pytest.mark.parametrize("name, format", [("a.safetensors", "safetensors")])
def test_released_names_with_samjax_s_config_come_back(
    tmp_path, own, state, name, format
):
    assert_holds(checkpoints.convert(own, tmp_path / name, format=format), SMALL, state)


def test_a_pth_needs_its_config_beside_it(tmp_path, own, open_clip, state):
    path = checkpoints.convert(own, tmp_path / "pth" / "a.pth")
    with pytest.raises(CheckpointError, match="activation"):
        open_checkpoint(path)
    config = (open_clip / "open_clip_config.json").read_text()
    (path.parent / "open_clip_config.json").write_text(config)
    assert_holds(path, SMALL, state)


def test_missing_and_strange_tensors_of_transformers_are_all_named(tmp_path, own):
    folder = checkpoints.convert(own, tmp_path / "hf", format="huggingface")
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_model.encoder.layers.0.self_attn.k_proj.weight"]
    tensors["strange"] = tensors["logit_scale"].copy()
    tensors["visual_projection.weight"] = tensors["visual_projection.weight"].T.copy()
    tensors["vision_model.embeddings.position_ids"] = np.arange(10)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        samjax.load(folder)
    message = str(caught.value)
    assert "layers.0.self_attn.k_proj.weight is missing" in message
    assert "strange" in message and "position_ids" not in message
    assert "visual_projection.weight has shape (48, 20), expected (20, 48)" in message


def test_configs_go_to_transformers_and_back():
    for config in (SMALL, EXACT):
        assert config_from_hugging_face(config_to_hugging_face(config)) == (config, [])


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("vision_config", "hidden_act", "gelu_new"),
        ("text_config", "hidden_act", "gelu"),
        ("text_config", "layer_norm_eps", 1e-6),
        ("vision_config", "hidden_size", "48"),
        ("vision_config", "num_attention_heads", 5),
    ],
)
def test_configs_of_transformers_that_samjax_has_no_model_of_are_refused(
    section, key, value
):
    content = config_to_hugging_face(SMALL)
    content[section][key] = value
    assert config_from_hugging_face(content)[1]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"model_cfg": 3},
        {"model_cfg": {"vision_cfg": {}, "text_cfg": 1}},
        open_clip_json(SMALL, quick_gelu="yes"),
        open_clip_json(SMALL, multimodal_cfg={"width": 3}),
        open_clip_json(SMALL, embed_dim=-1),
    ],
)
def test_configs_of_openclip_that_are_none_are_refused(content):
    assert config_from_open_clip(content)[1]


def openai_module(config, state):
    """Modules with OpenAI's names and numbers, which torch can script."""
    import torch

    def grow(names):
        module = torch.nn.Module()
        for child in sorted({name.split(".")[0] for name in names if "." in name}):
            inner = {
                name.split(".", 1)[1]: array
                for name, array in names.items()
                if name.startswith(f"{child}.")
            }
            module.add_module(child, grow(inner))
        for name, array in names.items():
            if "." not in name:
                tensor = torch.tensor(array)
                module.register_parameter(name, torch.nn.Parameter(tensor))
        return module

    module = grow(state)
    for name, number in (
        ("input_resolution", config.image_size),
        ("context_length", config.context_length),
        ("vocab_size", config.vocab_size),
    ):
        module.register_buffer(name, torch.tensor(number))
    return module


# Widths of which heads of 64 channels are known, as of all of OpenAI's models.
OPENAI = dataclasses.replace(
    SMALL,
    vision_width=128,
    vision_heads=2,
    text_width=64,
    text_heads=1,
)


@pytest.mark.parity
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("scripted", [True, False], ids=["script", "state dict"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openai_s_archives_are_read_as_torch_reads_them(tmp_path, half, scripted):
    torch = pytest.importorskip("torch")
    state = random_state(OPENAI)
    module = openai_module(OPENAI, state)
    module = module.half() if half else module
    path = tmp_path / "ViT.pt"
    if scripted:
        torch.jit.script(module).save(path)
        theirs = torch.jit.load(path).state_dict()
    else:
        torch.save(module.state_dict(), path)
        theirs = torch.load(path)
    checkpoint = open_checkpoint(path)
    assert checkpoint.config == OPENAI
    numbers = {"input_resolution", "context_length", "vocab_size"}
    assert set(checkpoint.tensors) == set(theirs) - numbers
    for name, tensor in checkpoint.tensors.items():
        assert tensor.array().tobytes() == theirs[name].numpy().tobytes()
    read = {name: theirs[name].float().numpy() for name in checkpoint.tensors}
    assert_holds(path, OPENAI, read)
