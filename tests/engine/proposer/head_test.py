"""The heat map of where to prompt: its targets, its loss, its peaks."""

import jax.numpy as jnp
import numpy as np
import pytest

from samjax.engine.proposer.head import focal_loss, heat_map
from samjax.engine.proposer.prompting import GridPrompts, peaks
from samjax.engine.proposer.targets import centre_of, heat_target
from samjax.engine.proposer.training import HeadConfig, train_head
from samjax.geometry.frame import Frame
from samjax.inference import ImageEmbedding

FRAME = Frame.fit((60, 100), 128)


def box_mask(top, left, bottom, right, size=(60, 100)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_centre_of_a_mask_is_its_innermost_pixel():
    mask = box_mask(10, 20, 31, 61)
    # A thin tail moves the mean, not the centre.
    mask[20, 61:99] = True
    x, y, distance = centre_of(mask)
    assert (y, distance) == (20.5, 11.0) and 30 < x < 52


def test_targets_are_one_at_centres_and_weigh_what_the_model_can_segment():
    masks = [box_mask(10, 20, 30, 40), box_mask(40, 60, 56, 90)]
    target = heat_target(masks, FRAME, 16, qualities=[0.9, 0.2], background=0.5)
    rows, columns = np.nonzero(target.heat == 1.0)
    # 8 model pixels a cell, 1.28 of them a pixel of the image.
    assert set(zip(rows, columns, strict=True)) == {(3, 4), (7, 10)}
    assert target.weights[3, 4] == np.float32(0.9)
    assert target.weights[7, 10] == np.float32(0.2)
    assert target.weights[0, 0] == 0.5
    # Cells in the padding teach nothing.
    assert not target.weights[10:].any()


def test_a_finer_map_has_centres_of_small_objects_apart():
    masks = [box_mask(10, 20, 12, 22), box_mask(10, 23, 12, 25)]
    assert (heat_target(masks, FRAME, 16).heat == 1).sum() == 1
    assert (heat_target(masks, FRAME, 32).heat == 1).sum() == 2


def test_the_loss_falls_where_the_map_gets_better():
    heat, weights = jnp.zeros((1, 4, 4)).at[0, 1, 1].set(1.0), jnp.ones((1, 4, 4))
    good = jnp.full((1, 4, 4), -4.0).at[0, 1, 1].set(4.0)
    assert focal_loss(good, heat, weights) < focal_loss(-good, heat, weights) / 10
    # Cells of no weight do not count.
    free = weights.at[0, 0, 0].set(0.0)
    wrong = good.at[0, 0, 0].set(9.0)
    assert focal_loss(wrong, heat, free) == pytest.approx(focal_loss(good, heat, free))


def test_the_highest_places_are_inside_the_image_and_apart():
    heat = np.zeros((16, 16), np.float32)
    heat[2, 3], heat[2, 4], heat[6, 12], heat[14, 14] = 0.9, 0.8, 0.7, 0.99
    found = peaks(heat, FRAME, 5)
    assert found.points is not None and found.boxes is None
    assert len(found.points) == 5
    # The neighbour of a higher cell comes after another place, that in the padding never.
    np.testing.assert_allclose(found.scores[:3], [0.9, 0.7, 0.8])
    np.testing.assert_allclose(found.points[0], [3.5 * 8 / 1.28, 2.5 * 8 / (77 / 60)])
    assert (found.points < [100, 60]).all()


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_flat_map_has_places_all_over_the_image_and_none_twice(value):
    found = peaks(np.full((32, 32), value, np.float32), FRAME, 16)
    assert found.points is not None
    assert len(np.unique(found.points, axis=0)) == 16
    if value:
        # Each quarter of the image has some of them.
        quarters = (found.points >= np.array([50, 30])) @ np.array([1, 2])
        assert np.bincount(quarters, minlength=4).min() >= 2


def test_there_are_no_more_places_than_cells():
    found = peaks(np.zeros((4, 4), np.float32), FRAME, 99)
    assert found.points is not None and len(found.points) == 4 * 3


def test_the_grid_has_as_many_points_as_fit():
    embedding = ImageEmbedding(jnp.zeros((8, 8, 4)), FRAME, "")
    found = GridPrompts().suggest(None, embedding, 10)
    assert found.points.shape == (9, 2)
    np.testing.assert_allclose(found.points[0], [100 / 6, 10])


def test_a_head_learns_to_find_marked_tokens_and_is_reproducible():
    rng = np.random.default_rng(0)
    features, targets = [], []
    for _ in range(6):
        tokens = rng.normal(size=(8, 8, 12)).astype(np.float32)
        row, column = rng.integers(1, 7, 2)
        tokens[row, column] += 3.0
        frame = Frame.fit((128, 128), 128)
        mask = np.zeros((128, 128), bool)
        mask[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = True
        features.append(tokens)
        targets.append(heat_target([mask], frame, 16))
    config = HeadConfig(channels=8, steps=60, batch_size=3, learning_rate=1e-2)
    head, params = train_head(features, targets, config)
    maps = [heat_map(params, jnp.asarray(f), head=head) for f in features]
    found = [np.unravel_index(np.argmax(heat), heat.shape) for heat in maps]
    right = [targets[i].heat[at] > 0.3 for i, at in enumerate(found)]
    assert sum(right) >= 5
    _, again = train_head(features, targets, config)
    np.testing.assert_array_equal(
        params["proj_in"]["kernel"], again["proj_in"]["kernel"]
    )
