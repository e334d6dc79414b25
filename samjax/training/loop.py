"""Training loop: the order of stages, steps, metrics, checkpoints and evaluation.

The step itself is in `step`, checkpoints in `samjax.checkpoints.store`, sharding in
`runtime.placement`, the contents of a batch in its `Source`. Many processes run this loop
in lockstep: all of them take part in gathering arrays, and the first one reports.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from samjax.checkpoints.store import CHECKPOINTS, TrainStore, check_is_new
from samjax.data.batch import DatasetReader, Source
from samjax.data.problems import summary
from samjax.distributed import Bounds, end_now
from samjax.files import check_replaceable, locked
from samjax.models.sam import Sam
from samjax.sharding import make_mesh
from samjax.terminal import bar, bar_console, printable
from samjax.training.config import Stage, TrainConfig
from samjax.training.finetune.lora import merge_lora
from samjax.training.initial.state import (
    InitialState,
    next_stage_state,
    with_filled_tables,
)
from samjax.training.optimizer import make_schedule
from samjax.training.runtime.bad_data import BadData, TooManyBadExamples
from samjax.training.runtime.meter import Meter, TrainingDiverged, format_scalars
from samjax.training.runtime.metrics_writer import MetricsWriter
from samjax.training.runtime.pictures import ROWS, draw_predictions
from samjax.training.runtime.placement import Placement
from samjax.training.runtime.prefetch import Fetched, prefetched
from samjax.training.runtime.profiling import Profiler
from samjax.training.runtime.program import compile_step, peak_of, stage_flops
from samjax.training.runtime.signals import Stop, stop_on_signals
from samjax.training.runtime.sources import SourceFactory, make_source
from samjax.training.runtime.watchdog import Watchdog
from samjax.training.step import Params, TrainState, averaged_params

__all__ = ["TooManyBadExamples", "TrainResult", "TrainingDiverged", "train"]

# A run that diverged may be resumed with other values of these: the optimizer's state
# has the same structure with any.
MAY_CHANGE = ("optimizer.peak_learning_rate", "optimizer.clip_norm")

Evaluator = Callable[[Params], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Result of a run.

    Attributes:
        params: The model's parameters, or their moving average where the run keeps one;
            all of them, on a single device, with adapters merged.
        adapted: The same parameters with the adapters beside them.
        steps: Steps done.
        finished: False if a signal ended the run early; it can be resumed.
    """

    params: Params
    adapted: Params
    steps: int
    finished: bool


def train(
    config: TrainConfig,
    *,
    out: str | Path,
    resume: bool = False,
    initial_params: Params | None = None,
    evaluators: Mapping[str, Evaluator] | None = None,
    make_source: SourceFactory = make_source,
    model: Sam | None = None,
    profile_steps: int = 0,
    bounds: Bounds | None = None,
    overwrite: bool = False,
) -> TrainResult:
    """Trains a model on all devices of all processes that have joined.

    Writes `checkpoints/`, `metrics.jsonl` and TensorBoard files to `out`. SIGTERM and
    SIGINT end the run after the step in progress, with a checkpoint. A resumed run,
    however it was ended, has the losses of an uninterrupted one.

    Args:
        config: The run.
        out: Folder of the run; for many processes, on a file system that all of them see.
        resume: Whether to resume from the newest checkpoint in `out`, if there is one.
            Without it `out` must have none.
        initial_params: Initial parameters; None for those of `config.initialization`.
        evaluators: Functions from parameters to scores, called every `evaluate_every`
            steps and at the end, in every process; the first process logs their scores
            under their names.
        make_source: Makes the source of a stage's batches; by default that of the config.
        model: The model, where the caller has built it (`TrainConfig.build_model`).
        profile_steps: Steps to record a profile of, in `out/profile`.
        bounds: Timeouts of many processes.
        overwrite: Whether to replace a metrics.jsonl in `out` that samjax did not write.

    Returns:
        The parameters and the number of steps done.

    Raises:
        ValueError: `out` holds a run already and `resume` is not set, another process
            trains there, or the devices cannot divide the batches.
        WouldReplace: `out` has a metrics.jsonl that samjax did not write.
        CheckpointError: The checkpoint in `out` belongs to another config.
        TrainingDiverged: A loss was not finite.
        TooManyBadExamples: More of the data is damaged than the config allows.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    placement = Placement(make_mesh(config.mesh))
    for stage in config.stages:
        placement.check(stage.batch_size, stage.accumulate)
    with contextlib.ExitStack() as held:
        if jax.process_index() == 0:
            what, remedy = f"the folder {out} of a run", "wait, or give another folder"
            held.enter_context(locked(out / ".lock", what, remedy))
        return _train(
            config,
            model or config.build_model(),
            out,
            resume,
            lambda run: run.go(initial_params, evaluators or {}, make_source),
            placement,
            profile_steps,
            bounds or Bounds(),
            overwrite,
        )


def _train(
    config: TrainConfig,
    model: Sam,
    out: Path,
    resume: bool,
    go: Callable[["_Run"], TrainResult],
    placement: Placement,
    profile_steps: int,
    bounds: Bounds,
    overwrite: bool,
) -> TrainResult:
    store = TrainStore(
        out / CHECKPOINTS,
        keep=config.keep_checkpoints,
        config=config.identity(),
        may_change=MAY_CHANGE,
    )
    profiler = Profiler(out / "profile", steps=profile_steps)
    run = None
    try:
        if not resume:
            check_is_new(out)
        metrics = out / "metrics.jsonl"
        if store.latest_step is None and jax.process_index() == 0:
            check_replaceable(metrics, "metrics", overwrite=overwrite)
        run = _Run(config, model, placement, store, out, profiler, bounds)
        return go(run)
    finally:
        profiler.close()
        store.close()
        if run is not None and run.writer is not None:
            run.writer.close()


class _Run:
    """One run in progress."""

    def __init__(
        self,
        config: TrainConfig,
        model: Sam,
        placement: Placement,
        store: TrainStore,
        out: Path,
        profiler: Profiler,
        bounds: Bounds,
    ):
        self.config, self.model, self.placement = config, model, placement
        self.store, self.out = store, out
        self.writer: MetricsWriter | None = None
        self.profiler, self.bounds = profiler, bounds
        self.is_first = jax.process_index() == 0
        self.console = bar_console(stderr=False, quiet=not self.is_first)
        self.is_stopping = False
        self.resumed_from: int | None = None
        self.bad = BadData(config.data.max_bad_fraction if config.data else 0.0)
        self.watchdog = Watchdog(
            functools.partial(end_now, 1) if jax.process_count() > 1 else None
        )

    def _start_measuring(self, done: int) -> None:
        """Opens the metrics files, whose later records a resumed run drops."""
        config = self.config
        if self.is_first:
            self.writer = MetricsWriter(
                self.out, done=done, tensorboard=config.tensorboard
            )
        self.meter = Meter(
            self.writer,
            bad=self.bad,
            log_every=config.log_every,
            total_steps=config.total_steps,
            learning_rate=make_schedule(config.optimizer, config.total_steps),
            report=functools.partial(self.console.print, soft_wrap=True),
            peak=peak_of(self.placement.mesh, config),
        )
        self.console.print(f"{done} of {config.total_steps} steps done")

    def go(
        self,
        initial_params: Params | None,
        evaluators: Mapping[str, Evaluator],
        make_source: SourceFactory,
    ) -> TrainResult:
        """Runs the remaining steps of all stages."""
        config = self.config
        self.evaluators = evaluators
        initial = InitialState(config, self.model, self.placement)
        if self.store.latest_step is None:
            state = initial.make(initial_params, make_source)
        else:
            state, progress, notes = self.store.restore(initial.shapes())
            for note in notes:
                self.console.print(f"samjax: {note}", markup=False, soft_wrap=True)
            self.bad.restore(progress["bad"])
            self.resumed_from = int(state.step)
        done = int(state.step)
        self._start_measuring(done)

        with (
            stop_on_signals() as stop,
            contextlib.closing(self.watchdog),
            bar("training", config.total_steps, console=self.console) as (
                bars,
                task,
                _,
            ),
        ):
            bars.update(task, completed=done)
            before = None
            for stage, first, last in config.spans():
                if before is not None and done == first:
                    state = self._next_stage(state, before)
                before = stage
                if done >= last:
                    continue
                self.console.print(f"steps {first + 1} to {last}: {stage.describe()}")
                step = compile_step(self.model, initial.optimizer, config, stage, state)
                source = make_source(
                    config, stage, self.placement.part, self.placement.parts
                )
                self._report_problems(source)
                batches = prefetched(source, self.placement.batch, range(done, last))
                advance = functools.partial(bars.advance, task)
                with contextlib.closing(batches), self._advice_on_divergence():
                    state = self._run_stage(stage, step, state, batches, stop, advance)
                done = int(state.step)
                if self.is_stopping:
                    break
        if self.bad:
            report = printable(self.bad.report())
            self.console.print(report, soft_wrap=True, markup=False)
        adapted = self._params_to_use(state, before or config.stages[0])
        return TrainResult(
            params=merge_lora(adapted, config.lora),
            adapted=adapted,
            steps=done,
            finished=done == config.total_steps,
        )

    def _next_stage(self, state: TrainState, before: Stage) -> TrainState:
        """Prepares the state at the end of a stage for inputs of another size."""
        if before.crops:
            return state
        fill = functools.partial(next_stage_state, config=self.config, stage=before)
        return self.placement.make(fill, state)

    def _report_problems(self, source: Source) -> None:
        """Prints problems of a stage's dataset, and counts damage by its size."""
        self.bad.describe, self.bad.dataset_size = list, None
        if isinstance(source, DatasetReader):
            if source.problems:
                problems = summary(source.problems)
                self.console.print(f"data: {problems}", soft_wrap=True)
            self.bad.describe = source.damage
            self.bad.dataset_size = source.num_examples

    def _run_stage(
        self,
        stage: Stage,
        step: Callable[[TrainState, Any, Any], tuple[TrainState, Any]],
        state: TrainState,
        batches: Iterator[Fetched],
        stop: Stop,
        advance: Callable[[], None],
    ) -> TrainState:
        config = self.config
        key = self.placement.key(config.seed + 1)
        self.meter.start_stage(stage_flops(config, stage))
        done = int(state.step)
        limit = pause = float(self.bounds.pause)
        waiting_since = time.monotonic()
        for batch, position in batches:
            waited = time.monotonic() - waiting_since
            # The longer timeout: the first step of a stage compiles, and other processes
            # may still evaluate.
            self.watchdog.allow(limit, after=done)
            limit = float(self.bounds.step)
            self.profiler.before_step()
            with jax.transfer_guard("disallow"):
                state, metrics = step(state, batch, key)
            done += 1
            # Reads the metrics of the step before, while the devices compute this one.
            self.meter.put(done, metrics, stage.batch_size, waited)
            self.profiler.after_step(metrics)
            advance()

            is_end = done == config.total_steps
            self.is_stopping = stop.requested(done)
            self.watchdog.allow(pause, after=done)
            if config.picture_every and done % config.picture_every == 0:
                self._draw(done, self._params_to_use(state, stage), batch, stage)
            if done % config.evaluate_every == 0 or is_end:
                self.meter.flush()
                self._evaluate(done, self._params_to_use(state, stage))
            if done % config.checkpoint_every == 0 or is_end or self.is_stopping:
                # This step's own loss is checked first: no diverged state is saved. And
                # evaluation comes before, so that a run killed in it repeats it.
                self.meter.flush()
                progress = {"position": position, "bad": self.bad.to_json()}
                self.store.save(done, state, progress)
            if self.is_stopping:
                break
            waiting_since = time.monotonic()
        self.meter.flush()
        return state

    @contextlib.contextmanager
    def _advice_on_divergence(self) -> Iterator[None]:
        """Adds a remedy to the error of a run that diverged."""
        try:
            yield
        except TrainingDiverged as error:
            rate = self.config.optimizer.peak_learning_rate
            step = self.store.latest_step
            # A run that diverges without a new checkpoint was resumed from a diverged
            # state, though its last loss was finite.
            diverged = self.out / CHECKPOINTS / str(step)
            raise error.with_advice(
                step, rate, diverged if step == self.resumed_from else None
            ) from None

    def _params_to_use(self, state: TrainState, stage: Stage) -> Params:
        """Gathers all parameters on a single device, in all processes at once."""
        state = self.placement.whole(state._replace(opt_state=None))
        params = averaged_params(state, self.config.trainable)
        return with_filled_tables(params, self.config, stage)

    def _draw(self, step: int, params: Params, batch: Any, stage: Stage) -> None:
        if self.writer is not None:
            rows = self.placement.first_rows(batch, ROWS)
            params = merge_lora(params, self.config.lora)
            picture = draw_predictions(self.model, params, rows, crops=stage.crops)
            self.writer.picture(step, "predictions", picture)

    def _evaluate(self, step: int, params: Params) -> None:
        params = merge_lora(params, self.config.lora)
        for name, evaluator in self.evaluators.items():
            scalars = {key: float(value) for key, value in evaluator(params).items()}
            if self.writer is None:
                continue
            named = {f"{name}/{key}": value for key, value in scalars.items()}
            self.writer.write(step, named)
            self.writer.plot(step, scalars, name)
            self.console.print(f"step {step}  {format_scalars(named)}", soft_wrap=True)
