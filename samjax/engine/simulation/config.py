"""Config of the simulated data engine."""

from dataclasses import dataclass, field

from samjax.data.synthetic import SceneConfig
from samjax.engine.simulation.annotator import AnnotatorConfig

# Objects without parts, on a plain ground: scenes on which the bundled `tiny` needs some
# four clicks a mask, so that there is room between a weakened model and it.
SCENES = SceneConfig(
    size=512,
    num_masks=32,
    num_objects=14,
    min_objects=8,
    max_parts=0,
    min_scale=0.06,
    max_scale=0.25,
    camouflage=0.0,
    repetition=0.0,
    stuff=False,
    camera=False,
)


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Sizes of the simulated loop.

    Attributes:
        rounds: Rounds of annotation. The last one is semi-automatic, those before are
            assisted-manual.
        images: Images of a round.
        gold: Images with trusted masks, on which models are compared.
        steps: Training steps after each round but the last.
        batch_size: Images of a step.
        correction_points: Clicks after the first that a mask is trained with: the
            annotator needs several.
        learning_rate: Peak learning rate.
        weaken: Strength of the noise on the first model's mask decoder, relative to the
            deviation of each of its arrays.
        precision: Fraction of the proposals that should be right, at an IoU of 0.75.
        points_per_side: Grid of everything mode, which proposes masks.
        seed: Seed of the scenes, the annotator, the noise and the training.
        annotator: Habits of the annotator.
        scenes: The drawn scenes.
    """

    rounds: int = 3
    images: int = 12
    gold: int = 8
    steps: int = 100
    batch_size: int = 2
    correction_points: int = 1
    learning_rate: float = 1e-3
    weaken: float = 0.5
    precision: float = 0.9
    points_per_side: int = 16
    seed: int = 0
    annotator: AnnotatorConfig = field(default_factory=AnnotatorConfig)
    scenes: SceneConfig = SCENES

    def __post_init__(self):
        for name in ("rounds", "images", "gold", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"got {name}={getattr(self, name)}, expected at least 1"
                )
        if not 0 <= self.weaken:
            raise ValueError(f"got weaken={self.weaken}, expected at least 0")
        if not 0 < self.precision <= 1:
            raise ValueError(f"got precision={self.precision}, expected up to 1")
