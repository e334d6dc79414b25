"""Options of training with text prompts; the defaults are the paper's, where it says."""

from dataclasses import dataclass, field

from samjax.data.mask_crops import CropConfig


@dataclass(frozen=True, kw_only=True)
class TextTraining:
    """How vectors of CLIP stand for texts in training.

    Attributes:
        clip: Weights of CLIP or SigLIP: a name, a file or a folder, as for
            `samjax.load`.
        crops: How masks are cropped; side and patch are CLIP's.
        variants: Crops of each mask that are embedded, one of which is drawn in a step.
            The paper draws a new crop each time.
        smallest_area: Masks below this area have no loss, in pixels of an input of 1024
            pixels. The paper says 100 x 100 pixels, and not of what.
        noise: Deviation of the noise that is added to a vector before it is scaled to
            length 1 again, against the gap between images and texts; the paper adds
            none.
        mean_masks: Masks over which the mean of the vectors of images is taken. It is
            subtracted from every vector and the mean of phrases added, so that both
            modalities have the same mean; 0 subtracts nothing. The paper does not.
        sidecar: Where the vectors are kept for later runs: a `.safetensors` file, which
            is held in memory, or a folder with files for each shard of the dataset;
            None keeps them in memory.
    """

    clip: str = "clip_vit_l14_336"
    crops: CropConfig = field(default_factory=CropConfig)
    variants: int = 4
    smallest_area: int = 100**2
    noise: float = 0.0
    mean_masks: int = 0
    sidecar: str | None = None

    def __post_init__(self):
        problems = []
        if self.variants < 1:
            problems.append(f"variants={self.variants}: use at least 1")
        if min(self.smallest_area, self.noise, self.mean_masks) < 0:
            problems.append(
                f"smallest_area={self.smallest_area}, noise={self.noise}, "
                f"mean_masks={self.mean_masks}: use 0 or more"
            )
        if problems:
            raise ValueError("TextTraining: " + "; ".join(problems))
