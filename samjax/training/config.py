"""What a training run is: every part's config, and the stages it goes through."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig
from samjax.data.synthetic.config import SceneConfig
from samjax.models.sam import SamConfig
from samjax.sharding import MeshConfig
from samjax.training.finetune.lora import LoraConfig
from samjax.training.finetune.trainable import Trainable
from samjax.training.losses import LossConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.runtime.flops import EncoderTraining
from samjax.training.step import StepConfig
from samjax.training.targets import Resolution


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of a run with shapes of its own; parameters carry over.

    A model is trained cheaply on small images with few rounds of prompts first; its
    position tables are resized for each input size and stored at their own.

    Attributes:
        steps: Optimizer steps.
        image_size: Side of the square input in pixels.
        batch_size: Images per step, on all devices together.
        accumulate: Parts in which a batch goes through the model, one after the other,
            where the devices cannot hold all of it; the step is that of the whole.
        masks_per_image: Target masks per image.
        prompts: The rounds of prompts.
        resolution: Where predictions and targets are compared.
        crops: Whether the images are parts of an input of the model's own size, each
            batch at a random place of it; otherwise small images are coarse views of
            whole ones, and position tables are resized.
        scenes: Drawn scenes of this stage; None for those of the run.
        repeat_masks: Whether the free slots of an image with fewer masks repeat those
            that it has, with prompts of their own.
    """

    steps: int
    image_size: int
    batch_size: int
    masks_per_image: int
    prompts: PromptSimulationConfig = field(default_factory=PromptSimulationConfig)
    resolution: Resolution = "image"
    crops: bool = False
    scenes: SceneConfig | None = None
    accumulate: int = 1
    repeat_masks: bool = False

    def describe(self) -> str:
        """Says on one line what the stage trains on."""
        return (
            f"{self.batch_size} {'crops' if self.crops else 'images'} of"
            f" {self.image_size},"
            f" {self.masks_per_image} masks each,"
            f" {self.prompts.num_rounds} rounds of prompts"
        )


# What a run reports and keeps, and where its arrays lie; everything else decides what it
# computes.
_REPORTING = (
    "mesh",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "evaluate_every",
    "picture_every",
    "tensorboard",
)
# The same of its dataset.
_READING = ("workers", "prefetch", "max_bad_fraction")
# Options that came later: where they are off, checkpoints do not name them, so that
# older runs go on. First those of a dataset, then others with their value when off.
_LATER = (
    "unlabelled",
    "crowds",
    "exclude_licences",
    "images",
    "smallest_mask",
    "copy_paste",
    "colour_jitter",
    "greyscale",
)
_LATER_OF_STAGE = {"repeat_masks": False}
_LATER_OF_OPTIMIZER = {"encoder_rate": 1.0}

_COUNTS = ("steps", "image_size", "batch_size", "masks_per_image", "accumulate")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole run. Two runs of one config give the same losses, step by step.

    Attributes:
        model: Sizes of the model.
        stages: What is trained on, in order.
        data: The dataset to train on, or a mixture of several and of drawn scenes; None
            for drawn scenes alone.
        scenes: Drawn scenes to train on; each stage sets its size and masks. Those of a
            mixture stand in its parts.
        losses: Weights and constants of the losses.
        optimizer: The optimizer; its schedule spans all stages.
        mesh: How the devices are laid out. A run may go on with another one.
        trainable: Which parameters are trained.
        lora: Low-rank adapters that are trained beside them; of rank 0 for none.
        dtype: Compute dtype; parameters are float32.
        ema_decay: Decay of the moving average of the parameters, or None for none.
        initialization: Fresh parameters: `"random"`, or `"informed"` by the patches of
            the first batch, and by what cross-attention and positions are for
            (`initialization`).
        seed: Of parameters, data and prompts.
        log_every: Steps between lines on the console and points in TensorBoard;
            `metrics.jsonl` has every step.
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: Newest checkpoints that are kept.
        evaluate_every: Steps between calls of the evaluators.
        picture_every: Steps between pictures of predictions, or None for none.
        tensorboard: Whether to write TensorBoard files beside `metrics.jsonl`.
    """

    model: SamConfig
    stages: tuple[Stage, ...]
    data: DatasetConfig | MixtureConfig | None = None
    scenes: SceneConfig = field(default_factory=SceneConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    trainable: Trainable = "all"
    lora: LoraConfig = field(default_factory=LoraConfig)
    dtype: Literal["float32", "bfloat16"] = "float32"
    ema_decay: float | None = None
    initialization: Literal["random", "informed"] = "random"
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    evaluate_every: int = 2000
    picture_every: int | None = 1000
    tensorboard: bool = True

    def __post_init__(self):
        problems = []
        if not self.stages:
            problems.append("stages is empty: give at least one Stage")
        for i, stage in enumerate(self.stages):
            for name in _COUNTS:
                if getattr(stage, name) < 1:
                    problems.append(f"stages[{i}].{name} is below 1")
            if stage.accumulate > 1 and stage.batch_size % stage.accumulate:
                problems.append(
                    f"stages[{i}].batch_size={stage.batch_size} is no multiple of its"
                    f" accumulate={stage.accumulate}"
                )
            if stage.crops and stage.image_size > self.model.image_size:
                problems.append(
                    f"stages[{i}] crops {stage.image_size} pixels of the model's"
                    f" image_size={self.model.image_size}"
                )
            if stage.image_size % self.model.patch_size:
                problems.append(
                    f"stages[{i}].image_size={stage.image_size} is no multiple of the"
                    f" model's patch_size={self.model.patch_size}"
                )
        for name in ("log_every", "checkpoint_every", "evaluate_every"):
            if getattr(self, name) < 1:
                problems.append(f"{name}={getattr(self, name)} is below 1")
        if problems:
            raise ValueError("TrainConfig: " + "; ".join(problems))

    @property
    def total_steps(self) -> int:
        """Optimizer steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def encoder_training(self) -> EncoderTraining:
        """What the backward pass has to find in the image encoder."""
        if self.trainable == "all":
            return "trained"
        if self.lora.rank and self.lora.encoder:
            return "adapted"
        return "neck" if self.trainable == "neck_and_decoder" else "frozen"

    def spans(self) -> list[tuple[Stage, int, int]]:
        """Each stage with its first step and the step after its last."""
        spans, first = [], 0
        for stage in self.stages:
            spans.append((stage, first, first + stage.steps))
            first += stage.steps
        return spans

    def identity(self) -> dict[str, Any]:
        """The part of the config that decides what a run computes, as a tree."""
        fields: dict[str, Any] = dataclasses.asdict(self)
        fields["model"] = self.model.as_fields()
        if fields["data"] is not None:
            off = tuple(name for name in _LATER if not fields["data"].get(name))
            fields["data"] = _without(fields["data"], _READING + off)
        fields["optimizer"] = _without_values(fields["optimizer"], _LATER_OF_OPTIMIZER)
        fields["stages"] = tuple(
            _without_values(stage, _LATER_OF_STAGE) for stage in fields["stages"]
        )
        return _without(fields, _REPORTING)

    def stage_scenes(self, stage: Stage) -> SceneConfig:
        """The scenes of a stage."""
        return dataclasses.replace(
            stage.scenes or self.scenes,
            size=stage.image_size,
            num_masks=stage.masks_per_image,
        )

    def stage_step(self, stage: Stage) -> StepConfig:
        """What a step of a stage does."""
        return StepConfig(
            losses=self.losses,
            prompts=stage.prompts,
            resolution=stage.resolution,
            crops=stage.crops,
            repeat_masks=stage.repeat_masks,
            ema_decay=self.ema_decay,
            accumulate=stage.accumulate,
            trainable=self.trainable,
            lora=self.lora,
        )


def _without_values(fields: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if name not in values or values[name] != value
    }


def _without(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
