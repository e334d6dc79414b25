"""The suite of text prompts, on models that know the truth and on a small model."""

import dataclasses

import numpy as np
import pytest
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax.data.captioned.things import COLOURS, THINGS
from samjax.evaluation.datasets.captioned import CaptionedScenes
from samjax.evaluation.segmenter import FixedMasks, Prediction, PredictorSegmenter
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.text import Text, text_suite
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
    ):
        with pytest.raises(OptionError):
            options.check(data, segmenter)
    Text().check([], "samjax")
    assert len(Text(scenes=4).make([], None)) == 4
