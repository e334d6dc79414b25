"""Latency and peak memory of embedding a photo with the bundled models, in turn.

    python tools/benchmarks/embedding.py --json out.json
    python tools/benchmarks/embedding.py --memory --json memory.json

Timed: `Predictor.embed` of an RGB array of 1200 x 800, including resizing. The first
call, with compilation, is reported separately. The CPU time of all cores is reported
with the wall time, as it depends less on other load. `--memory` measures instead the
peak resident memory of loading a model and embedding the photo, each model in a process
of its own.
"""

import argparse
import statistics
import time
from pathlib import Path

import peers

# Targets for `small`, on two quiet cores.
BAR_SECONDS, BAR_MIB = 2.5, 1536


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["tiny", "small"])
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measure = measure_memory if options.memory else measure_time
    peers.write(measure(options), options.json)


def measure_time(options) -> dict:
    """Measures wall time and CPU time of the models, in turn."""
    cpu_times: dict[str, list[float]] = {name: [] for name in options.models}
    calls = {
        name: embed_with(name, options.dtype, cpu_times) for name in options.models
    }
    figures = peers.time_in_turn(calls, options.repeats)
    for name, figure in figures.items():
        figure["cores_median"] = round(statistics.median(cpu_times[name][1:]), 4)
        print(f"{name:10s} all cores together {figure['cores_median']:9.4f} s")
    print(f"bar of small: {BAR_SECONDS} s on two quiet cores")
    return peers.report(figures, options.models[0], dtype=options.dtype, batch=1)


def embed_with(name: str, dtype: str, cpu_times: dict[str, list[float]]):
    """Returns a call that embeds the photo and records its CPU time."""
    import jax

    import samjax

    predictor = samjax.Predictor(*samjax.load(name, dtype=dtype))
    photo = peers.demo_photo(800, 1200)

    def call():
        before = time.process_time()
        jax.block_until_ready(predictor.embed(photo).features)
        cpu_times[name].append(time.process_time() - before)

    return call


def measure_memory(options) -> dict:
    """Measures the peak memory of each model."""
    peaks = {}
    for name in options.models:
        words = ["--models", name, "--dtype", options.dtype, "--repeats", "1"]
        peaks[name] = round(peers.peak_memory(__file__, words))
        print(f"{name:10s} {peaks[name]:6d} MiB; bar of small: {BAR_MIB} MiB")
    machine = peers.describe_machine()
    return {"dtype": options.dtype, "peak_mib": peaks, "machine": machine}


if __name__ == "__main__":
    main()
