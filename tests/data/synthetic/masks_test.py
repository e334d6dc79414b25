"""The masks of a scene that is painted by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic import SceneConfig
from samjax.data.synthetic.masks import PART, SUBPART, WHOLE, ChosenMasks, choose_masks
from samjax.data.synthetic.objects import LEAVES
from samjax.data.synthetic.parts import MAX_SUBPARTS
from samjax.data.synthetic.raster import IDS_PER_OBJECT

CONFIG = SceneConfig(
    size=32, min_objects=1, num_objects=3, num_masks=12, min_area=0.002
)


def choose(
    owner: np.ndarray, config: SceneConfig = CONFIG, seed: int = 0
) -> ChosenMasks:
    choice = jax.jit(choose_masks, static_argnums=2)
    return jax.device_get(choice(jnp.asarray(owner), jax.random.key(seed), config))


def found(chosen: ChosenMasks) -> dict[tuple[int, int], np.ndarray]:
    """Valid masks by level and area."""
    return {
        (int(level), int(mask.sum())): mask
        for level, mask in zip(
            chosen.level[chosen.valid], chosen.masks[chosen.valid], strict=True
        )
    }


@pytest.fixture
def owner() -> np.ndarray:
    """Two regions of ground; object 1 with a part and a subpart; object 3's grid."""
    owner = np.zeros((32, 32), np.int32)
    owner[20:] = MAX_SUBPARTS
    owner[2:12, 2:12] = IDS_PER_OBJECT
    owner[2:12, 2:7] = IDS_PER_OBJECT + MAX_SUBPARTS
    owner[2:5, 2:5] = IDS_PER_OBJECT + MAX_SUBPARTS + 1
    owner[24:28, 4:8] = 3 * IDS_PER_OBJECT
    owner[24:28, 10:15] = 3 * IDS_PER_OBJECT + LEAVES
    return owner


def test_all_visible_objects_parts_and_regions_are_candidates(owner):
    chosen = choose(owner)
    areas = chosen.masks[chosen.valid].sum((1, 2)).tolist()
    levels = chosen.level[chosen.valid].tolist()
    regions = [(WHOLE, 20 * 32 - 100), (WHOLE, 12 * 32 - 16 - 20)]
    object_1 = [(WHOLE, 100), (PART, 50), (PART, 50), (SUBPART, 9), (SUBPART, 41)]
    grid = [(WHOLE, 16), (WHOLE, 20)]
    expected = sorted(regions + object_1 + grid)
    assert sorted(zip(levels, areas, strict=True)) == expected


def test_masks_are_exactly_what_is_visible(owner):
    masks = found(choose(owner))
    whole = (owner >= IDS_PER_OBJECT) & (owner < 2 * IDS_PER_OBJECT)
    np.testing.assert_array_equal(masks[WHOLE, 100], whole)
    np.testing.assert_array_equal(
        masks[SUBPART, 9], owner == IDS_PER_OBJECT + MAX_SUBPARTS + 1
    )


def test_valid_masks_come_first_and_the_rest_is_empty(owner):
    chosen = choose(owner)
    assert (np.diff(chosen.valid.astype(int)) <= 0).all()
    assert not chosen.masks[~chosen.valid].any()
    assert (chosen.parent[~chosen.valid] == -1).all()


def test_parents_are_the_smallest_masks_that_contain_a_mask(owner):
    chosen = choose(owner)
    area = chosen.masks.sum((1, 2))
    for index in np.flatnonzero(chosen.valid):
        parent = chosen.parent[index]
        if chosen.level[index] == SUBPART:
            assert chosen.level[parent] == PART and area[parent] == 50
        elif chosen.level[index] == PART:
            assert chosen.level[parent] == WHOLE and area[parent] == 100
        else:
            assert parent == -1


def test_a_part_that_is_nearly_the_whole_is_no_mask(owner):
    owner[owner == IDS_PER_OBJECT] = IDS_PER_OBJECT + MAX_SUBPARTS
    masks = found(choose(owner))
    assert (WHOLE, 100) in masks
    assert not any(level == PART for level, _ in masks)
    assert (SUBPART, 9) in masks


def test_remnants_and_nearly_the_whole_image_are_no_masks(owner):
    owner[:] = 0
    owner[0, :2] = IDS_PER_OBJECT
    assert not choose(owner).valid.any()


def test_regions_of_the_ground_can_be_left_out(owner):
    assert choose(owner, replace(CONFIG, stuff=False)).valid.sum() == 7


def test_every_candidate_is_as_likely_as_any_other(owner):
    config = replace(CONFIG, num_masks=1)
    draw = jax.vmap(lambda key: choose_masks(jnp.asarray(owner), key, config))
    chosen = draw(jax.random.split(jax.random.key(0), 1800))
    first = np.asarray(chosen.masks[:, 0]).reshape(1800, -1)
    _, counts = np.unique(first, axis=0, return_counts=True)
    assert len(counts) == 9
    assert abs(counts - 200).max() < 60
