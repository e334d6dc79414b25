"""A whole run as `samjax train` does it: config file, initial weights, sources, results.

Evaluators are passed in as functions: training does not import evaluation.
"""

import dataclasses
import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax

from samjax import checkpoints
from samjax.checkpoints.initial import is_encoder, load_decoder, load_encoder
from samjax.checkpoints.loading import locate
from samjax.checkpoints.reader import open_checkpoint
from samjax.checkpoints.store import check_is_new
from samjax.distributed import Bounds
from samjax.files import Kind, check_replaceable
from samjax.models.sam import Sam, SamConfig
from samjax.models.text_sam import TextSamConfig
from samjax.training.card import write_card
from samjax.training.config import Stage, TrainConfig
from samjax.training.finetune.cached_embeddings import (
    EmbeddedSource,
    can_cache_embeddings,
)
from samjax.training.finetune.delta_file import save_trained
from samjax.training.loop import Evaluator, TrainResult, train
from samjax.training.runtime.jit_once import jit_once
from samjax.training.runtime.meter import format_scalars
from samjax.training.runtime.sources import SourceFactory, make_source
from samjax.training.step import Params, init_params
from samjax.training.text.initial import (
    add_text_tower,
    check_sizes,
    load_clip,
    without_text,
)
from samjax.training.text.means import mean_shift
from samjax.training.text.source import TextSource

EvaluatorFactory = Callable[[TrainConfig, Sam], Mapping[str, Evaluator]]

WEIGHTS, TRAINED = "model.safetensors", "trained.safetensors"


class InitialWeightsError(ValueError):
    """Initial weights that do not fit together, or do not fit the config's model."""


class Launched(NamedTuple):
    """Result of `launch`.

    Attributes:
        result: Result of the run.
        weights: File of the model's weights; None in processes other than the first,
            and for a run that was ended early.
        trained: File of the trained part alone; None where all parameters were trained.
        card: The model card; None where the folder has an edited one, which is kept.
    """

    result: TrainResult
    weights: Path | None = None
    trained: Path | None = None
    card: Path | None = None


def launch(
    config: TrainConfig,
    *,
    out: Path,
    initial: str | None = None,
    initial_decoder: str | None = None,
    evaluators: EvaluatorFactory | None = None,
    resume: bool = False,
    profile_steps: int = 0,
    bounds: Bounds | None = None,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
) -> Launched:
    """Trains a model from initial weights, and saves the weights of a finished run.

    Args:
        config: The run.
        out: Folder of the run, as for `train`.
        initial: Initial weights, as for `initial_params`; None for
            `config.initialization`.
        initial_decoder: Weights of prompt encoder and mask decoder beside `initial`.
        evaluators: Makes the evaluators of the run's model.
        resume: Whether to resume from the newest checkpoint in `out`.
        profile_steps: Steps to record a profile of.
        bounds: Timeouts of many processes.
        overwrite: Whether to replace files in `out` that samjax did not write.
        inputs: Files that were read, which are never replaced.

    Returns:
        The run's result, and the files that were written.

    Raises:
        ValueError: As `train` and `initial_params` raise it.
        WouldReplace: `out` has files of the results' names that samjax did not write.
        CheckpointError: Weights cannot be read, or the checkpoint in `out` belongs to
            another config.
        TrainingDiverged: A loss was not finite.
        TooManyBadExamples: More of the data is damaged than the config allows.
    """
    check_results(config, out, inputs, overwrite=overwrite)
    if not resume:
        # Before the weights are evaluated, which may take minutes.
        check_is_new(out)
    # The one model of the run: evaluators, sources and steps share its compiled programs.
    model = config.build_model()
    params = initial_params(config, model, initial, initial_decoder)
    made = {} if evaluators is None else evaluators(config, model)
    is_first = jax.process_index() == 0
    before: Mapping[str, float] = {}
    if params is not None and not resume and is_first:
        before = print_scores_before(made, params)
    result = train(
        config,
        out=out,
        resume=resume,
        initial_params=params,
        evaluators=made,
        make_source=source_factory(config, model, params),
        model=model,
        profile_steps=profile_steps,
        bounds=bounds,
        overwrite=overwrite,
    )
    if not (is_first and result.finished):
        return Launched(result)
    launched = save_results(config, out, result, initial, overwrite=overwrite)
    card = write_card(out, config, result.params, initial=initial, before=before)
    return launched._replace(card=card)


def load_config(path: Path, initial: str | None = None) -> TrainConfig:
    """Returns the config of a Python file with a function `get_config`.

    The file is executed: a config is code, so that one from a stranger is a stranger's
    program.

    Args:
        path: The file.
        initial: Initial weights of the run: their sizes are passed to a `get_config`
            with a parameter `model`.

    Raises:
        ValueError: It is no Python file, fails, or returns no config.
        OSError: It does not exist or cannot be read.
        CheckpointError: There are no such weights.
    """
    path.open().close()
    spec = importlib.util.spec_from_file_location("samjax_config", path)
    if spec is None or spec.loader is None:
        raise ValueError(
            f"{path} is not a Python file: expected a config ending in .py"
        )
    module: Any = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        options = inspect.signature(module.get_config).parameters
    except Exception as error:
        raise ValueError(f"{path} gives no config: {error!r}") from error
    sizes = {}
    if initial is not None and not is_encoder(initial) and "model" in options:
        sizes["model"] = sizes_of(initial)
    try:
        config = module.get_config(**sizes)
    except Exception as error:
        raise ValueError(f"{path} gives no config: {error!r}") from error
    if not isinstance(config, TrainConfig):
        raise ValueError(  # noqa: TRY004
            f"get_config() of {path} returned a {type(config).__name__}, expected a "
            "samjax.training.config.TrainConfig"
        )
    return config


def sizes_of(initial: str) -> SamConfig:
    """Returns the sizes of weights, from the names and shapes of their tensors.

    Raises:
        CheckpointError: There are no such weights.
    """
    return open_checkpoint(locate(initial)).config


def initial_params(
    config: TrainConfig, model: Sam, initial: str | None, decoder: str | None = None
) -> Params | None:
    """Loads the initial weights of a run.

    Args:
        config: The run.
        model: Its model.
        initial: A name, file or folder, as for `samjax.load`; or `mae:FILE` or
            `dinov2:FILE_OR_FOLDER` for the image encoder's, beside random ones.
        decoder: Weights whose prompt encoder and mask decoder are taken, where
            `initial` is an image encoder alone.

    Returns:
        The parameters; None without `initial`.

    Raises:
        InitialWeightsError: The two do not go together, or have other sizes than the
            config's model.
        CheckpointError: Weights cannot be read.
    """
    if config.text is not None and (initial is None or is_encoder(initial)):
        raise InitialWeightsError(
            "training with text starts from a whole SAM: give --initial, such as vit_h"
        )
    if initial is None:
        if decoder is not None:
            raise InitialWeightsError(
                f"--initial-decoder {decoder} goes with the image encoder of another "
                "model: add --initial dinov2:FILE_OR_FOLDER or mae:FILE, or give the "
                "weights as --initial alone"
            )
        return None
    if is_encoder(initial):
        draw = jit_once(init_params, static_argnums=1)
        params = draw(jax.random.key(config.seed), model)
        params = load_encoder(initial, params, config.model)
        return (
            params if decoder is None else load_decoder(decoder, params, config.model)
        )
    if decoder is not None:
        raise InitialWeightsError(
            f"--initial-decoder {decoder} is for an image encoder alone (dinov2: or "
            f"mae:), and --initial {initial} has a mask decoder: leave one out"
        )
    loaded, params = checkpoints.load(initial)
    is_sam = isinstance(loaded, Sam)
    if config.text is not None and is_sam and not loaded.has_text:
        return _with_text_tower(config, initial, loaded, params)
    if loaded.config.architecture != config.model.architecture:
        raise InitialWeightsError(
            f"--initial {initial} has other sizes than the config's model: got "
            f"{loaded.config.architecture}, expected {config.model.architecture}"
        )
    return params


def _with_text_tower(
    config: TrainConfig, initial: str, loaded: Sam, params: Params
) -> Params:
    """Returns a SAM's weights with the text tower of CLIP or SigLIP and a projection."""
    assert config.text is not None
    expected = without_text(config.model)
    if loaded.config.architecture != expected:
        raise InitialWeightsError(
            f"--initial {initial} has other sizes than the config's model: got "
            f"{loaded.config.architecture}, expected {expected}"
        )
    clip, clip_params = load_clip(config.text.clip)
    sizes = cast(TextSamConfig, config.model)
    try:
        check_sizes(sizes, clip)
    except ValueError as error:
        raise InitialWeightsError(str(error)) from error
    return add_text_tower(params, clip_params, sizes, config.seed)


def source_factory(
    config: TrainConfig, model: Sam, params: Params | None
) -> SourceFactory:
    """Returns how to open the run's sources: with vectors of CLIP, if the run has text.

    Args:
        config: The run.
        model: Its model.
        params: Initial weights, as for `image_source_factory`.
    """
    make_images = image_source_factory(config, model, params)
    if config.text is None:
        return make_images
    text, (clip, clip_params) = config.text, load_clip(config.text.clip)
    shifts: dict[Stage, Any] = {}

    def make_text(
        config: TrainConfig, stage: Stage, part: int = 0, parts: int = 1
    ) -> TextSource:
        source = make_images(config, stage, part, parts)
        if text.mean_masks and stage not in shifts:
            # The same images in every process, and of the run's first stage or a resumed
            # one alike: a function of the stage alone.
            images = make_source(config, stage, 0, 1)
            still = dataclasses.replace(text, noise=0.0)
            plain = TextSource(images, clip, clip_params, still, seed=config.seed)
            vocabulary = cast(TextSamConfig, config.model).text_vocabulary
            shifts[stage] = mean_shift(
                plain, clip, clip_params, text.mean_masks, vocabulary
            )
        return TextSource(
            source,
            clip,
            clip_params,
            text,
            seed=config.seed,
            shift=shifts.get(stage),
        )

    return make_text


def image_source_factory(
    config: TrainConfig, model: Sam, params: Params | None
) -> SourceFactory:
    """Returns how to open sources of images: with cached embeddings, where possible.

    Args:
        config: The run.
        model: Its model.
        params: Initial weights; None for those of `config.initialization`, whose image
            encoder is not known yet.
    """
    if params is None or not can_cache_embeddings(config):
        return make_source
    weights = params

    def make_embedded(
        config: TrainConfig, stage: Stage, part: int = 0, parts: int = 1
    ) -> EmbeddedSource:
        # The source of a dataset, whose batches are `RunBatch`es.
        source: Any = make_source(config, stage, part, parts)
        return EmbeddedSource(source, model, weights)

    return make_embedded


def print_scores_before(
    evaluators: Mapping[str, Evaluator], params: Params
) -> dict[str, float]:
    """Prints and returns the scores of the initial weights, by `EVALUATOR/SCORE`."""
    found: dict[str, float] = {}
    for name, evaluate in evaluators.items():
        scores = {f"{name}/{key}": value for key, value in evaluate(params).items()}
        print(f"before  {format_scalars(scores)}", flush=True)
        found |= scores
    return found


def check_results(
    config: TrainConfig, out: Path, inputs: Sequence[Path], *, overwrite: bool
) -> None:
    """Checks before a run that its results will replace no file of the user's.

    Args:
        config: The run.
        out: Its folder.
        inputs: Files that are read, which are never replaced.
        overwrite: Whether to replace other files that samjax did not write.

    Raises:
        WouldReplace: Such a file exists.
    """
    kinds: dict[str, Kind] = {WEIGHTS: "weights"}
    if config.trainable != "all":
        kinds[TRAINED] = "trained part"
    for name, kind in kinds.items():
        check_replaceable(out / name, kind, overwrite=overwrite, inputs=inputs)


def save_results(
    config: TrainConfig,
    out: Path,
    result: TrainResult,
    initial: str | None,
    *,
    overwrite: bool = False,
) -> Launched:
    """Saves the weights of a finished run, and its trained part where that is not all.

    Args:
        config: The run.
        out: Its folder.
        result: Its result.
        initial: The initial weights, which the trained part belongs to; without them
            none is saved.
        overwrite: Whether to replace files that samjax did not write.
    """
    weights = out / WEIGHTS
    checkpoints.save(weights, config.model, result.params, overwrite=overwrite)
    if config.trainable == "all" or initial is None:
        return Launched(result, weights)
    save_trained(
        out / TRAINED,
        result.adapted,
        trainable=config.trainable,
        lora=config.lora,
        base=initial,
        overwrite=overwrite,
    )
    return Launched(result, weights, out / TRAINED)
