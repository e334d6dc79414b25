"""The order of a training run: stages, steps, metrics, checkpoints, evaluation.

What a step does is in `step`, what a checkpoint is in `samjax.checkpoints.store`, what
a batch holds in a `Source`; here is only when each happens.
"""

import dataclasses
import functools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from samjax.checkpoints.store import TrainStore
from samjax.data.batch import Source
from samjax.data.synthetic.source import SyntheticSource
from samjax.models.sam import Sam
from samjax.training.config import Stage, TrainConfig
from samjax.training.metrics_writer import MetricsWriter
from samjax.training.optimizer import make_optimizer, make_schedule
from samjax.training.pictures import draw_predictions
from samjax.training.step import (
    Params,
    TrainState,
    init_params,
    init_state,
    train_step,
)

Evaluator = Callable[[Params], Mapping[str, float]]
SourceFactory = Callable[[TrainConfig, Stage], Source]


class TrainingDiverged(RuntimeError):
    """The loss of a step is not finite."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What is left of a run.

    Attributes:
        params: The parameters, or their moving average where the run keeps one.
        steps: Steps done.
        finished: False if a signal ended the run early; it can be resumed.
    """

    params: Params
    steps: int
    finished: bool


def train(
    config: TrainConfig,
    *,
    out: str | Path,
    resume: bool = False,
    initial_params: Params | None = None,
    evaluators: Mapping[str, Evaluator] | None = None,
    make_source: SourceFactory | None = None,
) -> TrainResult:
    """Trains a model.

    `out` gets `checkpoints/`, `metrics.jsonl` and TensorBoard files. SIGTERM and SIGINT
    end the run after the step in progress, with a checkpoint. A run that is resumed,
    however it ended, gives the losses that it would have given.

    Args:
        config: The run.
        out: Folder of the run.
        resume: Go on from the newest checkpoint in `out`, if there is one. Without it
            `out` must have none.
        initial_params: Parameters to start from instead of random ones.
        evaluators: Called with the parameters now and then and at the end; what they
            return is logged under their names.
        make_source: Where the batches of a stage come from; drawn scenes by default.

    Returns:
        The parameters and how far the run came.

    Raises:
        ValueError: `out` holds a run already and `resume` is not set.
        CheckpointError: The checkpoint in `out` is of another config.
        TrainingDiverged: A loss was not finite.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(config, out, evaluators or {}, make_source or draw_scenes)
    try:
        return run.go(resume, initial_params)
    finally:
        run.close()


def draw_scenes(config: TrainConfig, stage: Stage) -> Source:
    """Makes the source of drawn scenes of a stage."""
    return SyntheticSource(
        config.stage_scenes(stage), batch_size=stage.batch_size, seed=config.seed
    )


class _Run:
    """The objects of one run, and its order."""

    def __init__(self, config, out, evaluators, make_source):
        self.config, self.out = config, out
        self.evaluators, self.make_source = evaluators, make_source
        self.model = Sam(config.model, dtype=jnp.dtype(config.dtype))
        self.schedule = make_schedule(config.optimizer, config.total_steps)
        self.store = TrainStore(
            out / "checkpoints",
            keep=config.keep_checkpoints,
            config=_identity(config),
        )
        self.console = Console()
        self.writer: MetricsWriter | None = None

    def go(self, resume, initial_params) -> TrainResult:
        if self.store.latest_step is not None and not resume:
            raise ValueError(
                f"{self.out} holds a run at step {self.store.latest_step}: resume it,"
                " or give an empty folder"
            )
        state, optimizer = self._start(initial_params)
        done = int(state.step)
        self.writer = MetricsWriter(
            self.out, done=done, tensorboard=self.config.tensorboard
        )
        with _stop_flag() as stop, self._progress() as progress:
            bar = progress.add_task("training", total=self.config.total_steps)
            progress.update(bar, completed=done)
            for stage, first, last in self.config.spans():
                if done >= last or stop.is_set():
                    continue
                self.console.print(_describe(stage, first, last))
                advance = functools.partial(progress.update, bar)
                state, done = self._run_stage(
                    stage, state, optimizer, range(done, last), stop, advance
                )
        params = state.params if state.ema_params is None else state.ema_params
        finished = done >= self.config.total_steps
        return TrainResult(params=params, steps=done, finished=finished)

    def close(self):
        self.store.close()
        if self.writer is not None:
            self.writer.close()

    def _start(self, initial_params):
        """Makes the first state, or restores the newest."""
        config = self.config
        seed_key = jax.random.key(config.seed)
        params = initial_params
        if params is None:
            params = init_params(seed_key, self.model)
        optimizer = make_optimizer(
            config.optimizer,
            params,
            depth=config.model.depth,
            total_steps=config.total_steps,
        )
        step_config = config.stage_step(config.stages[0])
        state = init_state(params, optimizer, step_config)
        if self.store.latest_step is not None:
            state = self.store.restore(state)
            self.console.print(f"resumed after step {int(state.step)}")
        return state, optimizer

    def _run_stage(self, stage, state, optimizer, steps, stop, advance):
        config = self.config
        source = self.make_source(config, stage)
        step_function = compile_step(self.model, optimizer, config, stage)
        root_key = jax.random.key(config.seed + 1)
        meter = _Meter(self, stage)
        done = steps.start
        for step in steps:
            batch = source.batch(step)
            with jax.transfer_guard("disallow"):
                state, metrics = step_function(state, batch, root_key)
            # The device works on this step while the host reads the one before.
            meter.read_pending()
            meter.pending = step + 1, metrics
            done = step + 1
            advance(completed=done)
            is_last = done == config.total_steps or stop.is_set()
            if done % config.checkpoint_every == 0 or is_last:
                # First the loss of this very step: a state that diverged is not kept.
                meter.read_pending()
                self.store.save(done, state)
            if config.picture_every and done % config.picture_every == 0:
                picture = draw_predictions(self.model, state.params, batch)
                self.writer.picture(done, "predictions", picture)
            if done % config.evaluate_every == 0 or done == config.total_steps:
                self._evaluate(done, state)
            if is_last:
                break
        meter.read_pending()
        return state, done

    def _evaluate(self, step, state):
        params = state.params if state.ema_params is None else state.ema_params
        for name, evaluator in self.evaluators.items():
            scalars = {k: float(v) for k, v in evaluator(params).items()}
            self.writer.write(step, {f"{name}/{k}": v for k, v in scalars.items()})
            self.writer.plot(step, scalars, name)
            self.console.print(f"step {step}  {name}  {_format(scalars)}")

    def _progress(self):
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )


class _Meter:
    """Reads the metrics of steps, one step late, and reports them."""

    def __init__(self, run: _Run, stage: Stage):
        self.run, self.stage = run, stage
        self.pending: tuple[int, Any] | None = None
        self.window: list[dict[str, float]] = []
        self.since = time.monotonic()
        self.last_finite: float | None = None

    def read_pending(self):
        if self.pending is None:
            return
        (step, metrics), self.pending = self.pending, None
        scalars = {k: float(v) for k, v in jax.device_get(metrics).items()}
        if not math.isfinite(scalars["loss"]):
            raise TrainingDiverged(
                f"the loss of step {step} is {scalars['loss']}; the one before was"
                f" {self.last_finite}. Lower the peak learning rate or set clip_norm;"
                " the checkpoints in the run's folder are from before it diverged."
            )
        self.last_finite = scalars["loss"]
        self.run.writer.write(step, scalars)
        self.window.append(scalars)
        if step % self.run.config.log_every == 0:
            self._report(step)

    def _report(self, step):
        now = time.monotonic()
        number = len(self.window)
        means = {
            name: sum(scalars[name] for scalars in self.window) / number
            for name in self.window[0]
        }
        means["learning_rate"] = float(self.run.schedule(step - 1))
        rate = number / max(now - self.since, 1e-9)
        means["images_per_second"] = rate * self.stage.batch_size
        left = (self.run.config.total_steps - step) / rate
        self.run.writer.plot(step, means, "train")
        self.run.console.print(
            f"step {step}  {_format(means)}  {left / 3600:.1f} h left", soft_wrap=True
        )
        self.window, self.since = [], now


def compile_step(model, optimizer, config: TrainConfig, stage: Stage):
    """Compiles the step of a stage: (state, batch, root key) to (state, metrics).

    The state's buffers are reused for the new state. The key of a step is folded in on
    device from the state's own count, so it is the same whenever the step is taken.
    """
    step = functools.partial(
        train_step, model=model, optimizer=optimizer, config=config.stage_step(stage)
    )

    def keyed_step(state: TrainState, batch, root_key):
        return step(state, batch, jax.random.fold_in(root_key, state.step))

    return jax.jit(keyed_step, donate_argnums=0)


@contextmanager
def _stop_flag() -> Iterator[threading.Event]:
    """Yields a flag that SIGTERM and SIGINT set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Only the main thread may listen to signals.
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {s: signal.signal(s, lambda *_: stop.set()) for s in signals}
    try:
        yield stop
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _identity(config: TrainConfig) -> dict[str, Any]:
    """The part of a config that decides what a run computes, not what it reports."""
    reporting = ("log_every", "checkpoint_every", "keep_checkpoints")
    reporting += ("evaluate_every", "picture_every", "tensorboard")
    fields = dataclasses.asdict(config)
    return {name: value for name, value in fields.items() if name not in reporting}


def _describe(stage: Stage, first: int, last: int) -> str:
    return (
        f"steps {first + 1} to {last}: {stage.batch_size} images of"
        f" {stage.image_size}, {stage.masks_per_image} masks each,"
        f" {stage.prompts.num_rounds} rounds of prompts"
    )


def _format(scalars: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())
