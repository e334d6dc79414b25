"""From any form to any other and back, every byte is the same."""

import dataclasses
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from samjax.checkpoints import CheckpointError, convert, load, save
from samjax.checkpoints.convert import SUFFIXES
from samjax.checkpoints.reader import open_checkpoint
from samjax.checkpoints.writer import Format
from samjax.files import WouldReplace
from samjax.models.weight_map import entries

DESTINATIONS = {
    "pth": "a.pth",
    "safetensors": "a.safetensors",
    "samjax": "own",
    "huggingface": "hf",
}


def contents(path) -> dict[str, bytes]:
    """Every byte of every tensor, in samjax's layout, with its dtype."""
    checkpoint = open_checkpoint(path)
    return {
        entry.released: checkpoint.leaf(entry).tobytes()
        + checkpoint.tensors[entry.released].dtype.encode()
        for entry in entries(checkpoint.config)
    }


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.product(DESTINATIONS, repeat=2))
)
def test_out_and_in_again_every_byte_is_equal(tmp_path, own_file, first, second):
    out = convert(own_file, tmp_path / "1" / DESTINATIONS[first], format=first)
    again = convert(out, tmp_path / "2" / DESTINATIONS[second], format=second)
    assert contents(again) == contents(out) == contents(own_file)


@pytest.fixture
def normed_file(tmp_path, config, params):
    """The small model with a norm after its last block."""
    norm = {"scale": np.full(24, 0.5, np.float32), "bias": np.ones(24, np.float32)}
    encoder = params["image_encoder"] | {"norm": norm}
    config = dataclasses.replace(config, final_norm=True)
    return save(
        tmp_path / "normed.safetensors", config, params | {"image_encoder": encoder}
    )


@pytest.mark.parametrize("format", ["pth", "safetensors", "samjax"])
def test_a_final_norm_is_converted_and_found_again(tmp_path, normed_file, format):
    out = convert(normed_file, tmp_path / "2" / DESTINATIONS[format], format=format)
    assert open_checkpoint(out).config.final_norm
    assert contents(out) == contents(normed_file)


def test_transformers_is_not_given_a_norm_that_it_would_leave_out(
    tmp_path, normed_file
):
    with pytest.raises(CheckpointError, match="transformers' SamModel would leave out"):
        convert(normed_file, tmp_path / "hf", format="huggingface")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parity
def test_the_official_file_of_the_reference_comes_back_to_the_byte(tmp_path, config):
    import reference
    import torch

    sam = reference.build_reference(config)
    torch.save(sam.state_dict(), tmp_path / "official.pth")
    path = tmp_path / "official.pth"
    steps: dict[str, Format] = {"hf": "huggingface", "own": "samjax", "b.pth": "pth"}
    for name, format in steps.items():
        path = convert(path, tmp_path / name, format=format)
    state = torch.load(path, weights_only=True)
    sam.load_state_dict(state, strict=True)
    for name, tensor in reference.build_reference(config).state_dict().items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_half_and_double_files_keep_their_dtype_and_load_as_float32(
    tmp_path, config, dtype
):
    import reference
    import torch

    sam = reference.build_reference(config).to(getattr(torch, dtype))
    torch.save({"model": sam.state_dict()}, tmp_path / "a.pth")
    again = convert(
        convert(tmp_path / "a.pth", tmp_path / "own", format="samjax"),
        tmp_path / "b.pth",
    )
    for name, tensor in torch.load(again, weights_only=True).items():
        assert torch.equal(tensor, sam.state_dict()[name])
    params = load(tmp_path / "own")[1]
    leaf = np.asarray(params["image_encoder"]["neck_2"]["kernel"])
    weight = sam.state_dict()["image_encoder.neck.2.weight"].float()
    assert leaf.dtype == np.float32
    assert np.array_equal(leaf, weight.permute(2, 3, 1, 0).numpy())


@pytest.mark.parametrize("format", ["samjax", "safetensors", "huggingface"])
def test_what_no_shape_shows_travels_where_the_form_has_a_place_for_it(
    tmp_path, config, params, format
):
    config = dataclasses.replace(config, decoder_num_heads=4)
    own = save(tmp_path / "a.safetensors", config, params)
    out = convert(own, tmp_path / "2" / DESTINATIONS[format], format=format)
    assert open_checkpoint(out).config == config


def test_a_dtype_casts_every_tensor(tmp_path, own_file):
    half = convert(own_file, tmp_path / "half.pth", dtype="bfloat16")
    dtypes = {tensor.dtype for tensor in open_checkpoint(half).tensors.values()}
    assert dtypes == {"BF16"}


@pytest.mark.parametrize(
    ("name", "format", "kind"),
    [
        ("a.pth", None, "pth"),
        ("a.pt", None, "pth"),
        ("a.safetensors", None, "samjax"),
        ("a.safetensors", "safetensors", "released"),
        ("folder", "samjax", "samjax"),
        ("folder", "huggingface", "huggingface"),
        ("folder.v1", "huggingface", "huggingface"),
    ],
)
def test_the_form_is_that_of_the_name_unless_told(
    tmp_path, own_file, name, format, kind
):
    out = convert(own_file, tmp_path / name, format=format)
    assert out == tmp_path / name
    naming = open_checkpoint(out).naming
    assert naming == {"pth": "released"}.get(kind, kind)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("folder", None),
        ("a.onnx", None),
        ("a.pth", "huggingface"),
        ("a.pth", "samjax"),
        ("a.safetensors", "pth"),
        ("folder", "pth"),
        ("folder", "safetensors"),
    ],
)
def test_a_name_that_does_not_fit_its_form_is_refused(tmp_path, own_file, name, format):
    with pytest.raises(CheckpointError, match="expected|unclear"):
        convert(own_file, tmp_path / name, format=format)
    assert not (tmp_path / name).exists()


def test_every_form_has_a_destination():
    assert set(SUFFIXES) == set(DESTINATIONS)


def test_a_file_converts_onto_itself(tmp_path, own_file):
    before = contents(own_file)
    convert(own_file, own_file, format="safetensors")
    assert open_checkpoint(own_file).naming == "released"
    assert contents(own_file) == before


@pytest.fixture
def with_tokenizer(tmp_path, own_file):
    """A folder of transformers with the files of a tokenizer, and others."""
    folder = convert(own_file, tmp_path / "given", format="huggingface")
    for name in ("spiece.model", "tokenizer_config.json", "README.md"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("format", ["huggingface", "samjax"])
def test_a_tokenizer_s_files_go_from_folder_to_folder(tmp_path, with_tokenizer, format):
    for _ in range(2):  # the second time they are there, and the same
        out = convert(with_tokenizer, tmp_path / "out", format=format)
    assert (out / "spiece.model").read_bytes() == b"spiece.model"
    assert (out / "tokenizer_config.json").is_file()
    assert not (out / "README.md").exists()
    convert(with_tokenizer, tmp_path / "b.safetensors")
    assert not (tmp_path / "spiece.model").exists()


def test_another_tokenizer_is_not_replaced_unless_told(tmp_path, with_tokenizer):
    out = tmp_path / "out"
    out.mkdir()
    (out / "spiece.model").write_bytes(b"mine")
    with pytest.raises(WouldReplace, match=r"spiece\.model is there"):
        convert(with_tokenizer, out, format="huggingface")
    assert [path.name for path in out.iterdir()] == ["spiece.model"]
    convert(with_tokenizer, out, format="huggingface", overwrite=True)
    assert (out / "spiece.model").read_bytes() == b"spiece.model"
    # Onto itself they stay.
    convert(out, out, format="huggingface", overwrite=True)
    assert (out / "spiece.model").read_bytes() == b"spiece.model"


def test_numbers_that_are_not_finite_are_reported_and_kept(tmp_path, own_file):
    path = convert(own_file, tmp_path / "a.safetensors", format="safetensors")
    weights = bytearray(path.read_bytes())
    weights[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(weights)
    with pytest.warns(UserWarning, match="not finite, in 1 tensors"):
        out = convert(path, tmp_path / "b.pth")
    assert contents(out) == contents(path)


def test_nothing_is_left_of_a_source_that_breaks_midway(tmp_path, own_file):
    source = convert(own_file, tmp_path / "a.pth", dtype="float32")
    with pytest.raises(CheckpointError):
        convert(source, tmp_path / "new" / "b.safetensors", dtype="int8")
    (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        convert(source, tmp_path / "new" / "b.safetensors")
    assert not (tmp_path / "new").exists()


MEASURE = """
import re, sys
from samjax.checkpoints import convert
from samjax.checkpoints.safetensors_file import Planned
from samjax.checkpoints.torch_writer import write_torch_file
from samjax.models.weight_map import entries
from samjax.checkpoints.writer import Format
from samjax.files import WouldReplace
from samjax.models import VIT_B
import numpy as np

def peak():
    # Not getrusage: a child process starts there with its parent's peak.
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

if sys.argv[1] == "make":
    noise = np.random.default_rng(0).standard_normal(2**24, np.float32)
    plan = [Planned(e.released, "F32", e.shape) for e in entries(VIT_B)]
    arrays = (noise[: int(np.prod(p.shape))].reshape(p.shape) for p in plan)
    with open(sys.argv[2], "wb") as file:
        write_torch_file(file, plan, arrays)
else:
    before = peak()
    convert(sys.argv[2], sys.argv[3], format="samjax")
    print(before, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_converting_vit_b_takes_a_small_part_of_its_size_in_memory(tmp_path):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *map(str, arguments)],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    path = tmp_path / "b.pth"
    run("make", path)
    size = path.stat().st_size
    assert size > 370e6
    before, after = map(int, run("convert", path, tmp_path / "b.safetensors"))
    # The bar is 1.3 times the file for ViT-H, all of Python included. One tensor at a
    # time is much less: the largest of ViT-B has 14 MB.
    assert after - before < 0.3 * size
    assert after < 1.3 * size
