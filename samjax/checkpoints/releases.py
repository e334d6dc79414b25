"""The released weights: data with provenance."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from samjax.files import cache_folder
from samjax.models import SIZES, SamConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """Weights that have a name.

    Attributes:
        name: What `samjax.load` calls them.
        file: Name of the published file; for bundled ones, in samjax's assets.
        parameters: Numbers in the model, the Fourier matrix included.
        licence: SPDX identifier of the weights' licence.
        source: Where they come from, for people.
        size: Bytes of the published file; None for bundled ones.
        sha256: Of the published file; None for bundled ones.
        bundled: Whether they come with samjax and need no network.
    """

    name: str
    file: str
    parameters: int
    licence: str
    source: str
    size: int | None = None
    sha256: str | None = None
    bundled: bool = False

    @property
    def config(self) -> SamConfig:
        """Sizes of the model."""
        return SIZES[self.name]

    @property
    def url(self) -> str | None:
        """Where the file is published, or the mirror that `SAMJAX_RELEASES_URL` names.

        None for bundled weights.
        """
        if self.bundled:
            return None
        base = os.environ.get("SAMJAX_RELEASES_URL") or RELEASES_URL
        return f"{base.rstrip('/')}/{self.file}"

    @property
    def path(self) -> Path:
        """Where the weights are, or will be once they have been loaded."""
        if self.bundled:
            return Path(__file__).parents[1] / "assets" / self.file
        # The hash in the name: a release that changes never finds the old file.
        sha = (self.sha256 or "")[:12]
        return cache_folder() / "weights" / f"{self.name}-{sha}.safetensors"


RELEASES_URL = "https://dl.fbaipublicfiles.com/segment_anything"
_SOURCE = "Segment Anything, Meta AI, 2023 (arXiv 2304.02643)"

RELEASES: Mapping[str, Release] = {
    release.name: release
    for release in (
        Release(
            name="small",
            file="small.safetensors",
            parameters=26_274_480,
            licence="Apache-2.0",
            source="samjax, trained on photos from DINOv2 ViT-S (Meta AI, Apache-2.0)",
            bundled=True,
        ),
        Release(
            name="tiny",
            file="tiny.safetensors",
            parameters=8_092_912,
            licence="Apache-2.0",
            source="samjax, trained from scratch on procedurally drawn scenes",
            bundled=True,
        ),
        Release(
            name="vit_b",
            file="sam_vit_b_01ec64.pth",
            parameters=93_735_728,
            licence="Apache-2.0",
            source=_SOURCE,
            size=375_042_383,
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        Release(
            name="vit_l",
            file="sam_vit_l_0b3195.pth",
            parameters=312_343_088,
            licence="Apache-2.0",
            source=_SOURCE,
            size=1_249_524_607,
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        Release(
            name="vit_h",
            file="sam_vit_h_4b8939.pth",
            parameters=641_090_864,
            licence="Apache-2.0",
            source=_SOURCE,
            size=2_564_550_879,
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    )
}
