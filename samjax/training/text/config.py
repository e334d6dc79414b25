"""Options of training with text prompts; the defaults are the paper's, where it says."""

from dataclasses import dataclass, field

from samjax.data.mask_crops import CropConfig


@dataclass(frozen=True, kw_only=True)
class TextTraining:
    """How vectors of CLIP stand for texts in training.

    Attributes:
        clip: Weights of CLIP: a name, a file or a folder, as for `samjax.load`.
        crops: How masks are cropped; side and patch are CLIP's.
        variants: Crops of each mask that are embedded, one of which is drawn in a step.
            The paper draws a new crop each time.
        smallest_area: Masks below this area have no loss, in pixels of an input of 1024
            pixels. The paper says 100 x 100 pixels, and not of what.
        noise: Deviation of the noise that is added to a vector before it is scaled to
            length 1 again, against the gap between images and texts; the paper adds
            none.
        sidecar: File that keeps the vectors for later runs, `.safetensors`; None keeps
            them in memory.
    """

    clip: str = "clip_vit_l14_336"
    crops: CropConfig = field(default_factory=CropConfig)
    variants: int = 4
    smallest_area: int = 100**2
    noise: float = 0.0
    sidecar: str | None = None

    def __post_init__(self):
        problems = []
        if self.variants < 1:
            problems.append(f"variants={self.variants}: use at least 1")
        if self.smallest_area < 0 or self.noise < 0:
            problems.append(
                f"smallest_area={self.smallest_area}, noise={self.noise}: use 0 or more"
            )
        if problems:
            raise ValueError("TextTraining: " + "; ".join(problems))
