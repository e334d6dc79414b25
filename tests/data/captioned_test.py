"""Captioned scenes: captions are true of one thing alone, masks are what is seen."""

import numpy as np
import pytest

from samjax.data.captioned import Caption, draw_scene
from samjax.data.captioned.captions import Seen, describe
from samjax.data.captioned.things import COLOURS, THINGS


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed, 96) for seed in range(20)]


def test_a_seed_is_a_scene():
    first, again, other = draw_scene(3, 96), draw_scene(3, 96), draw_scene(4, 96)
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).any()
    assert [o.captions for o in first.objects] == [o.captions for o in again.objects]


def test_a_scene_is_the_same_at_another_size_up_to_rounding():
    small, large = draw_scene(5, 96), draw_scene(5, 192)
    wholes = {o.captions[0]: o.mask for o in small.objects if o.parent < 0}
    shared = 0
    for thing in large.objects:
        if thing.parent < 0 and thing.captions[0] in wholes:
            halved = thing.mask.reshape(96, 2, 96, 2).mean((1, 3)) >= 0.5
            mask = wholes[thing.captions[0]]
            assert (halved & mask).sum() > 0.8 * (halved | mask).sum()
            shared += 1
    assert shared


def test_captions_are_of_one_object_and_masks_do_not_overlap(scenes):
    for scene in scenes:
        captions = [c for thing in scene.objects for c in thing.captions]
        assert len(captions) == len(set(captions)) > 0
        wholes = [thing.mask for thing in scene.objects if thing.parent < 0]
        assert np.sum(wholes, axis=0).max() <= 1
        for thing in scene.objects:
            assert thing.mask.any() and thing.captions
            if thing.parent >= 0:
                whole = scene.objects[thing.parent].mask
                assert (
                    not (thing.mask & ~whole).any() and thing.mask.sum() < whole.sum()
                )
                assert all(caption.part for caption in thing.captions)


def test_every_thing_and_colour_is_drawn():
    seen = {
        (caption.thing, caption.colour)
        for seed in range(100)
        for thing in draw_scene(seed, 48).objects
        for caption in thing.captions
    }
    assert {thing for thing, _ in seen} == set(THINGS)
    assert {colour for _, colour in seen if colour} == set(COLOURS)


@pytest.mark.parametrize(
    "caption, article, text",
    [
        (Caption("cup"), "a", "a cup"),
        (Caption("cup", "orange"), "a", "an orange cup"),
        (Caption("cup", "red", "big"), "the", "the big red cup"),
        (Caption("cup", "", "", "on the left"), "", "cup on the left"),
        (
            Caption("car", "red", "", "at the top", "wheels"),
            "the",
            "the wheels of the red car at the top",
        ),
    ],
)
def test_captions_in_words(caption, article, text):
    assert caption.text(article) == text


def test_things_are_told_apart_by_colour_size_and_place():
    seen = [
        Seen("cup", "red", 100, (0.2, 0.5)),
        Seen("cup", "red", 300, (0.8, 0.5)),
        Seen("cup", "blue", 120, (0.5, 0.5)),
        Seen("star", "red", 100, (0.5, 0.2)),
    ]
    first, second, third, star = describe(seen)
    assert Caption("cup", "", "", "on the left") in first
    assert (
        Caption("cup", "red", "small") in first and Caption("cup", "red") not in first
    )
    assert Caption("cup", "", "big") in second
    assert Caption("cup", "blue") in third and Caption("cup") not in third
    assert star[0] == Caption("star")
    # Not the smallest of all cups by a factor.
    assert Caption("cup", "", "small") not in first
