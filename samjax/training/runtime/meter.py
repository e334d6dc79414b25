"""Metrics of the steps: read one step late, checked, averaged and reported."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from samjax.training.runtime.bad_data import BadData
from samjax.training.runtime.metrics_writer import MetricsWriter


class TrainingDiverged(RuntimeError):
    """The loss of a step is not finite."""

    def with_advice(
        self, saved: int | None, rate: float, diverged: Path | None = None
    ) -> "TrainingDiverged":
        """Returns the error with a remedy in its message.

        Args:
            saved: Step of the newest checkpoint; None where there is none.
            rate: Peak learning rate of the run.
            diverged: Folder of that checkpoint, where the run diverged from it again.
        """
        again = f"resume from step {saved}"
        if saved is None:
            again = "start again, since there is no checkpoint yet,"
        elif diverged is not None:
            again = f"remove {diverged} and resume, from before it,"
        return TrainingDiverged(
            f"{self}: {again} with a lower --optimizer.peak-learning-rate (it is"
            f" {rate:g}) or with --optimizer.clip-norm, which may be others than before"
        )


class Meter:
    """Collects the metrics of a run's steps.

    Steps are dispatched asynchronously: `put` takes the metrics of the step just
    dispatched, and reads those of the step before, so that the device never waits for
    the host.

    Args:
        writer: Writes every step, and the means over every `log_every` steps; None in a
            process that does not report.
        bad: Counts of damaged examples.
        log_every: Steps between reports.
        total_steps: Steps of the run, for the time left.
        learning_rate: Schedule of the learning rate, to be reported.
        report: Called with one line of text per report.
        peak: Peak FLOPs per second of all devices together, or None.
    """

    def __init__(
        self,
        writer: MetricsWriter | None,
        *,
        bad: BadData,
        log_every: int,
        total_steps: int,
        learning_rate: Callable[[int], Any],
        report: Callable[[str], None],
        peak: float | None,
    ):
        self._writer, self._report = writer, report
        self._log_every, self._total_steps = log_every, total_steps
        self._learning_rate = learning_rate
        self._bad, self._peak = bad, peak
        self._pending: tuple[int, Any] | None = None
        self._last_loss: float | None = None
        self.start_stage(0.0)

    def start_stage(self, flops: float) -> None:
        """Sets the FLOPs of the following steps."""
        self._flops = flops
        self._start_window()

    def put(
        self, step: int, metrics: Mapping[str, Any], images: int, waited: float
    ) -> None:
        """Takes the metrics of a step, and reads those of the step before.

        Args:
            step: Steps done, this one included.
            metrics: Its scalars, on the device.
            images: Images of its batch.
            waited: Seconds that the host waited for the batch.
        """
        self.flush()
        self._waited += waited
        self._pending = step, (metrics, images)

    def flush(self) -> None:
        """Reads the metrics that are still on the device.

        Raises:
            TrainingDiverged: The loss is not finite.
            TooManyBadExamples: More of the data is damaged than the config allows.
        """
        if self._pending is None:
            return
        (step, (metrics, images)), self._pending = self._pending, None
        scalars = {k: float(v) for k, v in jax.device_get(dict(metrics)).items()}
        self._check(step, scalars["loss"])
        if self._writer is not None:
            self._writer.write(step, scalars)
        self._bad.add(step, images, scalars)
        self._window.append((images, scalars))
        if step % self._log_every == 0:
            self._report_window(step)

    def _check(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            before = ""
            if self._last_loss is not None:
                before = f", that of the step before {self._last_loss}"
            raise TrainingDiverged(f"the loss of step {step} is {loss}{before}")
        self._last_loss = loss

    def _report_window(self, step: int) -> None:
        steps = len(self._window)
        seconds = max(time.monotonic() - self._since, 1e-9)
        means = {
            name: sum(scalars[name] for _, scalars in self._window) / steps
            for name in self._window[0][1]
        }
        means["learning_rate"] = float(self._learning_rate(step - 1))
        means["images_per_second"] = sum(n for n, _ in self._window) / seconds
        # Fraction of the time that the host waited for data: an upper bound on the
        # devices' idle time, since they may have been computing meanwhile.
        means["data_wait"] = self._waited / seconds
        if self._peak is not None:
            done = self._flops * steps / seconds
            means["utilisation"] = done / self._peak
        if self._writer is not None:
            self._writer.plot(step, means, "train")
        left = (self._total_steps - step) * seconds / steps
        self._report(f"step {step}  {format_scalars(means)}  {left / 3600:.1f} h left")
        self._start_window()

    def _start_window(self) -> None:
        """Starts a new window of steps to report."""
        self._window: list[tuple[int, dict[str, float]]] = []
        self._waited = 0.0
        self._since = time.monotonic()


def format_scalars(scalars: Mapping[str, float]) -> str:
    """Returns scalars as one line of text."""
    return "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())
