"""Embeddings on disk: the same back, and nothing that does not belong."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from samjax.geometry.frame import Frame
from samjax.inference.embedding import FORMAT, ImageEmbedding, fingerprint
from samjax.models import SamConfig


@pytest.fixture
def embedding(rng) -> ImageEmbedding:
    features = rng.standard_normal((8, 8, 4)).astype(np.float32)
    return ImageEmbedding(jnp.array(features), Frame.fit((31, 57), 64), "abc" * 20)


def test_an_embedding_comes_back_from_its_file(embedding, tmp_path):
    embedding.save(tmp_path / "photo.embedding")
    loaded = ImageEmbedding.load(tmp_path / "photo.embedding")
    np.testing.assert_array_equal(loaded.features, embedding.features)
    assert loaded.frame == embedding.frame
    assert loaded.fingerprint == embedding.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["photo.embedding"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    embedding, tmp_path, monkeypatch
):
    path = tmp_path / "photo.embedding"
    path.write_bytes(b"old")

    def full_disk(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        embedding.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["photo.embedding"]


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(embedding, tmp_path, kept):
    path = tmp_path / "photo.embedding"
    embedding.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="damaged, cut off or no safetensors file"):
        ImageEmbedding.load(path)


def rewrite(path, features, **changes):
    header = {
        "format": FORMAT,
        "version": 1,
        "original_size": [31, 57],
        "resized_size": [35, 64],
        "model_size": 64,
        "fingerprint": "abc",
        **changes,
    }
    content = safetensors.numpy.save(
        {"features": features}, {"samjax": json.dumps(header)}
    )
    path.write_bytes(content)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file({"features": np.zeros((2, 2, 2), np.float32)}, path)
    with pytest.raises(ValueError, match="no image embedding of samjax"):
        ImageEmbedding.load(path)
    rewrite(path, np.zeros((8, 8, 4), np.float32), format="another")
    with pytest.raises(ValueError, match="no image embedding of samjax"):
        ImageEmbedding.load(path)
    with pytest.raises(FileNotFoundError):
        ImageEmbedding.load(tmp_path / "absent")


def test_other_versions_are_refused(tmp_path):
    path = tmp_path / "new.embedding"
    rewrite(path, np.zeros((8, 8, 4), np.float32), version=2)
    with pytest.raises(ValueError, match="embedding version 2, expected 1"):
        ImageEmbedding.load(path)


@pytest.mark.parametrize(
    ("features", "changes"),
    [
        (np.zeros((8, 8), np.float32), {}),
        (np.zeros((8, 8, 4), np.float64), {}),
        (np.zeros((1, 4, 8, 8), np.float32), {}),
        (np.zeros((2, 4, 8, 8), np.float32), {"layout": "nchw"}),
        (np.zeros((8, 8, 4), np.float32), {"layout": "nchw"}),
        *(
            (np.zeros((8, 8, 4), np.float32), {"layout": value})
            for value in ("chw", None, ["hwc"], 1)
        ),
        (np.full((8, 8, 4), np.nan, np.float32), {}),
        (np.zeros((8, 8, 4), np.float32), {"resized_size": [64, 65]}),
        (np.zeros((8, 8, 4), np.float32), {"original_size": [0, 5]}),
        *(
            (np.zeros((8, 8, 4), np.float32), {name: value})
            for name in ("original_size", "resized_size", "model_size")
            for value in (None, [], [5], [5, 6, 7], [5, True], [5, 6.0], "56", {}, -1)
        ),
        (np.zeros((8, 8, 4), np.float32), {"original_size": [10**9, 10**9]}),
        (np.zeros((8, 8, 4), np.float32), {"original_size": [1, 2**40]}),
        (np.zeros((8, 8, 4), np.float32), {"original_size": [10**400, 1]}),
        (np.zeros((8, 8, 4), np.float32), {"model_size": 7}),
        (np.zeros((8, 0, 4), np.float32), {}),
        (np.zeros((8, 8, 4), np.float32), {"fingerprint": 3}),
        (np.zeros((8, 8, 4), np.float32), {"crc32": 3}),
        (np.zeros((8, 8, 4), np.float32), {"crc32": "x"}),
    ],
)
def test_contents_that_contradict_each_other_are_refused(tmp_path, features, changes):
    path = tmp_path / "odd.embedding"
    rewrite(path, features, **changes)
    with pytest.raises(ValueError, match="contradict each other"):
        ImageEmbedding.load(path)


@pytest.mark.parametrize(
    "text",
    {
        "infinite": '{"format": "samjax image embedding", "original_size": [Infinity]}',
        "nested without end": "[" * 60_000,
        "a list": "[]",
        "a number": "1e999",
        "nothing": "",
        "of many digits": '{"format": ' + "9" * 5000 + "}",
    }.items(),
    ids=lambda item: item[0],
)
def test_headers_of_any_json_give_the_one_error(tmp_path, text):
    path = tmp_path / "odd.embedding"
    content = {"features": np.zeros((8, 8, 4), np.float32)}
    path.write_bytes(safetensors.numpy.save(content, {"samjax": text[1]}))
    with pytest.raises(ValueError, match=r"odd\.embedding, which is no image emb"):
        ImageEmbedding.load(path)


def test_a_header_of_another_size_is_not_read(tmp_path):
    path = tmp_path / "long.embedding"
    rewrite(path, np.zeros((8, 8, 4), np.float32), note="x" * 70_000)
    with pytest.raises(ValueError, match="its header has 70"):
        ImageEmbedding.load(path)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", ["hwc", "nchw"])
def test_every_layout_and_dtype_loads_as_it_was(embedding, tmp_path, layout, dtype):
    path = tmp_path / "photo.embedding"
    path.write_bytes(embedding.to_bytes(layout=layout, dtype=dtype))
    loaded = ImageEmbedding.load(path)
    rounded = np.asarray(embedding.features).astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(loaded.features, rounded)
    assert loaded.features.dtype == np.float32
    assert (loaded.frame, loaded.fingerprint) == (embedding.frame, "abc" * 20)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="their checksum"):
        ImageEmbedding.load(path)


def test_embeddings_that_earlier_servers_sent_are_read(tmp_path):
    features = np.arange(256, dtype=np.float32).reshape(1, 4, 8, 8)
    format = "samjax image embedding, channels first"
    rewrite(tmp_path / "sent", features, format=format)
    loaded = ImageEmbedding.load(tmp_path / "sent")
    np.testing.assert_array_equal(loaded.features, features[0].transpose(1, 2, 0))


@pytest.mark.parametrize("place", [0.02, 0.5, 0.99])
def test_a_changed_bit_is_noticed(tmp_path, place):
    path = tmp_path / "photo.embedding"
    features = np.linspace(0, 1, 256, dtype=np.float32).reshape(8, 8, 4)
    ImageEmbedding(jnp.array(features), Frame.fit((31, 57), 64), "abc").save(path)
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    content[start + int(place * (len(content) - start))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="their checksum"):
        ImageEmbedding.load(path)
    whole = path.read_bytes().replace(b"[31, 57]", b"[32, 57]")
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="their checksum"):
        ImageEmbedding.load(path)


def test_a_sound_file_written_by_hand_is_read(tmp_path):
    """The rewriting helper makes good files, so its bad ones fail for their reason."""
    rewrite(tmp_path / "good", np.zeros((8, 8, 4), np.float32))
    assert ImageEmbedding.load(tmp_path / "good").frame == Frame.fit((31, 57), 64)


def changed(params, path, index, value):
    params = jax.tree.map(np.array, params)
    leaf = params
    for key in path:
        leaf = leaf[key]
    leaf.reshape(-1)[index] = value
    return params


def test_the_fingerprint_is_of_the_weights_not_of_the_object(tiny_model):
    model, params = tiny_model
    name = fingerprint(model.config, params)
    assert len(name) == 64
    assert name == fingerprint(model.config, jax.tree.map(jnp.array, params))


@pytest.mark.parametrize("index", [0, 1, 6, -1])
def test_any_single_change_of_the_encoder_changes_the_fingerprint(tiny_model, index):
    """Index 1 and 6 are between the sampled numbers of a large leaf."""
    model, params = tiny_model
    path = ("image_encoder", "neck_2", "kernel")
    assert params["image_encoder"]["neck_2"]["kernel"].size > 8 * 4096
    other = changed(params, path, index, 123.0)
    assert fingerprint(model.config, other) != fingerprint(model.config, params)


def test_an_odd_last_number_counts_too(tiny_model):
    """The sum takes numbers in pairs; this length leaves one, between the samples."""
    model, _ = tiny_model
    leaf = np.arange(3 * 4096 + 3, dtype=np.float32)
    other = leaf.copy()
    other[-1] = 0
    assert len(leaf) % 2 == 1 and (len(leaf) - 1) % 3
    names = {
        fingerprint(model.config, {"image_encoder": {"a": x}}) for x in (leaf, other)
    }
    assert len(names) == 2


def test_embeddings_outlive_a_new_decoder(tiny_model):
    """They do not depend on prompt encoder and mask decoder, nor on training options."""
    model, params = tiny_model
    path = ("mask_decoder", "iou_token", "embedding")
    other = changed(params, path, 0, 123.0)
    assert fingerprint(model.config, other) == fingerprint(model.config, params)
    trained = dataclasses.replace(model.config, drop_path_rate=0.3, remat=True)
    assert fingerprint(trained, params) == fingerprint(model.config, params)


def test_other_sizes_have_another_fingerprint(tiny_model):
    """The same tensors with other windows compute another embedding."""
    model, params = tiny_model
    for change in ({"window_size": 5}, {"final_norm": True}):
        other = dataclasses.replace(model.config, **change)
        assert fingerprint(other, params) != fingerprint(model.config, params)


def test_the_fingerprint_of_a_model_does_not_change_with_samjax():
    """Embeddings in files name the model by it."""
    config = SamConfig(embed_dim=4, depth=1, num_heads=1, global_attention_blocks=(0,))
    params = {"image_encoder": {"a": np.arange(5, dtype=np.float32)}}
    assert fingerprint(config, params).startswith("1d603a9dd5dd38ae")
