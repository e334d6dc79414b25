"""`samjax train CONFIG`: a run from a config file, with any field of it changed by name."""

import contextlib
import dataclasses
import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import parse, parse_share, value_of
from samjax.cli.compilation import keep_compiled_programs
from samjax.cli.evaluators import evaluators_of
from samjax.cli.loading import files_of_model
from samjax.cli.outputs import make_folder
from samjax.cli.progress import show_steps
from samjax.distributed import Bounds, ending_together, start
from samjax.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a run that its config does not have."""

    out: Path = Path("runs/NAME")
    """Folder of the run: checkpoints, metrics.jsonl, TensorBoard files, and at the end
    model.safetensors, which samjax.load reads, and MODEL_CARD.md. Default: runs/ and
    the config's name."""

    initial: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Initial weights: a name, file or folder, as for samjax.load, or mae:FILE or
    dinov2:FILE_OR_FOLDER for the image encoder's alone; random ones without it."""

    initial_decoder: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Initial weights of prompt encoder and mask decoder, where --initial has those of
    an image encoder alone: a name, file or folder; random ones without it."""

    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Resumes from the newest checkpoint in the folder, if there is one."""

    held_out_scenes: int = 50
    """Drawn scenes to evaluate on during the run and at its end; 0 for none. For runs
    without a dataset."""

    held_out_images: int = 100
    """Images to evaluate on, of those that a dataset holds out; 0 for none."""

    profile: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 0
    """Steps to record a profile of, in the folder profile of the run, for TensorBoard or
    Perfetto."""

    distributed: Annotated[
        str | None, tyro.conf.arg(metavar="auto|tpu|slurm|HOST:PORT,RANK,COUNT")
    ] = None
    """Trains as one of many processes, all started with the same command line: of a TPU
    pod, of a SLURM job, or process RANK of COUNT, of which process 0 listens on
    HOST:PORT; auto detects which, or trains alone. Default: $SAMJAX_DISTRIBUTED, or
    alone. Scripts that start processes are in tools/launch."""

    text_vectors: Annotated[str | None, tyro.conf.arg(metavar="INDEX/COUNT")] = None
    """Trains nothing, and embeds the crops of the dataset's masks into the folder that
    the field text.sidecar names: this process's share of the shards, 0/1 for all. For
    runs with text. A call that was stopped goes on where it was."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files of the run's names in the folder that samjax did not write."""

    bounds: Bounds = field(default_factory=Bounds)
    """Timeouts of many processes."""


@dataclass(frozen=True, kw_only=True)
class Train(Options):
    """Trains a model as a config says."""

    config: Annotated[TrainConfig, tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands]


@dataclass(frozen=True, kw_only=True)
class TrainAny(Options):
    """Trains a model as a config says.

    The config comes first. Every field of it is an option too, such as
    --optimizer.peak-learning-rate or --stages.0.steps: samjax train CONFIG --help lists
    them all with their values.
    """

    config: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CONFIG")]
    """A Python file whose get_config() returns a TrainConfig, such as
    configs/train/synthetic_tiny.py."""


def _with_vocabulary(config: TrainConfig, vocabulary: str) -> TrainConfig:
    """Returns a run with SigLIP's vocabulary in its model's config, if it has text."""
    if not hasattr(config.model, "text_vocabulary"):
        return config
    model = dataclasses.replace(config.model, text_vocabulary=vocabulary)  # pyright: ignore[reportCallIssue]
    return dataclasses.replace(config, model=model)


def run(arguments: list[str]) -> None:
    """Trains, and writes the weights when the run is finished.

    Raises:
        UsageError: No config is named first.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        with contextlib.suppress(SystemExit):
            parse(TrainAny, "samjax train", ["--help"])
        if not arguments:
            raise UsageError("no config is named: samjax train CONFIG")
        return
    path, *rest = arguments
    if path.startswith("-"):
        raise UsageError(f"got {path} before a config: samjax train CONFIG [options]")
    from samjax.training.launch import load_config

    config = load_config(Path(path), initial_of(rest))
    # As long as a book: it is no option, and would fill the help.
    vocabulary = getattr(config.model, "text_vocabulary", "")
    options = parse(
        Train,
        f"samjax train {path}",
        rest,
        default=Train(
            out=Path("runs", Path(path).stem),
            distributed=os.environ.get("SAMJAX_DISTRIBUTED"),
            config=_with_vocabulary(config, ""),
        ),
    )
    config = _with_vocabulary(options.config, vocabulary)
    options = dataclasses.replace(options, config=config)
    if options.text_vectors is not None:
        keep_compiled_programs()
        _embed(options.config, options.text_vectors)
        return
    make_folder(options.out)
    keep_compiled_programs()
    start(options.distributed, options.bounds)
    with ending_together():
        finished = _train(options)
    if not finished:
        raise KeyboardInterrupt


def _embed(config: TrainConfig, share: str) -> None:
    """Embeds the masks of a run's dataset, with progress."""
    from samjax.data.share import Share
    from samjax.devices import find_devices
    from samjax.training.text.embedding import count_images, embed_dataset

    part = Share(*parse_share(share, "--text-vectors"))
    find_devices()
    total = count_images(config, part)
    embedded = embed_dataset(config, part)
    count = sum(1 for _ in show_steps("embed", embedded, "images", total))
    assert config.text is not None
    print(f"{config.text.sidecar}: vectors of the masks of {count} images")


def initial_of(arguments: list[str]) -> str | None:
    """Returns the value of `--initial`, on which the defaults of other options depend."""
    return value_of("--initial", arguments)


def _train(options: Train) -> bool:
    """Trains, and prints the files that were written; returns whether it finished."""
    import jax

    from samjax.devices import find_devices
    from samjax.training.card import CARD
    from samjax.training.launch import InitialWeightsError, launch
    from samjax.training.loop import TooManyBadExamples, TrainingDiverged

    find_devices()
    weights = (options.initial, options.initial_decoder)
    try:
        launched = launch(
            options.config,
            out=options.out,
            initial=options.initial,
            initial_decoder=options.initial_decoder,
            evaluators=functools.partial(
                evaluators_of,
                scenes=options.held_out_scenes,
                images=options.held_out_images,
            ),
            resume=options.resume,
            profile_steps=options.profile,
            bounds=options.bounds,
            overwrite=options.overwrite,
            inputs=[file for name in weights if name for file in files_of_model(name)],
        )
    except InitialWeightsError as error:
        raise UsageError(str(error)) from error
    except (TrainingDiverged, TooManyBadExamples) as error:
        raise ValueError(str(error)) from error
    result = launched.result
    if not result.finished and jax.process_index() == 0:
        print(f"{options.out} is at step {result.steps}: go on with --resume")
    if launched.weights is not None:
        print(f"weights: {launched.weights}")
    if launched.trained is not None:
        print(f"trained part alone: {launched.trained}")
    if launched.card is not None:
        print(f"model card: {launched.card}, with fields to fill")
    elif launched.weights is not None:
        print(f"{options.out / CARD} was edited and is kept: its scores may be older")
    return result.finished
