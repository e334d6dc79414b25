"""The order of a training run: stages, steps, metrics, checkpoints, evaluation.

What a step does is in `step`, what a checkpoint is in `samjax.checkpoints.store`, what
a batch holds is up to a `Source`; here is only when each happens.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
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
from samjax.data.batch import Batch, Source
from samjax.data.synthetic.source import SyntheticSource
from samjax.geometry.frame import normalize
from samjax.models.sam import Sam
from samjax.training.config import Stage, TrainConfig
from samjax.training.initialization import (
    align_cross_attention,
    spread_frequencies,
    whiten_patches,
)
from samjax.training.interruption import stop_on_signals
from samjax.training.meter import Meter, TrainingDiverged, format_scalars
from samjax.training.metrics_writer import MetricsWriter
from samjax.training.optimizer import make_optimizer, make_schedule
from samjax.training.pictures import draw_predictions
from samjax.training.relative_tables import fill_relative_tables
from samjax.training.step import (
    Params,
    TrainState,
    init_params,
    init_state,
    train_step,
)

__all__ = ["TrainResult", "TrainingDiverged", "draw_scenes", "train"]

Evaluator = Callable[[Params], Mapping[str, float]]
SourceFactory = Callable[[TrainConfig, Stage], Source]


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run leaves.

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
        evaluators: Called with the parameters every `evaluate_every` steps and at the
            end; what they return is logged under their names.
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
    store = TrainStore(
        out / "checkpoints", keep=config.keep_checkpoints, config=config.identity()
    )
    writer = None
    try:
        if store.latest_step is not None and not resume:
            raise ValueError(
                f"{out} holds a run at step {store.latest_step}: pass resume to go on"
                " with it, or give an empty folder"
            )
        done = store.latest_step or 0
        writer = MetricsWriter(out, done=done, tensorboard=config.tensorboard)
        run = _Run(config, store, writer, evaluators or {})
        return run.go(initial_params, make_source or draw_scenes)
    finally:
        store.close()
        if writer is not None:
            writer.close()


def draw_scenes(config: TrainConfig, stage: Stage) -> Source:
    """Makes the source of drawn scenes of a stage."""
    return SyntheticSource(
        config.stage_scenes(stage), batch_size=stage.batch_size, seed=config.seed
    )


class _Run:
    """The order of one run, and the objects that it puts in order."""

    def __init__(
        self,
        config: TrainConfig,
        store: TrainStore,
        writer: MetricsWriter,
        evaluators: Mapping[str, Evaluator],
    ):
        self.config, self.store, self.writer = config, store, writer
        self.evaluators = evaluators
        self.model = Sam(config.model, dtype=jnp.dtype(config.dtype))
        self.console = Console()
        self.meter = Meter(
            writer,
            log_every=config.log_every,
            total_steps=config.total_steps,
            learning_rate=make_schedule(config.optimizer, config.total_steps),
            report=functools.partial(self.console.print, soft_wrap=True),
        )

    def go(
        self, initial_params: Params | None, make_source: SourceFactory
    ) -> TrainResult:
        """Runs what is left of all stages."""
        config = self.config
        if initial_params is None:
            params = self._fresh_params(make_source)
        else:
            # Copies, since the steps reuse the state's memory.
            params = jax.tree.map(jnp.array, initial_params)
        optimizer = make_optimizer(
            config.optimizer,
            params,
            depth=config.model.depth,
            total_steps=config.total_steps,
        )
        state = init_state(params, optimizer, config.stage_step(config.stages[0]))
        if self.store.latest_step is not None:
            state = self.store.restore(state)
        done = int(state.step)
        self.console.print(f"{done} of {config.total_steps} steps done")

        with stop_on_signals() as stop, self._progress() as progress:
            bar = progress.add_task("training", total=config.total_steps)
            progress.update(bar, completed=done)
            before = None
            for stage, first, last in config.spans():
                if stop.is_set():
                    break
                if before is not None and done == first:
                    state = self._fill_tables(state, before)
                before = stage
                if done >= last:
                    continue
                self.console.print(f"steps {first + 1} to {last}: {stage.describe()}")
                step = compile_step(self.model, optimizer, config, stage)
                source = make_source(config, stage)
                advance = functools.partial(progress.advance, bar)
                state = self._run_stage(stage, step, state, source, last, stop, advance)
                done = int(state.step)
        return TrainResult(
            params=self._params_to_use(state, before or config.stages[0]),
            steps=done,
            finished=done == config.total_steps,
        )

    def _fresh_params(self, make_source: SourceFactory) -> Params:
        config = self.config
        params = init_params(jax.random.key(config.seed), self.model)
        if config.initialization == "informed":
            first = make_source(config, config.stages[0]).batch(0)
            params = whiten_patches(params, normalize(first.images, first.sizes))
            params = align_cross_attention(spread_frequencies(params))
        return params

    def _run_stage(
        self,
        stage: Stage,
        step: Callable[[TrainState, Batch, Any], tuple[TrainState, Any]],
        state: TrainState,
        source: Source,
        last: int,
        stop: Event,
        advance: Callable[[], None],
    ) -> TrainState:
        config = self.config
        key = jax.random.key(config.seed + 1)
        self.meter.start_window()
        for done in range(int(state.step) + 1, last + 1):
            batch = source.batch(done - 1)
            with jax.transfer_guard("disallow"):
                state, metrics = step(state, batch, key)
            # The device works on this step while the host reads the one before.
            self.meter.put(done, metrics, batch.images.shape[0])
            advance()

            is_end = done == config.total_steps
            if config.picture_every and done % config.picture_every == 0:
                params = self._params_to_use(state, stage)
                picture = draw_predictions(self.model, params, batch, crops=stage.crops)
                self.writer.picture(done, "predictions", picture)
            if done % config.evaluate_every == 0 or is_end:
                self.meter.flush()
                self._evaluate(done, self._params_to_use(state, stage))
            if done % config.checkpoint_every == 0 or is_end or stop.is_set():
                # First this step's own loss: a state that diverged is not kept.
                # Evaluation went before, so that a run that is killed in it repeats it.
                self.meter.flush()
                self.store.save(done, state)
            if stop.is_set():
                break
        self.meter.flush()
        return state

    def _fill_tables(self, state: TrainState, before: Stage) -> TrainState:
        """Makes a state that has left a stage ready for inputs of another size."""
        return state._replace(
            params=self._filled(state.params, before),
            ema_params=state.ema_params and self._filled(state.ema_params, before),
        )

    def _params_to_use(self, state: TrainState, stage: Stage) -> Params:
        params = state.params if state.ema_params is None else state.ema_params
        return self._filled(params, stage)

    def _filled(self, params: Params, stage: Stage) -> Params:
        if stage.crops:
            return params
        return fill_relative_tables(params, self.config.model, stage.image_size)

    def _evaluate(self, step: int, params: Params) -> None:
        for name, evaluator in self.evaluators.items():
            scalars = {key: float(value) for key, value in evaluator(params).items()}
            named = {f"{name}/{key}": value for key, value in scalars.items()}
            self.writer.write(step, named)
            self.writer.plot(step, scalars, name)
            self.console.print(f"step {step}  {format_scalars(named)}", soft_wrap=True)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            # In a log file the report lines are the progress.
            disable=not self.console.is_terminal,
        )


def compile_step(model, optimizer, config: TrainConfig, stage: Stage):
    """Compiles the step of a stage: (state, batch, key of the run) to (state, metrics).

    The state's buffers are reused for the new state. The key of a step comes from the
    state's own count, so it is the same whenever and wherever the step is taken.
    """
    step = functools.partial(
        train_step, model=model, optimizer=optimizer, config=config.stage_step(stage)
    )

    def keyed_step(state: TrainState, batch: Batch, key):
        return step(state, batch, jax.random.fold_in(key, state.step))

    return jax.jit(keyed_step, donate_argnums=0)
