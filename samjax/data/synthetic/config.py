"""Configuration of the scene generator: everything that is static under `jax.jit`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Sizes and probabilities of a procedural scene.

    All array shapes are determined here, so a config is a static argument of a jitted
    function. Lengths are fractions of the image's side: a key gives the same scene at
    every `size`.

    Attributes:
        size: Side of the square image in pixels, a multiple of 8.
        num_objects: Largest number of top-level objects (or grids of repeated objects).
        min_objects: Smallest number of them.
        max_parts: Largest number of parts of an object beside its body, 0 to 3.
        num_masks: Masks returned per scene, the k of `Scene`.
        min_scale: Smallest half extent of an object.
        max_scale: Largest half extent of an object.
        min_area: Fraction of the image area below which a visible mask is invalid.
        max_area: Fraction of the image area above which a mask is invalid.
        camouflage: Probability that an object has the ground's texture and colours.
        repetition: Probability that an object is repeated in a row or grid.
        stuff: Whether the regions of the ground are masks too.
        camera: Whether lens, sensor and compression degrade the image.
    """

    size: int = 256
    num_objects: int = 16
    min_objects: int = 4
    max_parts: int = 3
    num_masks: int = 16
    min_scale: float = 0.025
    max_scale: float = 0.5
    min_area: float = 0.0006
    max_area: float = 0.9
    camouflage: float = 0.1
    repetition: float = 0.2
    stuff: bool = True
    camera: bool = True

    def __post_init__(self):
        problems = []
        if self.size < 16 or self.size % 8:
            problems.append(f"size={self.size}: use a multiple of 8, at least 16")
        if not 0 <= self.min_objects <= self.num_objects:
            problems.append(
                f"min_objects={self.min_objects}: use 0 to num_objects"
                f" ({self.num_objects})"
            )
        if self.num_objects < 1:
            problems.append(f"num_objects={self.num_objects}: use at least 1")
        if not 0 <= self.max_parts <= 3:
            problems.append(f"max_parts={self.max_parts}: use 0 to 3")
        if not 1 <= self.num_masks <= 256:
            problems.append(f"num_masks={self.num_masks}: use 1 to 256")
        if not 0 < self.min_scale < self.max_scale:
            problems.append(
                f"min_scale={self.min_scale}, max_scale={self.max_scale}:"
                " use 0 < min_scale < max_scale"
            )
        if not 0 <= self.min_area < self.max_area <= 1:
            problems.append(
                f"min_area={self.min_area}, max_area={self.max_area}:"
                " use 0 <= min_area < max_area <= 1"
            )
        for name in ("camouflage", "repetition"):
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name}={getattr(self, name)}: use a chance, 0 to 1")
        if problems:
            raise ValueError("SceneConfig: " + "; ".join(problems))
