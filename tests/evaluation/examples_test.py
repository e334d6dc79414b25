"""Scores on a dataset's examples: the right objects, in their own pixels, damage counted."""

import io

import numpy as np
import pytest
from PIL import Image

from samjax.data.examples import RawExample
from samjax.data.formats.annotations import make_annotation
from samjax.evaluation import examples
from samjax.evaluation.examples import evaluate_examples, read_example
from samjax.geometry.masks import mask_to_counts
from samjax.inference import Predictor

SIZE = (20, 30)


def square(place):
    mask = np.zeros(SIZE, bool)
    mask[place : place + 6, place : place + 8] = True
    return mask


def example(masks, *, size=SIZE):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    annotations = [
        make_annotation(mask_to_counts(mask), mask.shape, number)
        for number, mask in enumerate(masks)
    ]
    image = {"image_id": 0, "width": SIZE[1], "height": SIZE[0], "file_name": "a.png"}
    record = {"image": image, "annotations": annotations}
    return RawExample("a.png", file.getvalue(), record)


DAMAGED = [
    RawExample("gone.png", None, example([square(1)]).record),
    RawExample("gone.json", example([]).image, None),
    RawExample("text.json", example([]).image, b"no JSON"),
    RawExample("other.json", example([]).image, b'{"image": {}}'),
    RawExample("bad.png", b"no image", example([square(1)]).record),
    example([np.ones((3, 3), bool)]),
]


@pytest.fixture
def predictor(tiny_model) -> Predictor:
    return Predictor(*tiny_model)


@pytest.fixture
def asked(monkeypatch):
    """What a model would have been asked; it answers with the area of each object."""
    seen = []

    def answer(predictor, image, targets, clicks):
        seen.append((image, targets))
        return [{"box": float(target.sum())} for target in targets]

    monkeypatch.setattr(examples, "evaluate_image", answer)
    return seen


def test_every_object_of_every_image_counts_once(asked, predictor):
    source = [example([square(0), square(5)]), example([square(2)])]
    report = evaluate_examples(predictor, source, show_progress=False)
    assert len(report.objects) == 3
    assert report.scores == {"box": 48.0}
    np.testing.assert_array_equal(asked[0][1], [square(0), square(5)])


def test_damaged_examples_are_counted_and_pass(asked, predictor):
    source = [*DAMAGED, example([square(1), np.zeros(SIZE, bool)])]
    with pytest.warns(UserWarning, match=r"6 of 7 .*gone\.png: .*bad\.png: "):
        report = evaluate_examples(predictor, source, show_progress=False)
    assert report.protocol["damaged"] == len(DAMAGED)
    assert len(report.objects) == 1
    with pytest.raises(ValueError, match=r"6 are damaged.*gone\.png: "):
        evaluate_examples(predictor, DAMAGED, show_progress=False)


def test_of_many_objects_and_images_some_are_drawn_and_always_the_same(
    asked, predictor
):
    source = [example([square(i) for i in range(8)]) for _ in range(5)]
    for _ in range(2):
        report = evaluate_examples(
            predictor, source, images=2, objects_per_image=3, show_progress=False
        )
        assert len(report.objects) == 6
    np.testing.assert_array_equal(asked[0][1], asked[2][1])


def test_a_smaller_copy_of_an_image_is_brought_to_the_size_of_its_masks():
    image, masks = read_example(example([square(3)], size=(10, 15)))
    assert image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(masks, [square(3)])


@pytest.mark.parametrize(
    "numbers",
    [{"clicks": ()}, {"clicks": (0,)}, {"images": 0}, {"objects_per_image": 0}],
)
def test_numbers_below_one_are_refused(numbers, predictor):
    with pytest.raises(ValueError, match="at least 1"):
        evaluate_examples(predictor, [], **numbers)
