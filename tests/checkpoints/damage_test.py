"""Damage that a checksum shows is noticed, and numbers that are none are named."""

import json
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from samjax.checkpoints import CheckpointError, convert, load, save
from samjax.checkpoints.finite import not_finite
from samjax.checkpoints.mae import load_mae_encoder
from samjax.checkpoints.safetensors_file import (
    CHECKSUMS,
    MAX_HEADER,
    Planned,
    read_safetensors,
)
from samjax.checkpoints.torch_writer import write_torch_file
from samjax.checkpoints.zip_directory import MAX_MEMBERS
from samjax.models import Sam

NAME = "mask_decoder.iou_token.weight"


def flipped(path, place: int):
    """The file with one bit changed."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_changed_bit_in_a_pth_is_refused_with_the_tensor_s_name(
    tmp_path, own_file, share
):
    path = convert(own_file, tmp_path / "a.pth")
    with zipfile.ZipFile(path) as archive:
        records = [info for info in archive.infolist() if info.file_size > 1000]
        record = records[int(share * len(records))]
        place = record.header_offset + 200 + record.file_size // 2
    flipped(path, place)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is not None
    with pytest.raises(CheckpointError, match=r"(?s)a\.pth is damaged.*checksum"):
        load(path)


def test_changed_bits_of_the_pickle_and_of_the_byte_order_are_refused(
    tmp_path, own_file
):
    content = convert(own_file, tmp_path / "a.pth").read_bytes()
    for name, mark in (("data.pkl", b"prompt_encoder.not_a"), ("byteorder", b"little")):
        path = tmp_path / "b.pth"
        path.write_bytes(content)
        flipped(path, content.index(mark))
        with pytest.raises(CheckpointError, match=f"its {name} contradicts"):
            load(path)


def test_a_file_whose_writer_left_checksums_out_is_read(
    tmp_path, own_file, assert_same
):
    """PyTorch writes zeros then."""
    path = convert(own_file, tmp_path / "a.pth")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        sums = [struct.pack("<I", info.CRC) for info in archive.infolist()]
        start = archive.start_dir
    for crc in sums:
        place = content.index(crc, start)
        content[place : place + 4] = bytes(4)
    path.write_bytes(content)
    assert_same(as_numpy(load(path)[1]), as_numpy(load(own_file)[1]))


def as_numpy(tree):
    import jax

    return jax.tree.map(np.asarray, tree)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.9999])
def test_a_changed_number_in_samjax_s_own_form_is_refused_by_name(
    tmp_path, own_file, share
):
    start = 8 + int.from_bytes(own_file.read_bytes()[:8], "little")
    size = own_file.stat().st_size
    flipped(own_file, start + int(share * (size - start)))
    with pytest.raises(CheckpointError, match=r"is damaged.*\n.*/.*checksum"):
        load(own_file)


def test_a_changed_header_of_samjax_s_own_form_is_refused(tmp_path, own_file, config):
    content = own_file.read_bytes()
    for old, new in (
        (b'"window_size\\": 2', b'"window_size\\": 3'),
        (b"iou_token/embedding", b"iou_tokem/embedding"),
        (b'"version":"1"', b'"version":"2"'),
    ):
        assert content.count(old) == 1
        path = tmp_path / "b.safetensors"
        path.write_bytes(content.replace(old, new))
        with pytest.raises(
            CheckpointError, match="header that contradicts its checksum"
        ):
            load(path)


def test_the_own_form_says_its_checksums_and_the_library_reads_it(own_file):
    tensors, metadata = read_safetensors(own_file)
    words = metadata[CHECKSUMS].split()
    assert len(words) == len(tensors) + 1 and "0" * 8 not in words
    assert all(tensor.crc is not None for tensor in tensors.values())
    assert set(safetensors.numpy.load_file(own_file)) == set(tensors)


def test_forms_that_others_change_have_no_checksums(tmp_path, own_file):
    path = convert(own_file, tmp_path / "a.safetensors", format="safetensors")
    assert CHECKSUMS not in read_safetensors(path).metadata


def test_files_of_before_checksums_are_read(tmp_path, own_file, assert_same):
    tensors, metadata = read_safetensors(own_file)
    del metadata[CHECKSUMS]
    arrays = {name: np.array(tensor.array()) for name, tensor in tensors.items()}
    old = tmp_path / "old.safetensors"
    safetensors.numpy.save_file(arrays, old, metadata)
    assert_same(as_numpy(load(old)[1]), as_numpy(load(own_file)[1]))


BAD = [("nan", 1, 0), ("inf", 0, 1), ("-inf", 0, 1)]


@pytest.mark.parametrize(("value", "nan", "infinite"), BAD)
@pytest.mark.parametrize("format", ["samjax", "safetensors", "pth", "huggingface"])
def test_weights_that_are_not_finite_are_named(
    tmp_path, config, params, format, value, nan, infinite
):
    place = params["mask_decoder"]["iou_token"]["embedding"]
    place[0, 3] = float(value)
    own = save(tmp_path / "own.safetensors", config, params)
    suffix = {"pth": ".pth", "huggingface": ""}.get(format, ".safetensors")
    path = tmp_path / f"a{suffix}"
    with pytest.warns(UserWarning, match="not finite"):
        convert(own, path, format=format)
    with pytest.raises(CheckpointError, match="diverged") as error:
        load(path)
    [problem] = error.value.problems
    assert "iou_token" in problem
    assert problem.endswith(f"{nan} NaN and {infinite} infinite of 64 numbers")


def test_all_tensors_that_are_not_finite_are_in_one_error(tmp_path, config, params):
    for part in params.values():
        leaf = part
        while isinstance(leaf, dict):
            name = next(iter(leaf))
            leaf, owner = leaf[name], leaf
        owner[name] = leaf * np.float32("nan")
    path = save(tmp_path / "own.safetensors", config, params)
    with pytest.raises(CheckpointError) as error:
        load(path)
    assert len(error.value.problems) == len(params) == 3


@pytest.mark.parametrize(
    ("array", "is_finite"),
    [
        (np.zeros(3), True),
        (np.zeros(0), True),
        (np.full(5, 3e38, np.float32), True),
        (np.array([3e38, -3e38, 3e38], np.float32), True),
        (np.array([1, np.nan], np.float32), False),
        (np.array([np.inf, -np.inf], np.float32), False),
        (np.array([np.inf, 1], np.float16), False),
    ],
)
def test_large_numbers_are_finite(array, is_finite):
    assert (not_finite("a", array) == []) == is_finite


def test_an_encoder_that_is_not_finite_is_named(tmp_path, small_config):
    from samjax.checkpoints.mae import _mae_name
    from samjax.models.weight_map import entries

    arrays = {}
    for entry in entries(small_config):
        if name := _mae_name(entry):
            arrays[name] = np.zeros(entry.shape, np.float32)
    grid = small_config.grid_size
    arrays["pos_embed"] = np.zeros((1, grid**2 + 1, small_config.embed_dim), np.float32)
    arrays["blocks.1.attn.proj.bias"][2] = np.nan
    path = tmp_path / "mae.pth"
    with path.open("wb") as file:
        plan = [Planned(name, "F32", array.shape) for name, array in arrays.items()]
        write_torch_file(file, plan, iter(arrays.values()))
    params = {"image_encoder": {}}
    with pytest.raises(CheckpointError, match=r"blocks\.1\.attn\.proj\.bias has 1 NaN"):
        load_mae_encoder(path, params, Sam(small_config).config)


CONFIG_CHANGES = [
    ("mlp_ratio", "Infinity"),
    ("mlp_ratio", "-Infinity"),
    ("mlp_ratio", "NaN"),
    ("mlp_ratio", "1e308"),
    ("mlp_ratio", "1e400"),
    ("mlp_ratio", "1" + "0" * 400),
    ("mlp_ratio", "0"),
    ("mlp_ratio", "-4.0"),
    ("mlp_ratio", "1e-9"),
    ("mlp_ratio", "true"),
    ("mlp_ratio", '"4"'),
    ("drop_path_rate", "NaN"),
    ("drop_path_rate", "1.5"),
    ("embed_dim", "1e3"),
    ("embed_dim", "1" + "0" * 5000),
    ("depth", "null"),
    ("final_norm", "1"),
    ("global_attention_blocks", "[[1]]"),
    ("global_attention_blocks", "[1.0]"),
    ("global_attention_blocks", "[99999999999999999999]"),
    ("global_attention_blocks", "[" * 100_000),
]


@pytest.mark.parametrize(("field", "value"), CONFIG_CHANGES)
def test_a_config_of_any_numbers_gives_the_one_error(tmp_path, config, field, value):
    from samjax.checkpoints.sizes import config_from_json, config_to_json

    known = json.loads(config_to_json(config))
    known = {"drop_path_rate": 0.0, "final_norm": False} | known
    old = json.dumps(known[field])
    text = json.dumps(known).replace(f'"{field}": {old}', f'"{field}": {value}')
    assert value in text
    with pytest.raises(CheckpointError):
        config_from_json(text)


def test_a_directory_of_very_many_entries_is_refused_before_it_is_read(tmp_path):
    number = MAX_MEMBERS + 1
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, *[0] * 7, 1, 0) + b"a"
    entry = b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, *[0] * 7, 1, *[0] * 6)
    entry += b"a"
    size = number * len(entry)
    end = struct.pack("<HHHHIIH", 0, 0, number, number, size, len(local), 0)
    path = tmp_path / "a.pth"
    path.write_bytes(local + entry * number + b"PK\5\6" + end)
    with pytest.raises(CheckpointError, match=f"{number} entries, expected 1 to 20000"):
        load(path)
    # A smaller number than there are is a contradiction.
    end = struct.pack("<HHHHIIH", 0, 0, 5, 5, size, len(local), 0)
    path.write_bytes(local + entry * number + b"PK\5\6" + end)
    with pytest.raises(CheckpointError, match="goes on after 5 entries"):
        load(path)


def test_a_header_of_very_many_tensors_is_refused_before_it_is_read(tmp_path):
    entry = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = b"{" + b",".join(entry % i for i in range(90_000)) + b"}"
    assert len(text) > MAX_HEADER
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(CheckpointError, match=f"expected at most {MAX_HEADER}"):
        load(path)
