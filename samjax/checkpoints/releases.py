"""The released weights: data with provenance."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from samjax.files import cache_folder
from samjax.models import SMALL, TINY, VIT_B, VIT_H, VIT_L
from samjax.models.family import PublishedWeights, sibling_families


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release(PublishedWeights):
    """Published weights, with their address and their path in the cache."""

    @property
    def url(self) -> str | None:
        """Address of the file, or of the mirror that `SAMJAX_RELEASES_URL` names.

        None for bundled weights.
        """
        if self.bundled:
            return None
        base = os.environ.get("SAMJAX_RELEASES_URL") or self.folder_url
        return f"{base.rstrip('/')}/{self.file}"

    @property
    def path(self) -> Path:
        """Path of the weights, once they have been loaded."""
        if self.bundled:
            return Path(__file__).parents[1] / "assets" / self.file
        # The hash in the name: a release that changes never finds the old file.
        sha = (self.sha256 or "")[:12]
        return cache_folder() / "weights" / f"{self.name}-{sha}.safetensors"


_URL = "https://dl.fbaipublicfiles.com/segment_anything"
_SOURCE = "Segment Anything, Meta AI, 2023 (arXiv 2304.02643)"

SAM_RELEASES = (
    PublishedWeights(
        name="small",
        file="small.safetensors",
        config=SMALL,
        parameters=26_274_480,
        licence="Apache-2.0",
        source="samjax, trained on photos from DINOv2 ViT-S (Meta AI, Apache-2.0)",
        bundled=True,
    ),
    PublishedWeights(
        name="tiny",
        file="tiny.safetensors",
        config=TINY,
        parameters=8_092_912,
        licence="Apache-2.0",
        source="samjax, trained from scratch on procedurally drawn scenes",
        bundled=True,
    ),
    PublishedWeights(
        name="vit_b",
        file="sam_vit_b_01ec64.pth",
        config=VIT_B,
        parameters=93_735_728,
        licence="Apache-2.0",
        source=_SOURCE,
        folder_url=_URL,
        size=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    PublishedWeights(
        name="vit_l",
        file="sam_vit_l_0b3195.pth",
        config=VIT_L,
        parameters=312_343_088,
        licence="Apache-2.0",
        source=_SOURCE,
        folder_url=_URL,
        size=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    PublishedWeights(
        name="vit_h",
        file="sam_vit_h_4b8939.pth",
        config=VIT_H,
        parameters=641_090_864,
        licence="Apache-2.0",
        source=_SOURCE,
        folder_url=_URL,
        size=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
)


def _release(weights: PublishedWeights) -> Release:
    return Release(**vars(weights))


RELEASES: Mapping[str, Release] = {
    weights.name: _release(weights) for weights in SAM_RELEASES
}
"""The published weights of SAM, by name."""


def releases() -> dict[str, Release]:
    """Returns all published weights by name, those of every family."""
    others = {
        weights.name: _release(weights)
        for family in sibling_families()
        for weights in family.releases
    }
    return {**others, **RELEASES}
