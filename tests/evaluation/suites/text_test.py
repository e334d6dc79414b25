"""The suite of text prompts, on models that know the truth and on a small model."""

import dataclasses

import numpy as np
import pytest
from evaluation.datasets.phrase_cut_test import write_phrase_cut
from evaluation.datasets.referring_test import write_referring
from models.owl.model_test import SMALL_CLIP
from models.owl.model_test import random_params as random_owl
from models.text_sam.model_test import plain_config
from small_photo_set import square, write_set
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax import checkpoints
from samjax.cli import UsageError
from samjax.cli.evaluated_segmenters import Named, load_segmenter
from samjax.data.captioned.things import COLOURS, THINGS
from samjax.evaluation.datasets.captioned import CaptionedScenes
from samjax.evaluation.segmenter import FixedMasks, Prediction, PredictorSegmenter
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.text import Text, text_suite
from samjax.models.owl import OwlConfig
from samjax.models.text_sam import TextSam


class Knowing:
    """Finds what a caption describes, and nothing else."""

    prompt_kinds = frozenset(("points", "box", "mask", "text"))

    def __init__(self, dataset):
        samples = [dataset[index] for index in range(len(dataset))]
        self.samples = {sample.image.tobytes(): sample for sample in samples}

    def describe(self):
        return {}

    def embed(self, image):
        return self.samples[image.tobytes()]

    def predict(self, embedding, prompts):
        masks = dict(zip(embedding.truth["captions"], embedding.targets, strict=True))
        nothing = np.zeros(embedding.image.shape[:2], bool)
        found = [FixedMasks(masks.get(p.text, nothing)[None]) for p in prompts]
        return [Prediction(mask, mask) for mask in found]


def test_a_model_that_reads_captions_scores_1_and_0_for_those_of_others():
    suite = text_suite(3, 96)
    result = evaluate(suite, Knowing(suite.datasets[0]))
    assert result.scores["text"] == result.scores["text_click"] == 1
    assert result.scores["no_text"] == result.scores["click"] == 0
    # A part's caption scores what it covers of its whole.
    assert result.scores["wrong_text"] < 0.3
    assert result.intervals["text"] == [1, 1]


def test_a_model_without_text_is_told():
    class Deaf(Knowing):
        prompt_kinds = frozenset(("points", "box", "mask"))

    suite = text_suite(2, 96)
    with pytest.raises(ValueError, match="expected one that takes text"):
        evaluate(suite, Deaf(suite.datasets[0]))


@pytest.mark.filterwarnings("ignore:The text .* not learned")
def test_a_model_of_samjax_is_scored_in_every_round():
    # Every caption begins with an article, and has a word that the model knows.
    words = ("the", *THINGS, *COLOURS)
    config = dataclasses.replace(SMALL_TEXT, words=words, vocab_size=len(words) + 4)
    predictor = samjax.Predictor(TextSam(config), random_params(config))
    segmenter = PredictorSegmenter(predictor)
    assert "text" in segmenter.prompt_kinds
    result = evaluate(text_suite(1, 64), segmenter)
    names = {"text", "wrong_text", "no_text", "click", "text_click", "text_oracle"}
    assert names <= set(result.scores)
    assert all(0 <= score <= 1 for score in result.scores.values())


def test_scenes_have_a_caption_for_every_object_and_differ():
    dataset = CaptionedScenes(count=3, size=96)
    for index in range(3):
        sample = dataset[index]
        assert len(sample.truth["captions"]) == len(sample.targets) >= 2
        assert len(set(sample.truth["captions"])) == len(sample.targets)
    assert (dataset[0].image != dataset[1].image).any()


def test_options_that_do_not_fit_are_refused(tmp_path):
    for data, segmenter, options in (
        ([tmp_path], "samjax", Text(scenes=3)),
        ([], "samjax", Text(images=3)),
        ([tmp_path], "samjax", Text(min_area=0)),
        ([], "grabcut", Text()),
        ([], "samjax", Text(scenes=0)),
        ([], "samjax", Text(presence=2.0)),
        ([], "samjax", Text(box_threshold=0.3)),
        ([], "samjax", Text(detector="owl", box_threshold=-1.0)),
    ):
        with pytest.raises(OptionError):
            options.check(data, segmenter)
    Text().check([], "samjax")
    assert len(Text(scenes=4).make([], None)) == 4


def name_things(content):
    """A cup and two spoons, an apple alone, and a photo of spoons."""
    content["categories"] = [
        {"id": number, "name": name}
        for number, name in enumerate(("cup", "spoon", "apple"), start=1)
    ]
    kinds = [1, 2, 2, 3, 2, 2]
    for annotation, kind in zip(content["annotations"], kinds, strict=True):
        annotation["category_id"] = kind


THREE = (square(2, 2, 22), square(2, 30, 22), square(30, 40, 25))


@pytest.fixture
def named_set(tmp_path):
    photos = (THREE, THREE[:1], THREE[:2])
    return write_set(tmp_path / "named", photos, change=name_things)


def test_names_of_one_object_are_captions_and_wrong_ones_are_of_others(named_set):
    (dataset,) = Text().make([named_set], 64).datasets
    cup, apple = (dataset[index] for index in range(len(dataset)))
    assert cup.truth["captions"] == ["a cup"]
    assert cup.truth["other_captions"] == ["a spoon"]
    np.testing.assert_array_equal(cup.targets[0], THREE[0])
    # The only name of its photo: the wrong one is of another photo.
    assert apple.truth["captions"] == ["an apple"]
    assert apple.truth["other_captions"][0] in ("a cup", "a spoon")


def test_a_model_that_reads_names_scores_1_and_0_for_wrong_ones(named_set):
    suite = Text(min_area=10).make([named_set], 64)
    result = evaluate(suite, Knowing(suite.datasets[0]))
    assert result.scores["text"] == 1 and result.scores["wrong_text"] == 0


def test_small_objects_and_sets_without_single_ones_are_left_out(named_set, tmp_path):
    (dataset,) = Text(min_area=10, images=1).make([named_set], 64).datasets
    assert len(dataset) == 1
    plain = write_set(tmp_path / "plain")
    with pytest.raises(ValueError, match="no photo with one object of a category"):
        Text().make([plain], 64)


def test_referring_expressions_have_the_scores_of_their_sets(tmp_path):
    folder = write_referring(tmp_path / "refcoco")
    suite = Text().make([folder, tmp_path / "refcoco:testA"], 64)
    assert [dataset.name for dataset in suite.datasets] == [
        "refcoco val (unc)",
        "refcoco testA (unc)",
    ]
    suite = Text().make([folder], 64)
    result = evaluate(suite, Knowing(suite.datasets[0]))
    scores = result.scores
    assert scores["text"] == scores["text_ciou"] == scores["text_p90"] == 1
    # The same object may be meant by another expression, but never by the wrong one.
    assert scores["wrong_text"] == scores["no_text"] == 0
    assert len(result.sets[0].objects) == 4


def test_phrases_of_several_instances_are_scored_by_all_of_them(tmp_path):
    suite = Text().make([write_phrase_cut(tmp_path / "cut")], 64)
    scores = evaluate(suite, Knowing(suite.datasets[0])).scores
    for name in ("text", "text_all", "text_all_ciou", "text_all_p90", "text_ciou"):
        assert scores[name] == 1, name
    assert scores["wrong_text"] == 0 and "absent_fp" not in scores


def test_absent_texts_are_of_what_is_not_there_and_are_counted(named_set):
    suite = text_suite(6, 96)
    for index in range(len(suite.datasets[0])):
        sample = suite.datasets[0][index]
        for name in sample.truth["absent"]:
            word = name.removeprefix("the ")
            assert word in THINGS and not any(
                word in caption.split() for caption in sample.truth["captions"]
            )
        assert len(sample.truth["absent"]) == len(sample.targets)
    (dataset,) = Text().make([named_set], 64).datasets
    cup, apple = (dataset[index] for index in range(len(dataset)))
    assert cup.truth["absent"] == ["an apple"]
    assert apple.truth["absent"][0] in ("a cup", "a spoon")

    class Sure(Knowing):
        """Finds something for every text, surer where it is there."""

        def predict(self, embedding, prompts):
            there = set(embedding.truth["captions"])
            mask = np.ones((1, *embedding.image.shape[:2]), bool)
            found = [
                FixedMasks(mask, np.array([0.9 if p.text in there else 0.6]))
                for p in prompts
            ]
            return [Prediction(of, of) for of in found]

    for threshold, answered in ((0.5, 1), (0.7, 0)):
        suite = Text(presence=threshold).make([named_set], 64)
        scores = evaluate(suite, Sure(suite.datasets[0])).scores
        assert scores["absent_fp"] == answered and scores["present_tp"] == 1
        assert scores["presence_auroc"] == 1
        assert "absent" not in scores


def test_a_detector_s_boxes_answer_the_texts(named_set, tmp_path):
    fields = dataclasses.asdict(SMALL_CLIP)
    fields |= {"embed_dim": 32, "vision_heads": 4, "vocab_size": 49_408}
    owl = OwlConfig(**fields)
    weights = tmp_path / "owl.safetensors"
    checkpoints.save(weights, owl, random_owl(owl))
    plain = tmp_path / "sam.safetensors"
    params = {k: v for k, v in random_params().items() if k != "text_encoder"}
    params["prompt_encoder"] = {
        k: v for k, v in params["prompt_encoder"].items() if k != "text_projection"
    }
    checkpoints.save(plain, plain_config(), params)
    options = Text(detector=str(weights), box_threshold=0.0)
    assert not options.needs_text and Text().needs_text
    segmenter = load_segmenter(Named("samjax", str(plain)), "float32", options)
    result = evaluate(options.make([named_set], 64), segmenter)
    assert {"text", "absent_fp", "presence_auroc"} <= set(result.scores)
    assert 0 < result.scores["text"] < 1
    about = result.model["detector"]
    assert about["name"] == str(weights) and about["threshold"] == 0
    wrong = Text(detector=str(plain))
    with pytest.raises(UsageError, match="is a Sam, expected OWLv2"):
        load_segmenter(Named("samjax", str(plain)), "float32", wrong)


def test_sets_of_several_kinds_are_not_mixed(named_set, tmp_path):
    folder = write_referring(tmp_path / "refcoco")
    with pytest.raises(ValueError, match="expected sets of one kind"):
        Text().make([folder, named_set], 64)
