"""Procedurally drawn scenes with exact masks, for training and tests without a dataset."""

from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.scene import Scene, draw_scene, draw_scenes

__all__ = ["Scene", "SceneConfig", "draw_scene", "draw_scenes"]
