"""The predictor: ragged batches, few compilations, the paper's rule, clear refusals."""

import concurrent.futures
import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from samjax.geometry.frame import Frame, normalize
from samjax.inference import ImageEmbedding, Masks, Predictor, Prompt
from samjax.models import PromptInputs, Sam


@pytest.fixture(scope="module")
def predictor(tiny_model) -> Predictor:
    return Predictor(*tiny_model)


def noise(seed: int, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return noise(0, 40, 70)


@pytest.fixture(scope="module")
def embedding(predictor, photo) -> ImageEmbedding:
    return predictor.embed(photo)


def random_prompt(generator: np.random.Generator, size: tuple[int, int]) -> Prompt:
    height, width = size
    number = generator.integers(0, 10)
    points = generator.uniform(-5, [width + 5, height + 5], (number, 2))
    box = mask = None
    if generator.random() < 0.4:
        box = np.sort(generator.uniform(0, width, (2, 2)), axis=0).reshape(4)
    match generator.integers(0, 4):
        case 0:
            mask = 5 * generator.standard_normal((32, 32))
        case 1:
            mask = generator.random((height, width)) < 0.5
    return Prompt(points, generator.integers(0, 2, number), box, mask)


def apply(predictor: Predictor, *arrays, method: str):
    """The model itself, without anything of the predictor around it."""

    @jax.jit
    def run(params, *arrays):
        return predictor.model.apply({"params": params}, *arrays, method=method)

    return run(predictor.params, *arrays)


def assert_same(left: Masks, right: Masks):
    scale = np.sqrt(np.mean(right.logits**2))
    np.testing.assert_allclose(left.logits, right.logits, atol=1e-5 * scale)
    np.testing.assert_allclose(left.scores, right.scores, atol=1e-5)
    full = right.full_logits()
    decided = np.abs(full) > 1e-5 * scale
    np.testing.assert_array_equal(left.masks[decided], right.masks[decided])


def test_an_answer_has_masks_of_the_original_size(predictor, embedding):
    masks = predictor.predict(embedding, Prompt(points=[[30, 20]], labels=[1]))
    assert masks.masks.shape == (3, 40, 70) and masks.masks.dtype == np.bool_
    assert masks.scores.shape == (3,) and masks.scores.dtype == np.float32
    assert masks.logits.shape == (3, 32, 32) and masks.logits.dtype == np.float32
    np.testing.assert_array_equal(masks.masks, masks.full_logits() > 0)
    assert len(masks) == 3 and 0 < masks.masks.mean() < 1


def test_masks_are_ranked_by_score_and_of_equal_ones_the_first_is_first(embedding):
    logits = np.arange(4, dtype=np.float32).repeat(64).reshape(4, 8, 8)
    masks = Masks(logits, np.float32([0.2, 0.7, 0.1, 0.7]), embedding.frame)
    assert masks.best_first().logits[:, 0, 0].tolist() == [1, 3, 0, 2]
    assert masks.best_first().scores.tolist() == sorted(masks.scores, reverse=True)
    assert masks.best.logits[:, 0, 0].tolist() == [1]


def test_the_best_mask_has_the_highest_score(predictor, embedding):
    masks = predictor.predict(embedding, Prompt(points=[[30, 20]]))
    index = masks.scores.argmax()
    assert len(masks.best) == 1
    assert masks.best.scores[0] == masks.scores[index]
    np.testing.assert_array_equal(masks.best.masks[0], masks.masks[index])


def test_the_encoder_sees_the_normalized_padded_frame(predictor, photo, embedding):
    """Trap 4a: PIL resize, normalize, then pad; features equal the model's own."""
    frame = Frame.fit((40, 70), 64)
    pixels = frame.pad(frame.resize_image(photo))[None]
    pixels = normalize(pixels, np.array([frame.resized_size]))
    expected = apply(predictor, pixels, method="encode_image")
    np.testing.assert_allclose(embedding.features, expected[0], atol=1e-4)
    assert embedding.frame == frame


def test_ragged_batches_equal_one_by_one_calls(predictor):
    generator = np.random.default_rng(3)
    sizes = [(40, 70), (90, 30), (7, 5), (200, 100)]
    images = [noise(i, *size) for i, size in enumerate(sizes)]
    prompts = [
        [random_prompt(generator, size) for _ in range(count)]
        for size, count in zip(sizes, (4, 0, 1, 2), strict=True)
    ]
    embeddings = predictor.embed_batch(images, batch_size=4)
    answers = predictor.predict_batch(embeddings, prompts)
    assert [len(of_image) for of_image in answers] == [4, 0, 1, 2]
    for image, of_image, given in zip(images, answers, prompts, strict=True):
        alone = predictor.embed(image)
        for answer, prompt in zip(of_image, given, strict=True):
            assert_same(answer, predictor.predict(alone, prompt))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_the_batch_size_does_not_matter(predictor, batch_size):
    images = [noise(i, 20 + i, 30) for i in range(5)]
    batch = predictor.embed_batch(iter(images), batch_size=batch_size)
    for image, embedding in zip(images, batch, strict=True):
        alone = predictor.embed(image)
        assert embedding.frame == alone.frame
        np.testing.assert_allclose(embedding.features, alone.features, atol=1e-5)


def test_batch_answers_mirror_what_was_asked(predictor, embedding):
    prompt = Prompt(points=[[3, 4]])
    one, several, none = predictor.predict_batch(
        [embedding] * 3, [prompt, [prompt, prompt], []]
    )
    assert isinstance(one, Masks)
    assert [len(masks) for masks in several] == [3, 3]
    assert none == []
    assert predictor.predict_batch([], []) == []


def test_more_prompts_than_fit_one_call(predictor, embedding):
    prompts = [Prompt(points=[[i, i]]) for i in range(37)]
    [answers] = predictor.predict_batch([embedding], [prompts])
    assert_same(answers[36], predictor.predict(embedding, prompts[36]))
    assert_same(answers[0], predictor.predict(embedding, prompts[0]))


def test_padding_of_prompts_is_exact(predictor, embedding):
    """Trap 4c: extra -1 points would be real tokens; ABSENT ones must change nothing."""
    prompt = Prompt(points=np.arange(8).reshape(4, 2))  # 5 tokens, padded to 11
    padded = predictor.predict(embedding, prompt, multimask=True)
    frame = embedding.frame
    points = np.concatenate([frame.points_to_model(prompt.points), np.zeros((1, 2))])
    labels = np.array([1, 1, 1, 1, -1])

    def decode(points, labels):
        inputs = PromptInputs(
            jax.device_put(points.astype(np.float32)[None, None]),
            jax.device_put(labels[None, None]),
        )
        features = embedding.features[None]
        prediction = apply(predictor, features, inputs, method="decode")
        return np.asarray(prediction.low_res_logits)[0, 0, 1:]

    exact = decode(points, labels)
    scale = np.sqrt(np.mean(exact**2))
    np.testing.assert_allclose(padded.logits, exact, atol=1e-5 * scale)
    sprung = decode(
        np.concatenate([points, np.zeros((6, 2))]), np.append(labels, [-1] * 6)
    )
    assert np.abs(sprung - exact).max() > 1e-2 * scale


@pytest.fixture
def compilations():
    """Counts everything XLA compiles, from empty in-process caches on."""
    events, counts = [], True

    def listen(event: str, duration_secs: float, **_):
        if counts and event.endswith("backend_compile_duration"):
            events.append(event)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    counts = False  # jax 0.7.2 cannot remove a listener.


@pytest.mark.parametrize("batched", [False, True])
def test_twenty_images_of_twenty_sizes_compile_at_most_five_times(
    tiny_model, compilations, batched
):
    """Everything counts: resizing, normalizing, embedding, prompts, masks."""
    predictor = Predictor(*tiny_model)
    generator = np.random.default_rng(0)
    images = [noise(i, 15 + 7 * i, 120 - 3 * i) for i in range(20)]
    prompts = [
        Prompt(points=generator.uniform(0, 15, (1 + i % 9, 2))) for i in range(20)
    ]
    if batched:
        embeddings = predictor.embed_batch(images)
        answers = predictor.predict_batch(embeddings, prompts)
    else:
        answers = [
            predictor.predict(predictor.embed(image), prompt)
            for image, prompt in zip(images, prompts, strict=True)
        ]
    for image, answer in zip(images, answers, strict=True):
        assert answer.masks.shape[1:] == image.shape[:2]
    # One by one: the encoder, and the decoder for few and for more points.
    assert 2 <= len(compilations) <= (5 if batched else 3)


def test_equal_models_share_their_compilations(tiny_model, compilations):
    model, params = tiny_model
    first = Predictor(model, params)
    first.predict(first.embed(noise(0, 20, 30)), Prompt(points=[[1, 2]]))
    before = len(compilations)
    other = Predictor(Sam(model.config), jax.tree.map(lambda leaf: leaf * 1.01, params))
    other.predict(other.embed(noise(1, 25, 30)), Prompt(points=[[1, 2]]))
    assert before and len(compilations) == before


@pytest.mark.parametrize(
    ("arguments", "masks"),
    [
        ({"points": [[5, 5]]}, 3),
        ({"box": [1, 2, 30, 40]}, 3),
        ({}, 3),
        ({"points": [[5, 5], [6, 6]]}, 1),
        ({"points": [[5, 5]], "box": [1, 2, 30, 40]}, 1),
        ({"box": [1, 2, 30, 40], "mask": np.ones((40, 70), bool)}, 1),
    ],
)
def test_ambiguous_prompts_get_three_masks(predictor, embedding, arguments, masks):
    """SAM, section 3; and `multimask` overrules it either way."""
    prompt = Prompt(**arguments)
    assert len(predictor.predict(embedding, prompt)) == masks
    three = predictor.predict(embedding, prompt, multimask=True)
    single = predictor.predict(embedding, prompt, multimask=False)
    assert len(three) == 3 and len(single) == 1
    assert np.abs(three.logits - single.logits).max() > 0.1


def test_logits_can_be_fed_back(predictor, embedding):
    first = predictor.predict(embedding, Prompt(points=[[30, 20]]))
    refined = predictor.predict(
        embedding, Prompt(points=[[30, 20]], mask=first.best.logits)
    )
    without = predictor.predict(embedding, Prompt(points=[[30, 20]]), multimask=False)
    assert np.abs(refined.logits - without.logits).max() > 1e-2


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((20, 30), 60000, np.uint16),
        noise(0, 20, 30)[:, :, 0],
        np.zeros((20, 30, 4), np.uint8),
        Image.fromarray(noise(0, 20, 30)),
        np.zeros((1, 500, 3), np.uint8),
    ],
)
def test_images_of_every_kind_give_masks(predictor, image):
    embedding = predictor.embed(image)
    masks = predictor.predict(embedding, Prompt(points=[[0, 0], [500, -20]]))
    assert masks.masks.shape[1:] == embedding.frame.original_size
    assert np.isfinite(masks.scores).all()


def test_text_is_refused_without_a_text_tower(predictor, embedding):
    with pytest.raises(ValueError, match="'a cat'.*this model has no text tower"):
        predictor.predict(embedding, Prompt(text="a cat"))


def test_masks_of_another_image_are_refused(predictor, embedding):
    with pytest.raises(ValueError, match=r"mask of \(70, 40\) for an image of"):
        predictor.predict(embedding, Prompt(mask=np.ones((70, 40), bool)))
    with pytest.raises(ValueError, match=r"expected \(32, 32\) for this model"):
        predictor.predict(embedding, Prompt(mask=np.full((256, 256), -2.0)))


def test_embeddings_of_other_weights_are_refused(
    predictor, tiny_model, photo, tmp_path
):
    model, params = tiny_model
    other = Predictor(model, jax.tree.map(lambda leaf: leaf * 1.01, params))
    other.embed(photo).save(tmp_path / "stale.embedding")
    stale = ImageEmbedding.load(tmp_path / "stale.embedding")
    with pytest.raises(ValueError, match="embedding of other weights"):
        predictor.predict(stale, Prompt(points=[[1, 2]]))
    assert len(other.predict(stale, Prompt(points=[[1, 2]]))) == 3


def test_embeddings_from_a_file_answer_as_before(predictor, embedding, tmp_path):
    embedding.save(tmp_path / "photo.embedding")
    loaded = ImageEmbedding.load(tmp_path / "photo.embedding")
    prompt = Prompt(box=[3, 4, 30, 35])
    before, after = (predictor.predict(e, prompt) for e in (embedding, loaded))
    np.testing.assert_array_equal(after.logits, before.logits)
    np.testing.assert_array_equal(after.masks, before.masks)


def test_wrong_calls_say_what_was_expected(predictor, embedding, tiny_model):
    model, params = tiny_model
    with pytest.raises(ValueError, match="2 embeddings and 1 entries"):
        predictor.predict_batch([embedding] * 2, [Prompt()])
    with pytest.raises(ValueError, match="the inside of {'params': ...}"):
        Predictor(model, {"params": params})
    with pytest.raises(ValueError, match="batch_size=0, expected at least 1"):
        predictor.embed_batch([], batch_size=0)


# Tests check types on the way in, users' programs do not.
MISUSES = """
import json, numpy, samjax
predictor = samjax.Predictor(*samjax.load("tiny"))
embedding = predictor.embed(numpy.zeros((4, 5, 3), numpy.uint8))
images = [numpy.zeros((4, 5, 3), numpy.uint8), "photo.jpg", None]
prompts = [[[1, 2]], {"points": [[1, 2]]}, None, "a cat", 3]
said = []
for image, prompt in [
    *((image, samjax.Prompt(points=[[1, 2]])) for image in images),
    *((embedding, prompt) for prompt in prompts),
]:
    try:
        predictor.predict(image, prompt)
    except ValueError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_what_is_no_embedding_and_no_prompt_is_named_with_the_remedy():
    done = subprocess.run(
        [sys.executable, "-c", MISUSES], capture_output=True, text=True, check=True
    )
    images, prompts = (said := json.loads(done.stdout))[:3], said[3:]
    for got, words in zip(
        ("a ndarray of shape (4, 5, 3)", "a str", "a NoneType"), images, strict=True
    ):
        assert f"{got} for an embedding" in words and "predictor.embed" in words
    assert len(prompts) == 5
    assert all("for a prompt, expected a samjax.Prompt" in one for one in prompts)


def test_predictions_that_are_not_finite_are_refused(tiny_model, photo):
    model, params = tiny_model
    neck = params["image_encoder"]["neck_0"]
    broken = {"neck_0": {"kernel": neck["kernel"] * np.float32("nan")}}
    encoder = {**params["image_encoder"], **broken}
    predictor = Predictor(model, {**params, "image_encoder": encoder})
    with pytest.raises(ValueError, match=r"not finite \(NaN\)"):
        predictor.predict(predictor.embed(photo), Prompt(points=[[1, 2]]))


def test_a_predictor_cannot_be_changed(predictor):
    with pytest.raises(dataclasses.FrozenInstanceError):
        predictor.params = {}


def test_threads_may_share_a_predictor(predictor, photo):
    def work(i: int) -> Masks:
        embedding = predictor.embed(photo[: 20 + i])
        return predictor.predict(embedding, Prompt(points=[[i, i]]))

    alone = [work(i) for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(8)))
    for left, right in zip(alone, together, strict=True):
        np.testing.assert_array_equal(left.masks, right.masks)
        np.testing.assert_array_equal(left.logits, right.logits)


def test_bfloat16_models_answer_in_float32(tiny_model, photo):
    model, params = tiny_model
    half = Predictor(Sam(model.config, dtype=jax.numpy.bfloat16), params)
    embedding = half.embed(photo)
    assert embedding.features.dtype == np.float32
    masks = half.predict(embedding, Prompt(points=[[30, 20]]))
    assert masks.logits.dtype == np.float32 and np.isfinite(masks.logits).all()


def test_params_move_to_the_device_once(tiny_model):
    model, params = tiny_model
    on_host = jax.tree.map(np.array, params)
    predictor = Predictor(model, on_host)
    leaves = jax.tree.leaves(predictor.params)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    again = jax.tree.leaves(Predictor(model, predictor.params).params)
    assert all(
        a.unsafe_buffer_pointer() == b.unsafe_buffer_pointer()
        for a, b in zip(leaves, again, strict=True)
    )
