"""The order of a training run: stages, steps, metrics, checkpoints, evaluation.

What a step does is in `step`, what a checkpoint is in `samjax.checkpoints.store`, where
arrays lie in `placement`, what a batch holds is up to a `Source`; here is only when each
happens. Many processes run this in step with one another: whatever gathers arrays, they
all do, and the first one reports.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from samjax.checkpoints.store import TrainStore
from samjax.data.problems import summary
from samjax.distributed import Bounds, end_now
from samjax.files import check_replaceable, locked
from samjax.models.sam import Sam
from samjax.sharding import make_mesh
from samjax.terminal import bar_console, printable
from samjax.training.config import Stage, TrainConfig
from samjax.training.finetune.lora import merge_lora
from samjax.training.finetune.trainable import split_params
from samjax.training.initial.relative_tables import fill_relative_tables
from samjax.training.initial.state import Beginning
from samjax.training.optimizer import make_schedule
from samjax.training.runtime.bad_data import BadData, TooManyBadExamples
from samjax.training.runtime.meter import Meter, TrainingDiverged, format_scalars
from samjax.training.runtime.metrics_writer import MetricsWriter
from samjax.training.runtime.pictures import ROWS, draw_predictions
from samjax.training.runtime.placement import Placement
from samjax.training.runtime.prefetch import Fetched, prefetched
from samjax.training.runtime.profiling import Profiler
from samjax.training.runtime.program import compile_step, peak_of, stage_flops
from samjax.training.runtime.progress import training_bar
from samjax.training.runtime.signals import Stop, stop_on_signals
from samjax.training.runtime.sources import SourceFactory, make_source
from samjax.training.runtime.watchdog import Watchdog
from samjax.training.step import Params, TrainState, averaged_params

__all__ = ["TooManyBadExamples", "TrainResult", "TrainingDiverged", "train"]

# A run that diverged goes on with others of these; the optimizer's state fits either way.
MAY_CHANGE = ("optimizer.peak_learning_rate", "optimizer.clip_norm")

Evaluator = Callable[[Params], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run leaves.

    Attributes:
        params: The model's parameters, or their moving average where the run keeps one;
            all of them, on a single device, with adapters merged in.
        adapted: The same with the adapters beside them.
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
    profile_steps: int = 0,
    bounds: Bounds | None = None,
    overwrite: bool = False,
) -> TrainResult:
    """Trains a model, on all devices of all processes that have joined.

    `out` gets `checkpoints/`, `metrics.jsonl` and TensorBoard files. SIGTERM and SIGINT
    end the run after the step in progress, with a checkpoint. A run that is resumed,
    however it ended, gives the losses that it would have given.

    Args:
        config: The run.
        out: Folder of the run; for many processes one that all of them see.
        resume: Go on from the newest checkpoint in `out`, if there is one. Without it
            `out` must have none.
        initial_params: Parameters to start from instead of random ones.
        evaluators: Called with the parameters every `evaluate_every` steps and at the
            end, in every process; what they return in the first is logged under their
            names.
        make_source: Where the batches of a stage come from; what the config says by
            default.
        profile_steps: Steps to record a profile of, in `out/profile`.
        bounds: How long many processes wait for one another.
        overwrite: Whether a metrics.jsonl in `out` is replaced that is no run's.

    Returns:
        The parameters and how far the run came.

    Raises:
        ValueError: `out` holds a run already and `resume` is not set, another process
            trains there, or the batches cannot be dealt out to the devices.
        WouldReplace: `out` has a metrics.jsonl of something else.
        CheckpointError: The checkpoint in `out` is of another config.
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
    out: Path,
    resume: bool,
    go: Callable[["_Run"], TrainResult],
    placement: Placement,
    profile_steps: int,
    bounds: Bounds,
    overwrite: bool,
) -> TrainResult:
    store = TrainStore(
        out / "checkpoints",
        keep=config.keep_checkpoints,
        config=config.identity(),
        may_change=MAY_CHANGE,
    )
    profiler = Profiler(out / "profile", steps=profile_steps)
    run = None
    try:
        if store.latest_step is not None and not resume:
            raise ValueError(
                f"{out} holds a run at step {store.latest_step}: pass resume to go on"
                " with it, or give an empty folder"
            )
        metrics = out / "metrics.jsonl"
        if store.latest_step is None and jax.process_index() == 0:
            check_replaceable(metrics, "metrics", overwrite=overwrite)
        run = _Run(config, placement, store, out, profiler, bounds)
        return go(run)
    finally:
        profiler.close()
        store.close()
        if run is not None and run.writer is not None:
            run.writer.close()


class _Run:
    """The order of one run, and the objects that it puts in order."""

    def __init__(
        self,
        config: TrainConfig,
        placement: Placement,
        store: TrainStore,
        out: Path,
        profiler: Profiler,
        bounds: Bounds,
    ):
        self.config, self.placement = config, placement
        self.store, self.out = store, out
        self.writer: MetricsWriter | None = None
        self.profiler, self.bounds = profiler, bounds
        self.model = Sam(config.model, dtype=jnp.dtype(config.dtype))
        self.is_first = jax.process_index() == 0
        self.console = bar_console(stderr=False, quiet=not self.is_first)
        self.is_asked = False
        self.resumed_from: int | None = None
        self.bad = BadData(config.data.max_bad_fraction if config.data else 0.0)
        self.watchdog = Watchdog(
            functools.partial(end_now, 1) if jax.process_count() > 1 else None
        )

    def _start_measuring(self, done: int) -> None:
        """Opens the files of metrics, once it is known how far the run has come."""
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

    def go(
        self,
        initial_params: Params | None,
        evaluators: Mapping[str, Evaluator],
        make_source: SourceFactory,
    ) -> TrainResult:
        """Runs what is left of all stages."""
        config = self.config
        self.evaluators = evaluators
        beginning = Beginning(config, self.model, self.placement)
        if self.store.latest_step is None:
            state = beginning.state(initial_params, make_source)
        else:
            state, progress, notes = self.store.restore(beginning.shapes())
            for note in notes:
                self.console.print(f"samjax: {note}", markup=False, soft_wrap=True)
            self.bad.restore(progress["bad"])
            self.resumed_from = int(state.step)
        done = int(state.step)
        self._start_measuring(done)
        self.console.print(f"{done} of {config.total_steps} steps done")

        with (
            stop_on_signals() as stop,
            contextlib.closing(self.watchdog),
            training_bar(self.console) as bars,
        ):
            bar = bars.add_task("training", total=config.total_steps)
            bars.update(bar, completed=done)
            before = None
            for stage, first, last in config.spans():
                if before is not None and done == first:
                    state = self._fill_tables(state, before)
                before = stage
                if done >= last:
                    continue
                self.console.print(f"steps {first + 1} to {last}: {stage.describe()}")
                step = compile_step(
                    self.model, beginning.optimizer, config, stage, state
                )
                source = make_source(
                    config, stage, self.placement.part, self.placement.parts
                )
                self._follow(source)
                batches = prefetched(source, self.placement.batch, range(done, last))
                advance = functools.partial(bars.advance, bar)
                with contextlib.closing(batches), self._telling_what_to_do():
                    state = self._run_stage(stage, step, state, batches, stop, advance)
                done = int(state.step)
                if self.is_asked:
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

    def _follow(self, source: Any) -> None:
        """Tells what is wrong with a stage's data, and where to ask for more of it."""
        if problems := getattr(source, "problems", ()):
            self.console.print(f"data: {summary(problems)}", soft_wrap=True)
        self.bad.describe = getattr(source, "damage", list)
        examples = getattr(source, "examples", None)
        self.bad.dataset_size = None if examples is None else len(examples)

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
        asked_at = time.monotonic()
        for batch, position in batches:
            waited = time.monotonic() - asked_at
            # The first step of a stage is compiled, and an evaluation may be behind.
            self.watchdog.allow(limit, after=done)
            limit = float(self.bounds.step)
            self.profiler.before_step()
            with jax.transfer_guard("disallow"):
                state, metrics = step(state, batch, key)
            done += 1
            # The devices work on this step while the host reads the one before.
            self.meter.put(done, metrics, stage.batch_size, waited)
            self.profiler.after_step(metrics)
            advance()

            is_end = done == config.total_steps
            self.is_asked = stop.asked(done)
            self.watchdog.allow(pause, after=done)
            if config.picture_every and done % config.picture_every == 0:
                self._draw(done, self._params_to_use(state, stage), batch, stage)
            if done % config.evaluate_every == 0 or is_end:
                self.meter.flush()
                self._evaluate(done, self._params_to_use(state, stage))
            if done % config.checkpoint_every == 0 or is_end or self.is_asked:
                # First this step's own loss: a state that diverged is not kept.
                # Evaluation went before, so that a run that is killed in it repeats it.
                self.meter.flush()
                progress = {"position": position, "bad": self.bad.to_json()}
                self.store.save(done, state, progress)
            if self.is_asked:
                break
            asked_at = time.monotonic()
        self.meter.flush()
        return state

    @contextlib.contextmanager
    def _telling_what_to_do(self) -> Iterator[None]:
        """Adds what can be done to the error of a run that diverged."""
        try:
            yield
        except TrainingDiverged as error:
            rate = self.config.optimizer.peak_learning_rate
            step = self.store.latest_step
            # It had diverged already, though its loss was finite.
            diverged = self.out / "checkpoints" / str(step)
            raise error.with_advice(
                step, rate, diverged if step == self.resumed_from else None
            ) from None

    def _fill_tables(self, state: TrainState, before: Stage) -> TrainState:
        """Makes a state that has left a stage ready for inputs of another size."""
        if before.crops:
            return state

        def fill(state: TrainState) -> TrainState:
            params = self._filled(state.params, before)
            if state.ema_params is None:
                return state._replace(params=params)
            averaged = self._filled(
                averaged_params(state, self.config.trainable), before
            )
            averaged, _ = split_params(averaged, self.config.trainable)
            return state._replace(params=params, ema_params=averaged)

        return self.placement.make(fill, state)

    def _params_to_use(self, state: TrainState, stage: Stage) -> Params:
        """All parameters, on a single device; all processes have to ask for them."""
        state = self.placement.whole(state._replace(opt_state=None))
        params = averaged_params(state, self.config.trainable)
        return params if stage.crops else self._filled(params, stage)

    def _filled(self, params: Params, stage: Stage) -> Params:
        if self.config.trainable != "all":
            # Tables that are not trained stay what they are.
            return params
        return fill_relative_tables(params, self.config.model, stage.image_size)

    def _draw(self, step: int, params: Params, batch: Any, stage: Stage) -> None:
        if self.writer is not None:
            rows = self.placement.some_rows(batch, ROWS)
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
