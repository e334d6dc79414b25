"""Sources of a run's batches: its dataset or mixture, or drawn scenes."""

from collections.abc import Callable

from samjax.data.batch import Source
from samjax.data.datasets import open_source
from samjax.data.mixture import MixtureConfig, open_mixture
from samjax.data.synthetic.source import SyntheticSource
from samjax.training.config import Stage, TrainConfig

SourceFactory = Callable[[TrainConfig, Stage, int, int], Source]
"""Function (config, stage, i, n) to a source of the i-th of n equal parts of batches."""


def make_source(
    config: TrainConfig, stage: Stage, part: int = 0, parts: int = 1
) -> Source:
    """Opens the source of a stage: the run's dataset or mixture, or drawn scenes.

    Args:
        config: The run.
        stage: The stage, for the shapes of its batches.
        part: Index of this process's part of each batch.
        parts: Number of equal parts of a batch.
    """
    if config.data is not None:
        reading: dict[str, int] = {
            "image_size": stage.image_size,
            "masks_per_image": stage.masks_per_image,
            "batch_size": stage.batch_size,
            "seed": config.seed,
            "process_index": part,
            "process_count": parts,
        }
        if isinstance(config.data, MixtureConfig):
            return open_mixture(config.data, **reading)
        return open_source(config.data, **reading)
    return SyntheticSource(
        config.stage_scenes(stage),
        batch_size=stage.batch_size,
        seed=config.seed,
        part=part,
        parts=parts,
    )
