"""Text prompts of the predictor: alone, with other prompts, ragged and refused."""

import numpy as np
import pytest
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax import Prompt
from samjax.checkpoints import save
from samjax.compat import SamPredictor, sam_model_registry
from samjax.compat.model import Sam as CompatSam
from samjax.inference import predictor as predictor_module
from samjax.inference import texts
from samjax.inference.prompt_inputs import to_inputs
from samjax.models import NOT_A_POINT, Sam
from samjax.models.text_sam import TextSam

PARAMS = random_params()


@pytest.fixture(scope="module")
def predictor():
    return samjax.Predictor(TextSam(SMALL_TEXT), PARAMS)


@pytest.fixture(scope="module")
def embeddings(predictor):
    generator = np.random.default_rng(0)
    sizes = [(40, 64), (64, 30)]
    return predictor.embed_batch(
        generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes
    )


def rough_mask(embedding):
    height, width = embedding.frame.original_size
    mask = np.zeros((height, width), bool)
    mask[: height // 2, : width // 2] = True
    return mask


def prompts(embedding):
    return [
        Prompt(text="a cup"),
        Prompt(points=[[5, 6]]),
        Prompt(text="the red spoon", points=[[5, 6], [20, 9]], labels=[1, 0]),
        Prompt(text="cup", box=[3, 4, 20, 30]),
        Prompt(text="a handle of the red cup", mask=rough_mask(embedding)),
        Prompt(
            text="spoon",
            points=[[8, 8]],
            box=[0, 0, 12, 12],
            mask=rough_mask(embedding),
        ),
        Prompt(text="a spoon"),
    ]


def test_ragged_text_prompts_equal_one_by_one_calls(predictor, embeddings):
    given = [prompts(embeddings[0]), prompts(embeddings[1])[:3]]
    batched = predictor.predict_batch(embeddings, given)
    for embedding, of_image, got in zip(embeddings, given, batched, strict=True):
        for prompt, masks in zip(of_image, got, strict=True):
            alone = predictor.predict(embedding, prompt)
            assert len(masks.scores) == len(alone.scores)
            np.testing.assert_allclose(masks.logits, alone.logits, atol=1e-4)
            np.testing.assert_allclose(masks.scores, alone.scores, atol=1e-4)


def test_each_text_matters_and_each_prompt_beside_it(predictor, embeddings):
    given = prompts(embeddings[0])
    logits = [predictor.predict_all(embeddings[0], prompt).logits for prompt in given]
    for i, first in enumerate(logits):
        for second in logits[:i]:
            assert np.abs(first - second).max() > 1e-3


def test_a_text_alone_is_ambiguous_and_a_text_with_a_point_is_not(
    predictor, embeddings
):
    counts = [
        len(predictor.predict(embeddings[0], prompt).scores)
        for prompt in (Prompt(text="a cup"), Prompt(text="a cup", points=[[5, 6]]))
    ]
    assert counts == [3, 1]


def test_a_text_alone_is_followed_by_the_token_of_no_point(embeddings):
    vector = np.ones(12, np.float32)
    alone = to_inputs(Prompt(text="a cup"), embeddings[0].frame, 16, vector)
    assert alone.labels.tolist() == [NOT_A_POINT]
    boxed = Prompt(text="a cup", box=[0, 0, 4, 4])
    assert len(to_inputs(boxed, embeddings[0].frame, 16, vector).labels) == 2


def test_other_texts_compile_nothing(predictor, embeddings):
    predictor.predict(embeddings[0], Prompt(text="a cup"))
    before = texts._embed._cache_size(), predictor_module._decode._cache_size()
    for text in ("cup", "the handle of the red cup", "a a a red red red spoon"):
        predictor.predict(embeddings[0], Prompt(text=text))
    long = Prompt(text="red " * 2500)
    with pytest.warns(UserWarning, match="reads 8"):
        predictor.predict(embeddings[0], long)
    assert (
        texts._embed._cache_size(),
        predictor_module._decode._cache_size(),
    ) == before


def test_a_text_is_embedded_once(predictor, embeddings, monkeypatch):
    calls = []

    def count(*arguments, **options):
        calls.append(arguments)
        return original(*arguments, **options)

    original = texts._embed
    monkeypatch.setattr(texts, "_embed", count)
    for _ in range(3):
        predictor.predict(embeddings[0], Prompt(text="the red red cup"))
    assert len(calls) == 1


@pytest.mark.parametrize(
    "text, words",
    [
        ("\x00\x07", "nothing is left"),
        ("кружка", "knows no word"),
        ("杯子", "knows no word"),
        ("x" * 10_000, "knows no word"),
    ],
)
def test_texts_that_cannot_be_used_are_refused_in_one_line(
    predictor, embeddings, text, words
):
    with pytest.raises(ValueError, match=words) as caught:
        predictor.predict(embeddings[0], Prompt(text=text))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_model_without_text_refuses_with_the_remedy(embeddings):
    parts = {key: value for key, value in PARAMS.items() if key != "text_encoder"}
    from models.text_sam.model_test import plain_config

    plain = samjax.Predictor(Sam(plain_config()), parts)
    # The embeddings are of the same image encoder.
    with pytest.raises(ValueError, match="no text tower.*weights with text"):
        plain.predict(embeddings[0], Prompt(text="a cup"))
    assert len(plain.predict(embeddings[0], Prompt(points=[[3, 3]])).scores) == 3


def test_params_without_the_text_tower_are_refused():
    parts = {key: value for key, value in PARAMS.items() if key != "text_encoder"}
    with pytest.raises(ValueError, match="text_encoder"):
        samjax.Predictor(TextSam(SMALL_TEXT), parts)


def test_compat_takes_a_text_beside_the_reference_s_arguments(predictor):
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    theirs = SamPredictor(CompatSam(predictor.model, predictor.params))
    theirs.set_image(image)
    embedding = predictor.embed(image)
    for arguments, prompt in (
        ({}, Prompt(text="a cup")),
        (
            {"point_coords": np.array([[5, 6]]), "point_labels": np.array([1])},
            Prompt(text="a cup", points=[[5, 6]]),
        ),
    ):
        masks, scores, logits = theirs.predict(**arguments, text="a cup")
        expected = predictor.predict(embedding, prompt, multimask=True)
        np.testing.assert_allclose(logits, expected.logits, atol=1e-4)
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
        np.testing.assert_array_equal(masks, expected.masks)


def test_compat_builds_weights_with_text(tmp_path, predictor):
    weights = save(tmp_path / "text.safetensors", SMALL_TEXT, PARAMS)
    built = sam_model_registry["small_text"](checkpoint=weights)
    assert built.predictor.model.has_text
    assert built.predictor.fingerprint == predictor.fingerprint
    with pytest.raises(ValueError, match="weights without text"):
        sam_model_registry["small_text"](checkpoint="tiny")
