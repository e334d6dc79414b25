"""Examples as a dataset: the selected objects in their original size, damage counted."""

import io

import numpy as np
import pytest
from PIL import Image
from small_photo_set import ColorSegmenter

from samjax.data.examples import RawExample
from samjax.data.formats.annotations import make_annotation
from samjax.evaluation.datasets.examples import ExampleSamples, read_example
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.single_point import held_out_suite
from samjax.geometry.masks import mask_to_counts

SIZE = (20, 30)


def square(corner):
    mask = np.zeros(SIZE, bool)
    mask[corner : corner + 6, corner : corner + 8] = True
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


class AreaSegmenter(ColorSegmenter):
    """Takes boxes alone and predicts the filled box; keeps the images."""

    prompt_kinds = frozenset(("box",))

    def __init__(self):
        super().__init__()
        self.images = []

    def embed(self, image):
        self.images.append(image)
        return image

    def truth(self, image, prompt):
        mask = np.zeros(image.shape[:2], bool)
        left, top, right, bottom = prompt.box.astype(int)
        mask[top : bottom + 1, left : right + 1] = True
        return mask


def test_every_object_of_every_image_counts_once():
    source = [example([square(0), square(5)]), example([square(2)])]
    segmenter = AreaSegmenter()
    result = evaluate(held_out_suite(source), segmenter)
    records = result.sets[0].objects
    assert [record["area"] for record in records] == [48] * 3
    assert result.scores == {"box": 1.0, "box_oracle": 1.0, "box_single": 1.0}
    assert [image.shape for image in segmenter.images] == [(*SIZE, 3)] * 2


def test_damaged_examples_are_counted_and_pass():
    source = [*DAMAGED, example([square(1), np.zeros(SIZE, bool)])]
    skipped = []
    result = evaluate(
        held_out_suite(source), AreaSegmenter(), on_skipped=skipped.append
    )
    assert len(skipped) == len(DAMAGED)
    (problems,) = result.sets[0].skipped.values()
    for name in ("gone.png", "text.json", "other.json", "bad.png"):
        assert any(name in problem for problem in problems)
    assert len(result.sets[0].objects) == 1
    with pytest.raises(ValueError, match=r"no object to score.*gone\.png"):
        evaluate(held_out_suite(DAMAGED), AreaSegmenter())


def test_of_many_objects_and_images_the_same_part_is_always_drawn():
    source = [example([square(i) for i in range(8)]) for _ in range(5)]
    selection = Selection(min_area=1, images=2, objects=3)
    first, again = (
        ExampleSamples(name="a", source=source, selection=selection) for _ in range(2)
    )
    assert len(first) == 2 and first.indices == [0, 4]
    for index in range(2):
        assert len(first[index].targets) == 3
        np.testing.assert_array_equal(first[index].targets, again[index].targets)


def test_objects_below_the_least_area_are_left_out_and_named():
    small = square(0) & square(2)
    samples = ExampleSamples(
        name="a",
        source=[example([square(0), small])],
        selection=Selection(min_area=48),
    )
    assert [part.reason for part in samples[0].skipped] == ["too small"]
    assert [fields["area"] for fields in samples[0].objects] == [48]


def test_a_smaller_copy_of_an_image_is_brought_to_the_size_of_its_masks():
    image, masks = read_example(example([square(3)], size=(10, 15)))
    assert image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(masks, [square(3)])


@pytest.mark.parametrize("numbers", [{"clicks": ()}, {"clicks": (0,)}, {"images": 0}])
def test_numbers_below_one_are_refused(numbers):
    with pytest.raises(ValueError, match="at least 1"):
        held_out_suite([example([square(1)])], **numbers)
