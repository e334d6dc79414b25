"""`samjax train CONFIG`: a run from a config file, with any field of it changed by name."""

import dataclasses
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import parse
from samjax.cli.compilation import keep_compiled_programs
from samjax.cli.outputs import make_folder
from samjax.training.config import TrainConfig

if TYPE_CHECKING:
    from samjax.training.loop import Evaluator

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
              weights to start from: a name, file or folder, as for samjax.load; of the
              sizes of the config (default: random ones)
  --resume    go on from the newest checkpoint in that folder, if there is one
  --held-out-scenes INT
              scenes to evaluate on now and then; 0 for none (default: 50)
"""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Trains a model as a config says."""

    out: Path
    """Folder of the run: checkpoints, metrics, and at the end model.safetensors."""

    initial: str | None = None
    """Weights to start from, as for `samjax.load`; random ones without it."""

    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the newest checkpoint in that folder, if there is one."""

    held_out_scenes: int = 50
    """Scenes to evaluate on every `evaluate_every` steps and at the end; 0 for none."""

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]


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
    config = load_config(Path(path))
    wanted = parse(
        Train,
        f"samjax train {path}",
        rest,
        default=Train(out=Path("runs", Path(path).stem), config=config),
    )
    make_folder(wanted.out)
    keep_compiled_programs()
    _train(wanted)


def load_config(path: Path) -> TrainConfig:
    """Returns what `get_config()` of a Python file returns.

    The file is run: a config is code, and one from a stranger is a stranger's program.

    Raises:
        ValueError: It is no Python file, fails, or has no config to give.
        OSError: It is not there or cannot be read.
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
        config = module.get_config()
    except Exception as error:
        raise ValueError(f"{path} gives no config: {error!r}") from error
    if not isinstance(config, TrainConfig):
        raise ValueError(  # noqa: TRY004
            f"get_config() of {path} returned a {type(config).__name__}, expected a "
            "samjax.training.config.TrainConfig"
        )
    return config


def _train(wanted: Train) -> None:
    from samjax import checkpoints
    from samjax.training.loop import TrainingDiverged, train

    config = wanted.config
    try:
        result = train(
            config,
            out=wanted.out,
            resume=wanted.resume,
            initial_params=_initial_params(wanted),
            evaluators=_evaluators(config, wanted.held_out_scenes),
        )
    except TrainingDiverged as error:
        raise ValueError(str(error)) from error
    if not result.finished:
        print(f"{wanted.out} is at step {result.steps}: go on with --resume")
        raise KeyboardInterrupt
    path = wanted.out / "model.safetensors"
    checkpoints.save(path, config.model, result.params)
    print(f"weights: {path}")


def _initial_params(wanted: Train) -> Any:
    """The weights that a run starts from, if it does not start from random ones."""
    if wanted.initial is None:
        return None
    from samjax import checkpoints

    model, params = checkpoints.load(wanted.initial)
    training_only = {"drop_path_rate": 0.0, "remat": False}
    sizes = dataclasses.replace(wanted.config.model, **training_only)
    if dataclasses.replace(model.config, **training_only) != sizes:
        raise UsageError(
            f"--initial {wanted.initial} has other sizes than the config's model: got "
            f"{model.config}, expected {sizes}"
        )
    return params


def _evaluators(config: TrainConfig, num_scenes: int) -> dict[str, "Evaluator"]:
    """Scores on held-out scenes: training itself knows nothing of evaluation."""
    import jax.numpy as jnp

    from samjax.evaluation.single_point import evaluate_scenes
    from samjax.inference import Predictor
    from samjax.models import Sam

    model = Sam(config.model, jnp.dtype(config.dtype).type)

    def held_out(params):
        predictor = Predictor(model, params)
        report = evaluate_scenes(predictor, num_scenes=num_scenes, show_progress=False)
        return report.scores

    return {"held_out": held_out} if num_scenes > 0 else {}
