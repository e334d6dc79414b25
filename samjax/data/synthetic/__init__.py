"""Procedural scenes to train and test on without any data set."""

from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.scene import Scene, draw_scene, draw_scenes

__all__ = ["Scene", "SceneConfig", "draw_scene", "draw_scenes"]
