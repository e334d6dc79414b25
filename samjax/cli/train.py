"""`samjax train CONFIG`: a run from a config file, with any field of it changed by name."""

import dataclasses
import importlib.util
import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import parse
from samjax.cli.compilation import keep_compiled_programs
from samjax.cli.evaluators import evaluators_of
from samjax.cli.finetuning import (
    initial_of,
    print_start,
    save_what_changed,
    sizes_of,
    sources_of,
)
from samjax.cli.outputs import make_folder
from samjax.distributed import Bounds, ending_together, start
from samjax.training.config import TrainConfig

HELP = """\
usage: samjax train CONFIG [--out PATH] [--resume] [FIELD VALUE ...]

Trains a model as CONFIG says: a Python file whose get_config() returns a TrainConfig,
such as configs/train/synthetic_tiny.py. Any field of it can be changed by name, such as
--optimizer.peak-lr 1e-4 or --stages.0.steps 10; samjax train CONFIG --help lists them
all with their values.

  --out PATH  folder of the run: checkpoints, metrics.jsonl, TensorBoard files, and at
              the end model.safetensors, which samjax.load reads
              (default: runs/NAME, with the name of the config)
  --initial MODEL
              weights to start from: a name, file or folder, as for samjax.load, or
              mae:FILE or dinov2:FILE_OR_FOLDER for the encoder of a masked autoencoder
              or a DINOv2; of the sizes of the config, if it does not take theirs
              (default: random ones)
  --initial-decoder MODEL
              prompt encoder and mask decoder to start from, of a name, file or folder as
              for samjax.load, where --initial gives an encoder alone (default: random)
  --resume    go on from the newest checkpoint in that folder, if there is one
  --overwrite replace files of the run's names in that folder that samjax did not write
  --held-out-scenes INT
              drawn scenes to evaluate on now and then; 0 for none (default: 50)
  --held-out-images INT
              images to evaluate on, of those that a dataset holds out, instead of
              scenes; 0 for none (default: 100)
  --profile STEPS
              record what devices and host do in so many steps, in PATH/profile, for
              TensorBoard or Perfetto (default: 0, nothing)
  --distributed auto|tpu|slurm|HOST:PORT,RANK,COUNT
              train as one of many processes, each started with the same words: of a
              TPU pod, of a SLURM job, or number RANK of COUNT, of which number 0 is
              reached at HOST:PORT; auto looks which it is, and trains alone where there
              are no others (default: what SAMJAX_DISTRIBUTED says, or alone). Scripts
              that start them are in tools/launch
  --bounds.start, .heartbeat, .leave, .step, .pause SECONDS
              how long processes wait for one another; see samjax train CONFIG --help
"""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Trains a model as a config says."""

    out: Path
    """Folder of the run: checkpoints, metrics, and at the end model.safetensors."""

    initial: str | None = None
    """Weights to start from, as for `samjax.load`, or mae:FILE or dinov2:FILE_OR_FOLDER
    for the image encoder's; random without it."""

    initial_decoder: str | None = None
    """Weights whose prompt encoder and mask decoder to start from, as for
    `samjax.load`, where `--initial` gives an encoder alone; random without it."""

    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the newest checkpoint in that folder, if there is one."""

    held_out_scenes: int = 50
    """Scenes to evaluate on every `evaluate_every` steps and at the end; 0 for none."""

    held_out_images: int = 100
    """Images of those that a dataset holds out to evaluate on; 0 for none."""

    profile: int = 0
    """Steps to record a profile of."""

    distributed: str | None = None
    """How the processes of a run find each other: auto, tpu, slurm, or
    HOST:PORT,RANK,COUNT; alone without it."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files of the run's names in that folder that samjax did not write."""

    bounds: Bounds = field(default_factory=Bounds)

    config: Annotated[TrainConfig, tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands]


def run(arguments: list[str]) -> None:
    """Trains, and writes the weights when the run is finished."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        if not arguments:
            raise UsageError("no config is named: samjax train CONFIG")
        return
    path, *rest = arguments
    if path.startswith("-"):
        raise UsageError(f"got {path} before a config: samjax train CONFIG [options]")
    config = load_config(Path(path), initial_of(rest))
    wanted = parse(
        Train,
        f"samjax train {path}",
        rest,
        default=Train(
            out=Path("runs", Path(path).stem),
            distributed=os.environ.get("SAMJAX_DISTRIBUTED"),
            config=config,
        ),
    )
    make_folder(wanted.out)
    keep_compiled_programs()
    start(wanted.distributed, wanted.bounds)
    with ending_together():
        finished = _train(wanted)
    if not finished:
        raise KeyboardInterrupt


def load_config(path: Path, initial: str | None = None) -> TrainConfig:
    """Returns what `get_config()` of a Python file returns.

    The file is run: a config is code, and one from a stranger is a stranger's program.

    Args:
        path: The file.
        initial: Weights that the run starts from: if `get_config` takes a `model`, it
            gets their sizes.

    Raises:
        ValueError: It is no Python file, fails, or has no config to give.
        OSError: It is not there or cannot be read.
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
    from samjax.checkpoints.initial import is_encoder

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


def _train(wanted: Train) -> bool:
    """Trains, and leaves the weights if the run is finished."""
    import jax
    import jax.numpy as jnp

    from samjax import checkpoints
    from samjax.devices import find_devices
    from samjax.models import Sam
    from samjax.training.loop import TooManyBadExamples, TrainingDiverged, train

    find_devices()
    config = wanted.config
    _check_results(wanted)
    params = _initial_params(wanted)
    evaluators = evaluators_of(
        config,
        Sam(config.model, jnp.dtype(config.dtype).type),
        scenes=wanted.held_out_scenes,
        images=wanted.held_out_images,
    )
    is_first = jax.process_index() == 0
    if params is not None and not wanted.resume and is_first:
        print_start(evaluators, params)
    try:
        result = train(
            config,
            out=wanted.out,
            resume=wanted.resume,
            initial_params=params,
            evaluators=evaluators,
            make_source=sources_of(config, params),
            profile_steps=wanted.profile,
            bounds=wanted.bounds,
            overwrite=wanted.overwrite,
        )
    except (TrainingDiverged, TooManyBadExamples) as error:
        raise ValueError(str(error)) from error
    if not is_first:
        return result.finished
    if not result.finished:
        print(f"{wanted.out} is at step {result.steps}: go on with --resume")
        return False
    path = wanted.out / "model.safetensors"
    overwrite = wanted.overwrite
    checkpoints.save(path, config.model, result.params, overwrite=overwrite)
    print(f"weights: {path}")
    changed = save_what_changed(
        wanted.out, config, result.adapted, wanted.initial, overwrite=overwrite
    )
    if changed is not None:
        print(f"what was trained of them: {changed}")
    return True


def _check_results(wanted: Train) -> None:
    """Refuses now, and not after the run, to write over a file of the user's."""
    from samjax.cli.loading import files_of_model
    from samjax.files import Kind, check_replaceable

    given = (wanted.initial, wanted.initial_decoder)
    inputs = [file for one in given if one is not None for file in files_of_model(one)]
    kinds: dict[str, Kind] = {"model.safetensors": "weights"}
    if wanted.config.trainable != "all":
        kinds["trained.safetensors"] = "trained part"
    for name, kind in kinds.items():
        path = wanted.out / name
        check_replaceable(path, kind, overwrite=wanted.overwrite, inputs=inputs)


def _initial_params(wanted: Train) -> Any:
    """The weights that a run starts from, if it does not start from random ones."""
    decoder = wanted.initial_decoder
    if wanted.initial is None:
        if decoder is not None:
            raise UsageError(
                f"--initial-decoder {decoder} goes with the image encoder of another "
                "model: add --initial dinov2:FILE_OR_FOLDER or mae:FILE, or give the "
                "weights as --initial alone"
            )
        return None
    import jax

    from samjax import checkpoints
    from samjax.checkpoints.initial import is_encoder, load_decoder, load_encoder
    from samjax.models import Sam
    from samjax.training.step import init_params

    config = wanted.config
    if is_encoder(wanted.initial):
        fresh = init_params(jax.random.key(config.seed), Sam(config.model))
        params = load_encoder(wanted.initial, fresh, config.model)
        if decoder is not None:
            params = load_decoder(decoder, params, config.model)
        return params
    if decoder is not None:
        raise UsageError(
            f"--initial-decoder {decoder} is for an image encoder alone (dinov2: or "
            f"mae:), and --initial {wanted.initial} has a mask decoder: leave one out"
        )
    model, params = checkpoints.load(wanted.initial)
    # How a model is computed, which weights know nothing of.
    how = {
        name: getattr(config.model, name)
        for name in ("drop_path_rate", "remat", "scan")
    }
    if dataclasses.replace(model.config, **how) != config.model:
        raise UsageError(
            f"--initial {wanted.initial} has other sizes than the config's model: got "
            f"{model.config}, expected {config.model}"
        )
    return params
