"""Drawn scenes of things that have names, with captions: to train and measure text prompts."""

from samjax.data.captioned.captions import Caption
from samjax.data.captioned.scene import CaptionedScene, DrawnObject, draw_scene

__all__ = ["Caption", "CaptionedScene", "DrawnObject", "draw_scene"]
