"""Config of a training run: its model, data, losses, optimizer and stages.

`configs/train/sa1b_vit_b.py` and its siblings are the recipe of SAM, appendix A.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import jax.numpy as jnp

from samjax.checkpoints.families import family_of
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig
from samjax.data.synthetic.config import SceneConfig
from samjax.models.sam import Sam, SamConfig
from samjax.sharding import MeshConfig
from samjax.training.finetune.lora import LoraConfig
from samjax.training.finetune.trainable import Trainable
from samjax.training.losses import LossConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.runtime.flops import EncoderTraining
from samjax.training.step import StepConfig
from samjax.training.targets import Resolution
from samjax.training.text.config import TextTraining


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Consecutive steps of a run with the same array shapes; parameters carry over.

    A model is trained cheaply on small images with few rounds of prompts first. Its
    position tables are resized to each input size and stored at the model's own.

    Attributes:
        steps: Optimizer steps.
        image_size: Side of the square input in pixels.
        batch_size: Images per step, on all devices together.
        accumulate: Microbatches of a step, where the devices cannot hold the whole
            batch; the update is that of the whole batch.
        masks_per_image: Target masks per image.
        prompts: The rounds of prompts.
        resolution: Resolution at which predictions are compared with targets.
        crops: Whether the images are crops of an input of the model's own size, each
            batch at a random position; otherwise small images are coarse views of whole
            ones, and position tables are resized.
        scenes: Drawn scenes of this stage; None for those of the run.
        repeat_masks: Whether the free slots of an image with fewer masks repeat its
            masks, with prompts of their own.
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
        """Returns one line about the stage: batch size, image size, masks and rounds."""
        return (
            f"{self.batch_size} {'crops' if self.crops else 'images'} of"
            f" {self.image_size},"
            f" {self.masks_per_image} masks each,"
            f" {self.prompts.num_rounds} rounds of prompts"
        )


# Fields that change what a run reports and keeps and how its arrays are sharded, but not
# what it computes. A run may be resumed with other values of these.
_REPORTING = (
    "mesh",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "evaluate_every",
    "picture_every",
    "tensorboard",
)
# The same for the fields of its dataset.
_READING = ("workers", "prefetch", "max_bad_fraction")
# Fields added later. Checkpoints leave them out while they are off, so that older runs
# can be resumed. First fields of a dataset, then others with their value when off.
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
# Those that came after mixtures did, in their parts.
_LATER_OF_PART = ("crowds", "images")
_LATER_OF_STAGE = {"repeat_masks": False}
_LATER_OF_OPTIMIZER = {"encoder_rate": 1.0}

_COUNTS = ("steps", "image_size", "batch_size", "masks_per_image", "accumulate")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Config of a run. Two runs of one config have the same losses, step by step.

    Attributes:
        model: Sizes of the model.
        stages: The stages, in order.
        data: The dataset to train on, or a mixture of several and of drawn scenes; None
            for drawn scenes alone.
        scenes: Drawn scenes to train on; each stage sets their size and number of masks.
            A mixture has them in its parts.
        losses: Weights and constants of the losses.
        optimizer: The optimizer; its schedule spans all stages.
        mesh: Mesh of the devices. A run may be resumed on another one.
        text: Training with vectors of CLIP as the first prompts; None for points and
            boxes.
        trainable: Trained parameters.
        lora: Low-rank adapters, trained beside them; rank 0 for none.
        dtype: Compute dtype; parameters are float32.
        ema_decay: Decay of the moving average of the parameters, or None for none.
        initialization: Initial parameters without given weights: `"random"`, or
            `"informed"`, with a patch embedding whitened on the first batch, aligned
            cross-attention and finer Fourier features (`initial.informed`).
        seed: Seed of parameters, data and prompts.
        log_every: Steps between lines on the console and points in TensorBoard;
            `metrics.jsonl` has every step.
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: Number of newest checkpoints to keep.
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
    text: TextTraining | None = None
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
        if self.text is not None and not self.model.text_dim:
            problems.append(
                "text is set, and the model is a SamConfig: use a TextSamConfig"
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
        """Gradients that the backward pass computes in the image encoder."""
        if self.trainable == "all":
            return "trained"
        if self.lora.rank and self.lora.encoder:
            return "adapted"
        return "neck" if self.trainable == "neck_and_decoder" else "frozen"

    def build_model(self) -> Sam:
        """Returns the model, with the compute dtype of the run."""
        return family_of(self.model).model(self.model, dtype=jnp.dtype(self.dtype))

    def spans(self) -> list[tuple[Stage, int, int]]:
        """Returns each stage with its first step and the step after its last."""
        spans, first = [], 0
        for stage in self.stages:
            spans.append((stage, first, first + stage.steps))
            first += stage.steps
        return spans

    def identity(self) -> dict[str, Any]:
        """Returns the fields that decide what a run computes, as a tree."""
        fields: dict[str, Any] = dataclasses.asdict(self)
        fields["model"] = self.model.as_fields()
        if fields["data"] is not None:
            fields["data"] = _without(_without_off(fields["data"], _LATER), _READING)
            for part in fields["data"].get("parts", ()):
                part["data"] = part["data"] and _without_off(
                    part["data"], _LATER_OF_PART
                )
        # Runs without text are those of versions before the field.
        if fields["text"] is None:
            del fields["text"]
        else:
            fields["text"] = _without(fields["text"], ("sidecar",))
            # Of later versions: a run that began before resumes.
            if not fields["text"]["mean_masks"]:
                fields["text"] = _without(fields["text"], ("mean_masks",))
        fields["optimizer"] = _without_values(fields["optimizer"], _LATER_OF_OPTIMIZER)
        fields["stages"] = tuple(
            _without_values(stage, _LATER_OF_STAGE) for stage in fields["stages"]
        )
        return _without(fields, _REPORTING)

    def stage_scenes(self, stage: Stage) -> SceneConfig:
        """Returns the drawn scenes of a stage."""
        return dataclasses.replace(
            stage.scenes or self.scenes,
            size=stage.image_size,
            num_masks=stage.masks_per_image,
        )

    def stage_step(self, stage: Stage) -> StepConfig:
        """Returns the step of a stage: the fields of that name of the stage, or the run."""
        of_stage = {field.name for field in dataclasses.fields(Stage)}
        return StepConfig(
            **{
                field.name: getattr(
                    stage if field.name in of_stage else self, field.name
                )
                for field in dataclasses.fields(StepConfig)
            }
        )


def _without_values(fields: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if name not in values or values[name] != value
    }


def _without_off(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return _without(fields, tuple(name for name in names if not fields.get(name)))


def _without(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
