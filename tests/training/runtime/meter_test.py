import math

import pytest

from samjax.training.runtime import meter as module
from samjax.training.runtime.bad_data import BadData, TooManyBadExamples
from samjax.training.runtime.meter import Meter, TrainingDiverged
from samjax.training.runtime.metrics_writer import MetricsWriter


class Writer(MetricsWriter):
    """Keeps what a run would have written."""

    def __init__(self):
        self.written, self.plotted = {}, {}

    def write(self, step, scalars):
        self.written[step] = scalars

    def plot(self, step, scalars, group):
        del group
        self.plotted[step] = scalars


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def make_meter(writer, bad=None, peak=None):
    return Meter(
        writer,
        bad=bad or BadData(0.0),
        log_every=2,
        total_steps=10,
        learning_rate=lambda step: 0.5,
        report=lambda line: None,
        peak=peak,
    )


def run(meter, clock, seconds, losses):
    for step, loss in enumerate(losses, start=1):
        clock[0] += seconds
        meter.put(step, {"loss": loss}, 8, waited=seconds / 4)
    meter.flush()


def test_a_report_has_means_speed_waits_and_utilisation(clock):
    writer = Writer()
    meter = make_meter(writer, peak=100.0)
    meter.start_stage(flops=60.0)
    run(meter, clock, 2.0, [1.0, 2.0])
    assert writer.written == {1: {"loss": 1.0}, 2: {"loss": 2.0}}
    assert writer.plotted == {
        2: {
            "loss": 1.5,
            "learning_rate": 0.5,
            "images_per_second": 4.0,
            "data_wait": 0.25,
            # 120 FLOPs in 4 seconds, of 100 a second.
            "utilisation": 0.3,
        }
    }


def test_devices_without_a_known_peak_have_no_utilisation(clock):
    writer = Writer()
    run(make_meter(writer), clock, 1.0, [1.0, 2.0])
    assert "utilisation" not in writer.plotted[2]


def test_a_process_without_a_writer_still_sees_a_loss_that_is_not_finite(clock):
    with pytest.raises(TrainingDiverged, match="step 3 is nan"):
        run(make_meter(None), clock, 1.0, [1.0, 2.0, math.nan])


def test_damaged_examples_are_counted_and_end_the_run(clock):
    bad = BadData(0.0)
    meter = make_meter(Writer(), bad)
    meter.put(1, {"loss": 1.0, "bad_examples": 1, "bad_masks": 2}, 8, waited=0.0)
    with pytest.raises(TooManyBadExamples, match="1 of 8"):
        meter.flush()
