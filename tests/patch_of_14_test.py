"""A model of DINOv2's sizes, patches of 14 pixels on 672: logits are 3.5 pixels apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_params

import samjax
from samjax.checkpoints import convert, save
from samjax.export.decoder_graphs import write_single
from samjax.export.encoder_files import export_encoder
from samjax.export.image_graph import read_decoder
from samjax.inference.automatic.config import AutomaticConfig
from samjax.models import Sam, SamConfig

CONFIG = SamConfig(
    image_size=672,
    patch_size=14,
    embed_dim=24,
    depth=2,
    num_heads=2,
    global_attention_blocks=(1,),
    prompt_embed_dim=32,
    decoder_mlp_dim=32,
    final_norm=True,
)
IMAGE = np.random.default_rng(0).integers(0, 256, (60, 84, 3), np.uint8)
POINT = (42.0, 30.0)


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(jnp.float32, random_params(Sam(CONFIG), seed=0))


@pytest.fixture(scope="module")
def predictor(params):
    return samjax.Predictor(Sam(CONFIG), params)


@pytest.fixture(scope="module")
def embedding(predictor):
    return predictor.embed(IMAGE)


@pytest.mark.parametrize("format", ["samjax", "safetensors", "pth"])
def test_its_sizes_are_found_in_its_file(tmp_path, params, format):
    path = save(tmp_path / "own.safetensors", CONFIG, params)
    if format != "samjax":
        suffix = "pth" if format == "pth" else "safetensors"
        path = convert(path, tmp_path / f"other.{suffix}", format=format)
    model, loaded = samjax.load(path)
    assert model.config == CONFIG
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


@pytest.fixture(scope="module")
def answer(predictor, embedding):
    return predictor.predict(embedding, samjax.Prompt(points=[POINT], labels=[1]))


def test_its_masks_are_of_the_images_size_and_prompt_it_again(
    predictor, embedding, answer
):
    assert answer.masks.shape == (3, 60, 84) and answer.logits.shape == (3, 192, 192)
    assert 0 < answer.masks.sum() < answer.masks.size
    prompt = samjax.Prompt(points=[POINT], labels=[1], mask=answer.masks[0])
    again = predictor.predict(embedding, prompt)
    assert again.masks.shape == (1, 60, 84) and np.isfinite(again.logits).all()


@pytest.mark.slow
def test_everything_mode_finds_the_masks_of_a_click(predictor, answer):
    config = AutomaticConfig(
        points_per_side=1,
        pred_iou_thresh=-1e9,
        stability_score_thresh=0,
        box_nms_thresh=1.0,
        output_mode="binary_mask",
    )
    records = samjax.generate_masks(predictor, IMAGE, config)
    found = {np.asarray(record["segmentation"]).tobytes() for record in records}
    assert found == {mask.tobytes() for mask in answer.masks if mask.any()}


def test_it_is_exported(tmp_path, params, embedding, answer):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = Sam(CONFIG)
    resized = embedding.frame.resize_image(IMAGE)
    features = np.asarray(embedding.features)
    done = export_encoder(model, params, resized, features, tmp_path / "encoder.onnx")
    assert done.error < 2e-5

    graph = write_single(read_decoder(model, params)).SerializeToString()
    feeds = {
        "image_embeddings": features.transpose(2, 0, 1)[None],
        "point_coords": np.array([[np.multiply(POINT, 8), (0, 0)]], np.float32),
        "point_labels": np.array([[1, -1]], np.float32),
        "mask_input": np.zeros((1, 1, 192, 192), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
        "orig_im_size": np.array([60, 84], np.float32),
    }
    session = onnxruntime.InferenceSession(graph)
    masks, scores, _ = session.run(["masks", "iou_predictions", "low_res_masks"], feeds)
    assert np.mean((masks[0, 1:] > 0) != answer.masks) < 1e-3
    np.testing.assert_allclose(scores[0, 1:], answer.scores, atol=1e-4)
