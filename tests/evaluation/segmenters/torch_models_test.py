"""The adapters of PyTorch models: the scores of samjax, object by object."""

import json

import jax
import numpy as np
import pytest
from conftest import random_params
from detection_set_files import write_coco
from small_photo_set import TWO, rounds_of, sample_of

from samjax.checkpoints import convert, save
from samjax.evaluation.policies.edge_maps import EdgeMaps
from samjax.evaluation.policies.mask_embeddings import MaskEmbeddings
from samjax.evaluation.segmenter import PredictorSegmenter, Segmenter
from samjax.evaluation.segmenters import image_size_of
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.instances import Instances
from samjax.evaluation.suites.proposals import ObjectProposals
from samjax.evaluation.suites.single_point import SinglePoint
from samjax.inference import Predictor
from samjax.models import Sam, SamConfig
from samjax.prompts import Prompt

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools", reason="the suites need the extra `eval`")
pytestmark = pytest.mark.parity

# A grid of 8 with windows of 5, which are padded.
CONFIG = SamConfig(
    image_size=128,
    embed_dim=32,
    depth=2,
    num_heads=2,
    window_size=5,
    global_attention_blocks=(1,),
)


class PromptByPrompt:
    """samjax's model without its own way to propose masks, which takes long to compile.

    Both ways are compared in the tests of the suite of proposals.
    """

    def __init__(self, segmenter):
        self.prompt_kinds = segmenter.prompt_kinds
        self.describe, self.embed = segmenter.describe, segmenter.embed
        self.predict = segmenter.predict


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory):
    """One model of random weights behind three adapters."""
    import reference as published

    from samjax.evaluation.segmenters.hugging_face import load_transformers
    from samjax.evaluation.segmenters.torch_reference import TorchReference

    sam = published.build_reference(CONFIG, seed=5)
    params = published.to_params(sam, CONFIG)
    folder = tmp_path_factory.mktemp("weights")
    own = save(folder / "own.safetensors", CONFIG, params)
    return {
        "samjax": PromptByPrompt(PredictorSegmenter(Predictor(Sam(CONFIG), params))),
        "reference": TorchReference(sam),
        "transformers": load_transformers(
            str(convert(own, folder / "hf", format="huggingface"))
        ),
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("photos") / "set")


SUITES = {
    "single-point": (
        SinglePoint(clicks=(1, 3), min_area=1),
        lambda record: {**record["iou"], **record["predicted"]},
    ),
    "instances": (Instances(), lambda record: record["iou"]),
    "proposals": (
        ObjectProposals(points_per_side=4),
        lambda record: record["recall"],
    ),
}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("name", ["reference", "transformers"])
def test_the_same_weights_give_the_same_scores_object_by_object(
    suite, name, segmenters, photos
):
    options, scores = SUITES[suite]
    ours, theirs = (
        evaluate(options.make([photos], CONFIG.image_size), segmenters[one])
        for one in ("samjax", name)
    )
    assert len(ours.sets[0].objects) == len(theirs.sets[0].objects) == 6
    for own, other in zip(ours.sets[0].objects, theirs.sets[0].objects, strict=True):
        own, other = scores(own), scores(other)
        assert own.keys() == other.keys()
        for score, value in own.items():
            assert value == pytest.approx(other[score], abs=2e-3), score
    for score, value in ours.scores.items():
        assert value == pytest.approx(theirs.scores[score], abs=2e-3), score


@pytest.mark.parametrize("name", ["reference", "transformers"])
def test_the_same_weights_give_the_same_edges_and_mask_embeddings(name, segmenters):
    sample = sample_of(TWO)
    edges, vectors = [], []
    for segmenter in (segmenters["samjax"], segmenters[name]):
        policy = EdgeMaps(points_per_side=3, edge_nms="none")
        edges.append(rounds_of(policy, segmenter, sample)[0].edges)
        vectors.append(rounds_of(MaskEmbeddings(), segmenter, sample)[0].vectors)
    # A pixel may cross the threshold of a mask, and take its strength with it.
    assert edges[0].max() == 1 and np.abs(edges[0] - edges[1]).mean() < 1e-4
    assert vectors[0].shape == (2, CONFIG.prompt_embed_dim)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_the_size_of_the_input_is_known_before_weights_are_loaded(tmp_path):
    assert image_size_of("reference", "any.pth") == 1024
    assert image_size_of("grabcut", None) is None
    config = tmp_path / "config.json"
    for content, size in (({"image_size": 256}, 256), ({}, 1024)):
        config.write_text(json.dumps({"vision_config": content}))
        assert image_size_of("transformers", str(tmp_path)) == size
    for damaged in ("{", "[]", "{}", '{"vision_config": {"image_size": null}}'):
        config.write_text(damaged)
        with pytest.raises(ValueError, match=r"config\.json"):
            image_size_of("transformers", str(tmp_path))


def test_weights_in_half_precision_segment_too(tmp_path):
    from samjax.evaluation.segmenters.hugging_face import load_transformers

    params = random_params(Sam(CONFIG), seed=3)
    halves = jax.tree.map(lambda value: np.asarray(value, np.float16), params)
    own = save(tmp_path / "own.safetensors", CONFIG, halves)
    segmenter = load_transformers(
        str(convert(own, tmp_path / "hf", format="huggingface"))
    )
    embedding = segmenter.embed(np.full((40, 60, 3), 90, np.uint8))
    (prediction,) = segmenter.predict(embedding, [Prompt(points=[[10, 12]])])
    assert prediction.multimask.masks.shape == (3, 40, 60)


@pytest.mark.parametrize("name", ["reference", "transformers"])
def test_an_adapter_takes_prompts_of_all_kinds_in_any_order(name, segmenters):
    segmenter, image = segmenters[name], np.full((40, 60, 3), 90, np.uint8)
    assert isinstance(segmenter, Segmenter) and segmenter.describe()["versions"]
    logits = np.zeros((32, 32), np.float32)
    prompts = [
        Prompt(points=[[10, 12]]),
        Prompt(box=[5, 5, 26, 26]),
        Prompt(points=[[20, 12]]),
        Prompt(points=[[20, 12], [3, 3]], labels=[1, 0], box=[5, 5, 26, 26]),
        Prompt(box=[5, 5, 26, 26], mask=logits),
        Prompt(box=[9, 5, 26, 26], mask=logits),
    ]
    embedding = segmenter.embed(image)
    together = segmenter.predict(embedding, prompts)
    for prompt, prediction in zip(prompts, together, strict=True):
        (alone,) = segmenter.predict(embedding, [prompt])
        for left, right, count in zip(prediction, alone, (1, 3), strict=True):
            assert left.masks.shape == (count, 40, 60)
            np.testing.assert_allclose(left.logits, right.logits, atol=1e-4)
            np.testing.assert_allclose(left.scores, right.scores, atol=1e-5)
    with pytest.raises(ValueError, match="text"):
        segmenter.predict(embedding, [Prompt(text="a square")])


def test_weights_that_cannot_be_used_are_named(tmp_path):
    from samjax.evaluation.segmenters import make_segmenter

    with pytest.raises(ValueError, match=r"a \.pth file"):
        make_segmenter("reference")
    with pytest.raises(ValueError, match="config.json"):
        make_segmenter("transformers", str(tmp_path))
    with pytest.raises(ValueError, match="no weights"):
        make_segmenter("grabcut", "vit_b")
