"""Weights are found in any wrapping, complete or with an error that lists all faults."""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from samjax.checkpoints import CheckpointError, convert
from samjax.checkpoints.reader import open_checkpoint
from samjax.checkpoints.sizes import config_to_json
from samjax.checkpoints.state_dict import WRAPPERS
from samjax.models.weight_map import entries


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, b"weights")
    return content.getvalue()


def store(path, state, metadata=None):
    """A safetensors file written by the library, not by samjax."""
    state = {name: np.ascontiguousarray(array) for name, array in state.items()}
    safetensors.numpy.save_file(state, path, metadata)
    return path


def assert_holds(checkpoint, config, state):
    assert checkpoint.config == config
    for entry in entries(config):
        leaf = checkpoint.leaf(entry)
        assert leaf.shape == entry.tree_shape
        assert np.array_equal(entry.to_released(leaf), state[entry.released])


def hugging_face(state, config):
    return {e.hugging_face: state[e.released] for e in entries(config)}


@pytest.mark.parametrize(
    "name", ["a.pth", "a.safetensors", "a.SAFETENSORS", "a.ckpt", "a"]
)
@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_file_is_read_by_its_content_whatever_its_suffix(
    tmp_path, own_file, form, name
):
    file = convert(own_file, tmp_path / f"b.{form}", format=form)
    checkpoint = open_checkpoint(file.rename(tmp_path / name))
    assert len(checkpoint.tensors) == len(open_checkpoint(own_file).tensors)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"<?xml version='1.0'?><Error>", "an error of a server"),
        (gzip.compress(b"PK", mtime=0), "gzip: unpack it"),
        (zipped("weights/sam.pth"), "weights/sam.pth.*unpacked first"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_is_saved_in_place_of_weights_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "_orig_mod.", "model.", "sam.", "sam_model."),
        *("_orig_mod.module.", "module.sam.", "net.", "student.backbone.sam_encoder."),
        *("image_encoder.", "a b/c.", "x" * 300 + "."),
    ],
)
def test_whatever_stands_before_names_is_taken_off(tmp_path, config, state, prefix):
    named = {prefix + name: array for name, array in state.items()}
    checkpoint = open_checkpoint(store(tmp_path / "a.safetensors", named))
    assert_holds(checkpoint, config, state)


def test_tensors_beside_the_model_are_passed_over(tmp_path, config, state):
    named = {"module.sam." + name: array for name, array in state.items()}
    named |= {"criterion.weight": np.zeros(1, np.float32), "module.ema": np.zeros(2)}
    checkpoint = open_checkpoint(store(tmp_path / "a.safetensors", named))
    assert_holds(checkpoint, config, state)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_words_of_wrappers_within_names_are_left_out(tmp_path, config, state, wrapper):
    named = {
        name.replace("image_encoder.", f"image_encoder.{wrapper}.")
        .replace("blocks.1.", f"blocks.1.{wrapper}.")
        .replace("transformer.", f"transformer.{wrapper}."): array
        for name, array in state.items()
    }
    checkpoint = open_checkpoint(store(tmp_path / "a.safetensors", named))
    assert_holds(checkpoint, config, state)


def test_of_two_models_in_a_file_neither_is_guessed(tmp_path, config, state):
    named = {
        f"{who}.{name}": a
        for who in ("teacher", "student")
        for name, a in state.items()
    }
    with pytest.raises(
        CheckpointError, match=r"2 models, under 'student.', 'teacher.'"
    ):
        open_checkpoint(store(tmp_path / "a.safetensors", named))
    # An encoder alone beside a whole model is no second model, nor are a few names.
    encoder = {f"old.{n}": a for n, a in state.items() if n.startswith("image_encoder")}
    whole = {f"sam.{name}": array for name, array in state.items()}
    checkpoint = open_checkpoint(store(tmp_path / "b.safetensors", encoder | whole))
    assert_holds(checkpoint, config, state)


def test_the_naming_is_found_from_the_names(tmp_path, config, state):
    other = hugging_face(state, config)
    checkpoint = open_checkpoint(store(tmp_path / "a.safetensors", other))
    assert checkpoint.naming == "huggingface"
    assert_holds(checkpoint, config, state)


def test_everything_wrong_is_in_one_error(tmp_path, state):
    del state["image_encoder.blocks.1.attn.qkv.bias"]
    del state["mask_decoder.iou_token.weight"]
    state["image_encoder.neck.2.weight"] = np.zeros((3, 3), np.float32)
    state["mask_decoder.mask_tokens.weight"] = np.zeros((4, 64), np.int32)
    state["head.weight"] = np.zeros(5, np.float32)
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(store(tmp_path / "a.safetensors", state))
    assert sorted(error.value.problems) == [
        "head.weight (5,) is not part of the model",
        "image_encoder.blocks.1.attn.qkv.bias is missing",
        "image_encoder.neck.2.weight has shape (3, 3), expected (64, 64, 3, 3)",
        "mask_decoder.iou_token.weight is missing",
        (
            "mask_decoder.mask_tokens.weight is stored as I32, "
            "expected one of F64, F32, F16, BF16"
        ),
    ]
    assert all(problem in str(error.value) for problem in error.value.problems)


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder.pos_embed",
        "image_encoder.patch_embed.proj.weight",
        "image_encoder.blocks.1.attn.rel_pos_h",
        "mask_decoder.output_hypernetworks_mlps.0.layers.0.weight",
    ],
)
def test_the_loss_of_a_tensor_that_shows_a_size_is_reported_as_that(
    tmp_path, state, name
):
    del state[name]
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(store(tmp_path / "a.safetensors", state))
    assert f"{name} is missing" in error.value.problems
    # Beside it at most that the size cannot be read any more.
    assert len(error.value.problems) <= 2


def test_a_missing_block_is_reported_tensor_by_tensor(tmp_path, state):
    gone = [name for name in state if name.startswith("image_encoder.blocks.1.")]
    for name in gone:
        del state[name]
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(store(tmp_path / "a.safetensors", state))
    missing = [p for p in error.value.problems if p.endswith("is missing")]
    assert sorted(missing) == sorted(f"{name} is missing" for name in gone)


def test_other_models_are_told_apart_by_name(tmp_path):
    weights = {"encoder.layer.0.weight": np.zeros(3, np.float32)}
    with pytest.raises(CheckpointError, match=r"no Segment.*encoder\.layer\.0\.weight"):
        open_checkpoint(store(tmp_path / "a.safetensors", weights))
    with pytest.raises(CheckpointError, match="none"):
        open_checkpoint(store(tmp_path / "b.safetensors", {}))


def test_a_number_in_a_name_cannot_make_the_table_grow(tmp_path, state):
    state["image_encoder.blocks.999999.norm1.weight"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(store(tmp_path / "a.safetensors", state))
    assert len(error.value.problems) == 1


def test_the_constants_of_normalization_are_let_pass_if_they_are_the_released_ones(
    tmp_path, config, state
):
    state["pixel_mean"] = np.array([123.675, 116.28, 103.53], np.float32).reshape(
        3, 1, 1
    )
    state["pixel_std"] = np.array([58.395, 57.12, 57.375], np.float32).reshape(3, 1, 1)
    assert_holds(
        open_checkpoint(store(tmp_path / "a.safetensors", state)), config, state
    )
    state["pixel_std"] = np.array([1, 1, 1], np.float32)
    with pytest.raises(CheckpointError, match="pixel_std is not"):
        open_checkpoint(store(tmp_path / "b.safetensors", state))


def test_the_two_copies_of_the_fourier_matrix_must_agree(tmp_path, config, state):
    named = hugging_face(state, config)
    original = "shared_image_embedding.positional_embedding"
    copy = "prompt_encoder.shared_embedding.positional_embedding"
    named[copy] = named[original]
    both = open_checkpoint(store(tmp_path / "both.safetensors", named))
    assert_holds(both, config, state)
    alone = {name: array for name, array in named.items() if name != original}
    assert_holds(
        open_checkpoint(store(tmp_path / "b.safetensors", alone)), config, state
    )
    named[copy] = named[original] + 1
    with pytest.raises(CheckpointError, match="differ"):
        open_checkpoint(store(tmp_path / "c.safetensors", named))


def own(config, changes=()):
    """Metadata of samjax's own form."""
    text = config_to_json(config)
    return {"format": "samjax", "version": "1", "config": text} | dict(changes)


def test_the_own_form_must_fit_the_config_that_it_says(tmp_path, config, state):
    tree = {
        "/".join(e.path): e.to_tree(state[e.released]).copy() for e in entries(config)
    }
    path = store(tmp_path / "a.safetensors", tree, own(config))
    assert_holds(open_checkpoint(path), config, state)
    del tree["mask_decoder/iou_token/embedding"]
    path = store(tmp_path / "b.safetensors", tree, own(config))
    with pytest.raises(CheckpointError, match="iou_token/embedding is missing"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "2"}, "version 2.*update samjax"),
        ({"config": "{}"}, "has no embed_dim"),
        ({"config": "no"}, "JSON"),
    ],
)
def test_an_own_form_of_the_future_or_damaged_is_refused(
    tmp_path, config, changes, message
):
    weights = {"a": np.zeros(1, np.float32)}
    path = store(tmp_path / "a.safetensors", weights, own(config, changes))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(path)


def test_a_config_of_endless_depth_is_refused_before_it_is_expanded(tmp_path, config):
    values = json.loads(config_to_json(config)) | {"depth": 60_000}
    metadata = own(config, {"config": json.dumps(values)})
    path = store(tmp_path / "a.safetensors", {"a": np.zeros(1, np.float32)}, metadata)
    with pytest.raises(CheckpointError, match="60000 modules and has 1 tensors"):
        open_checkpoint(path)
