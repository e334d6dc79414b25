"""Drawn scenes of a mixture equal the scenes, their masks as run boundaries."""

import jax
import numpy as np

from samjax.data.batch import decode_runs
from samjax.data.prepare import PrepareConfig, Status
from samjax.data.scene_examples import SceneExamples, example_of_scene
from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.scene import draw_scene

CONFIG = SceneConfig(size=32, num_objects=3, min_objects=1, num_masks=4, camera=False)

draw = jax.jit(decode_runs, static_argnums=2)


def test_image_and_masks_are_those_of_the_scene():
    scenes = SceneExamples(CONFIG, boundaries_per_mask=256, seed=5)
    for number in (0, 3):
        made = scenes[number]
        key = jax.random.fold_in(jax.random.key(5), number)
        scene = draw_scene(key, CONFIG)
        np.testing.assert_array_equal(made.image, scene.image)
        np.testing.assert_array_equal(made.valid, scene.valid)
        drawn = draw(made.runs, made.size, CONFIG.size)
        np.testing.assert_array_equal(drawn, scene.masks)
        assert made.index == number and made.status == Status.FINE
    assert not np.array_equal(scenes[0].image, scenes[1].image)


def test_a_limited_number_of_scenes_recur_in_the_same_order():
    endless = SceneExamples(CONFIG, boundaries_per_mask=256, seed=5)
    limited = SceneExamples(CONFIG, boundaries_per_mask=256, seed=5, count=2)
    for number in range(5):
        jax.tree.map(
            np.testing.assert_array_equal, limited[number], endless[number % 2]
        )


def test_a_mask_with_too_many_changes_is_left_out_and_counted():
    config = PrepareConfig(image_size=16, masks_per_image=3, boundaries_per_mask=8)
    masks = np.zeros((2, 16, 16), bool)
    masks[0, 2:6, 3:6] = True
    masks[1, ::2] = True
    image = np.zeros((16, 16, 3), np.uint8)
    made = example_of_scene(image, masks, config, 0)
    assert made.valid.tolist() == [True, False, False] and made.bad_masks == 1
    drawn = draw(made.runs, made.size, 16)
    np.testing.assert_array_equal(drawn[0], masks[0])
    nothing = example_of_scene(image, masks[:0], config, 0)
    assert nothing.status == Status.NO_MASK and not nothing.valid.any()
