"""Scenes: pure in the key, true in their masks, the same at every size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic import Scene, SceneConfig, draw_scene, draw_scenes
from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.lighting import sample_light
from samjax.data.synthetic.materials import sample_palette
from samjax.data.synthetic.noise import noise_planes
from samjax.data.synthetic.objects import LEAVES, sample_ground, sample_objects
from samjax.data.synthetic.raster import IDS_PER_OBJECT, Canvas, paint
from samjax.data.synthetic.surfaces import surface_table

CONFIG = SceneConfig(size=64, num_masks=24)
COUNT = 48


@pytest.fixture(scope="module")
def scenes() -> Scene:
    keys = jax.random.split(jax.random.key(0), COUNT)
    return jax.device_get(draw_scenes(keys, CONFIG))


@pytest.fixture(scope="module")
def parts_of_a_scene():
    """Objects and ground of many scenes, all camouflaged."""
    config = SceneConfig(camouflage=1.0, num_objects=6)

    @jax.jit
    @jax.vmap
    def sample(key):
        draws = Draws(jax.random.uniform(key, (600,)))
        palette = sample_palette(draws)
        ground, light = sample_ground(draws, palette), sample_light(draws)
        return sample_objects(key, palette, config), ground, light

    return sample(jax.random.split(jax.random.key(1), 8))


def at(tree, index):
    return jax.tree.map(lambda x: x[index], tree)


def test_a_scene_is_a_function_of_its_key(scenes):
    keys = jax.random.split(jax.random.key(0), COUNT)
    again = jax.device_get(draw_scenes(keys, CONFIG))
    jax.tree.map(np.testing.assert_array_equal, scenes, again)
    images = {image.tobytes() for image in scenes.image}
    assert len(images) == COUNT


def test_pictures_are_finite_whole_and_in_range(scenes):
    assert scenes.image.shape == (COUNT, 64, 64, 3)
    assert np.isfinite(scenes.image).all()
    assert scenes.image.min() >= 0 and scenes.image.max() <= 255
    np.testing.assert_array_equal(scenes.image, np.round(scenes.image))


def test_pictures_are_neither_dark_nor_flat_nor_all_alike(scenes):
    brightness = scenes.image.mean((1, 2, 3))
    contrast = scenes.image.std((1, 2, 3))
    assert 80 < np.median(brightness) < 170 and brightness.std() > 15
    assert np.median(contrast) > 25 and contrast.min() > 3
    colour = scenes.image.std(3).mean((1, 2))
    assert (colour < 1).mean() < 0.3 < (colour > 8).mean()


def test_valid_masks_have_an_area_in_the_range(scenes):
    area = scenes.masks.mean((2, 3))
    assert (area[scenes.valid] >= CONFIG.min_area).all()
    assert (area[scenes.valid] <= CONFIG.max_area).all()
    assert not scenes.masks[~scenes.valid].any()


def test_every_scene_has_masks_and_sizes_spread_over_decades(scenes):
    assert scenes.valid.sum(1).min() >= 1
    assert np.median(scenes.valid.sum(1)) > 12
    area = scenes.masks.mean((2, 3))[scenes.valid]
    low, middle, high = np.quantile(area, [0.1, 0.5, 0.9])
    assert low < 0.005 and 0.005 < middle < 0.05 and high > 0.08


def test_every_level_is_drawn_in_proportion(scenes):
    share = np.bincount(scenes.level[scenes.valid], minlength=3) / scenes.valid.sum()
    assert (share > 0.1).all()


def test_children_lie_within_their_parents(scenes):
    children = 0
    for masks, level, parent in zip(
        scenes.masks, scenes.level, scenes.parent, strict=True
    ):
        for child in np.flatnonzero(parent >= 0):
            children += 1
            holder = parent[child]
            assert level[holder] < level[child]
            assert not (masks[child] & ~masks[holder]).any()
            assert masks[child].sum() < masks[holder].sum()
    assert children > COUNT


def test_masks_of_one_level_do_not_overlap(scenes):
    for masks, level in zip(scenes.masks, scenes.level, strict=True):
        for wanted in range(3):
            assert masks[level == wanted].sum(0).max(initial=0) <= 1


def test_one_scene_is_the_same_as_in_a_batch(scenes):
    key = jax.random.split(jax.random.key(0), COUNT)[3]
    alone = jax.device_get(draw_scene(key, CONFIG))
    batched = at(scenes, 3)
    np.testing.assert_array_equal(alone.masks, batched.masks)
    # Another compilation rounds otherwise: a grey level here and there.
    assert np.abs(alone.image - batched.image).mean() < 0.05


@pytest.mark.slow
def test_vmap_draws_the_scenes_of_map(scenes):
    config = SceneConfig(size=64, num_masks=24)
    keys = jax.random.split(jax.random.key(0), COUNT)[:4]
    mapped = jax.device_get(jax.vmap(draw_scene, (0, None))(keys, config))
    same = mapped.masks == scenes.masks[:4]
    assert same.mean() > 0.999
    assert np.abs(mapped.image - scenes.image[:4]).mean() < 0.5


def test_a_scene_is_the_same_at_two_sizes(parts_of_a_scene):
    objects, ground, light = parts_of_a_scene
    overlaps = []
    for index in range(8):
        small, large = (
            _paint(
                at(objects, index), at(ground, index), at(light, index), index, size
            ).owner
            for size in (64, 192)
        )
        # The centre of a small pixel is that of the middle one of three by three.
        owners, large = np.asarray(small), np.asarray(large)[1::3, 1::3]
        for owner in np.unique(owners // LEAVES):
            a, b = owners // LEAVES == owner, large // LEAVES == owner
            if a.sum() >= 40:
                overlaps.append((a & b).sum() / (a | b).sum())
    assert len(overlaps) > 20
    assert np.median(overlaps) > 0.98 and np.quantile(overlaps, 0.1) > 0.9


def test_the_nearest_object_hides_the_others(parts_of_a_scene):
    objects, ground, light = (at(part, 0) for part in parts_of_a_scene)
    objects = objects._replace(present=jnp.ones_like(objects.present))
    for nearest in range(3):
        nearness = jnp.zeros(6).at[nearest].set(1.0)
        top = _paint(objects._replace(nearness=nearness), ground, light, 0, 64)
        others = jnp.arange(6) != nearest
        alone = _paint(objects._replace(present=~others), ground, light, 0, 64)
        mine = np.asarray(alone.owner) // IDS_PER_OBJECT == nearest + 1
        np.testing.assert_array_equal(
            np.asarray(top.owner) // IDS_PER_OBJECT == nearest + 1, mine
        )
        np.testing.assert_array_equal(
            np.asarray(top.owner)[mine], np.asarray(alone.owner)[mine]
        )


def test_shadows_only_darken(parts_of_a_scene):
    objects, ground, light = (at(part, 0) for part in parts_of_a_scene)
    canvas = _paint(objects, ground, light, 0, 64)
    shade = np.asarray(canvas.light)
    assert shade.min() >= 0 and shade.max() <= 1
    assert (shade < 0.98).any()


def test_a_camouflaged_object_has_the_materials_of_the_ground(parts_of_a_scene):
    objects, ground, _ = (at(part, 1) for part in parts_of_a_scene)
    surfaces = _table(objects, ground)
    table = np.asarray(surfaces.material.base).reshape(7, LEAVES, 3)
    regions = np.unique(table[0], axis=0)
    for rows in table[1:]:
        materials = np.unique(rows, axis=0)
        assert len(materials) == 1
        assert (materials == regions).all(1).any()
    plain = objects._replace(camouflaged=jnp.zeros_like(objects.camouflaged))
    table = np.asarray(_table(plain, ground).material.base)
    materials = np.unique(table.reshape(7, LEAVES, 3)[1:].reshape(-1, 3), axis=0)
    assert len(materials) > 6


def test_a_camouflaged_object_has_noise_of_its_own(parts_of_a_scene):
    objects, ground, _ = (at(part, 1) for part in parts_of_a_scene)
    noise = np.asarray(_table(objects, ground).material.noise).reshape(7, LEAVES, -1)
    power = noise[..., 0::2] ** 2 + noise[..., 1::2] ** 2
    for index in range(1, 7):
        # The same strength in every octave as some region, in another direction.
        same = np.isclose(power[index, 0], power[0], atol=1e-6).all(1)
        assert same.any()
        assert not np.isclose(noise[index, 0], noise[0][same], atol=1e-3).all(1).any()


def _paint(objects, ground, light, seed: int, size: int) -> Canvas:
    return _painted(objects, ground, light, jax.random.key(seed), size)


def _painted_at(objects, ground, light, key, size):
    planes = noise_planes(key, size)
    return paint(objects, ground, planes, -light.direction[:2])


_table = jax.jit(surface_table)
_painted = jax.jit(_painted_at, static_argnums=4)
