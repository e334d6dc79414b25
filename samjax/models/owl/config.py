"""The sizes of OWLv2."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from samjax.models.clip.config import CLIP_VIT_B16, CLIP_VIT_L14, ClipConfig

HEADS = ("layer_norm", "class_head", "box_head", "objectness_head")


@dataclass(frozen=True, kw_only=True)
class OwlConfig(ClipConfig):
    """The sizes of CLIP's towers, which those of the heads follow from."""

    parts: ClassVar[tuple[str, ...]] = (*ClipConfig.parts, *HEADS)

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes."""
        problems = super().problems()
        if self.text_width != self.embed_dim:
            problems.append(
                f"text_width is {self.text_width}, expected embed_dim, {self.embed_dim}: "
                "the class head compares patches with texts"
            )
        return problems


def _owl(clip: ClipConfig, image_size: int) -> OwlConfig:
    return OwlConfig(
        **dataclasses.asdict(
            dataclasses.replace(clip, image_size=image_size, context_length=16)
        )
    )


OWL_VIT_B16 = _owl(CLIP_VIT_B16, 960)
OWL_VIT_L14 = _owl(CLIP_VIT_L14, 1008)
