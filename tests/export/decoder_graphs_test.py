"""The exported decoder, in onnxruntime, beside the model and beside the reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_params

from samjax.export.decoder_graphs import write_pair, write_single
from samjax.export.image_graph import read_decoder
from samjax.export.onnx_graph import IR_VERSION, OPSET
from samjax.export.verify import predict
from samjax.models import Sam, SamConfig

onnxruntime = pytest.importorskip("onnxruntime")

CONFIG = SamConfig(
    image_size=128, embed_dim=32, depth=1, num_heads=2, global_attention_blocks=(0,)
)
SIDE, GRID = CONFIG.image_size, CONFIG.grid_size
MODEL = Sam(CONFIG)


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(jnp.float32, random_params(MODEL, seed=0))


@pytest.fixture(scope="module")
def decoder(params):
    return read_decoder(MODEL, params)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


@pytest.fixture(scope="module")
def pair(decoder):
    return [session(model) for model in write_pair(decoder)]


@pytest.fixture(scope="module")
def single(decoder):
    return session(write_single(decoder))


def prompts_of(count, *, box=False, seed=0):
    """Points, then a box's corners or the one point that stands for none."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, SIDE, (1, count + 1 + box, 2)).astype(np.float32)
    labels = rng.integers(0, 2, (1, count + 1 + box)).astype(np.float32)
    labels[0, count:] = [2, 3] if box else [-1]
    return points, labels


def image_of(seed=0, has_mask=False):
    rng = np.random.default_rng(seed)
    shape = (1, CONFIG.prompt_embed_dim, GRID, GRID)
    mask = 4 * rng.normal(size=(1, 1, 4 * GRID, 4 * GRID))
    return {
        "image_embeddings": rng.normal(size=shape).astype(np.float32),
        "mask_input": mask.astype(np.float32),
        "has_mask_input": np.array([has_mask], np.float32),
    }


def expected(params, image, points, labels):
    feeds = {**image, "point_coords": points, "point_labels": labels}
    return predict(MODEL, params, [feeds])[0]


def run_pair(pair, image, points, labels):
    prepare, prompt = pair
    names = [output.name for output in prepare.get_outputs()]
    shared = dict(zip(names, prepare.run(None, image), strict=True))
    inputs = {**shared, "point_coords": points, "point_labels": labels}
    return prompt.run(["low_res_masks", "iou_predictions"], inputs)


def off(actual, expected):
    """The largest difference over the root of the mean square."""
    return np.abs(actual - expected).max() / np.sqrt(np.mean(np.square(expected)))


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize(
    ("number", "box"), [(1, False), (0, True), (3, True), (32, False)]
)
def test_a_pair_predicts_as_the_model_does(params, pair, number, box, has_mask):
    image = image_of(number, has_mask)
    points, labels = prompts_of(number, box=box)
    logits, scores = expected(params, image, points, labels)
    found_logits, found_scores = run_pair(pair, image, points, labels)
    assert off(found_logits, logits) < 1e-4
    assert np.abs(found_scores - scores).max() < 1e-4
    # Another prompt has other masks: the comparison can fail.
    other = run_pair(pair, image, *prompts_of(number, box=box, seed=1))
    assert off(other[0], logits) > 1e-2


def test_any_number_of_points_goes_through_the_same_graph(params, pair):
    image = image_of()
    for number in range(1, 33):
        points, labels = prompts_of(number, seed=number)
        logits, _ = expected(params, image, points, labels)
        assert off(run_pair(pair, image, points, labels)[0], logits) < 1e-4


def test_one_graph_predicts_as_the_pair_does(params, pair, single):
    image, (points, labels) = image_of(1, True), prompts_of(2)
    prompt = {"point_coords": points, "point_labels": labels}
    size = {"orig_im_size": np.array([90, 120], np.float32)}
    masks, scores, low_res = single.run(None, {**image, **prompt, **size})
    logits, wanted_scores = run_pair(pair, image, points, labels)
    assert masks.shape == (1, 4, 90, 120)
    assert off(low_res, logits) < 1e-5
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-5)


@pytest.mark.parametrize(("storage", "bound"), [("float16", 0.01), ("int8", 0.3)])
def test_weights_may_be_stored_smaller(params, decoder, storage, bound):
    image, (points, labels) = image_of(), prompts_of(2)
    small = write_pair(decoder, storage)
    whole = sum(len(model.SerializeToString()) for model in write_pair(decoder))
    size = sum(len(model.SerializeToString()) for model in small)
    assert size < whole * {"float16": 0.55, "int8": 0.31}[storage]
    logits, _ = expected(params, image, points, labels)
    found, _ = run_pair([session(model) for model in small], image, points, labels)
    assert 1e-6 < off(found, logits) < bound * np.abs(logits).max() / logits.std()


def test_graphs_are_of_versions_that_browsers_read(decoder):
    for model in (*write_pair(decoder), write_single(decoder)):
        assert model.ir_version == IR_VERSION <= 13
        assert [each.version for each in model.opset_import] == [OPSET]
        assert OPSET <= 26
        # No weight is without use: the browser's runtime would complain.
        used = {name for node in model.graph.node for name in node.input}
        assert {tensor.name for tensor in model.graph.initializer} <= used


@pytest.mark.parity
@pytest.mark.parametrize("best_mask", [False, True])
@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("size", [(90, 120), (200, 131), (128, 128)])
def test_one_graph_is_that_of_the_reference(number, size, best_mask):
    torch = pytest.importorskip("torch")
    single, wrapper = _beside_the_reference(best_mask)
    image, (points, labels) = image_of(number, number == 2), prompts_of(number)
    feeds = {
        **image,
        "point_coords": points,
        "point_labels": labels,
        "orig_im_size": np.array(size, np.float32),
    }
    with torch.no_grad():
        wanted = wrapper(**{name: torch.tensor(value) for name, value in feeds.items()})
    found = single.run(["masks", "iou_predictions", "low_res_masks"], feeds)
    assert [x.shape for x in found] == [tuple(x.shape) for x in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert off(ours, theirs.numpy()) < 1e-4


@functools.cache
def _beside_the_reference(best_mask):
    import reference

    reference.import_reference()
    from segment_anything.utils.onnx import SamOnnxModel

    sam = reference.build_reference(CONFIG, seed=5)
    decoder = read_decoder(MODEL, reference.to_params(sam, CONFIG))
    return session(write_single(decoder, best_mask=best_mask)), SamOnnxModel(
        sam, return_single_mask=best_mask
    )
