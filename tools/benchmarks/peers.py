"""Common code of the benchmarks: random weights, peers, interleaved timing, the report.

Every figure is reported with hardware, precision, versions and load; implementations
run in turn in one process, and the result is the ratio of their medians. Run from a
checkout with the extra `parity` installed.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
# The reference model and its random weights belong to the test suite.
sys.path.insert(0, str(ROOT / "tests"))


def random_weights(size: str, folder: Path) -> Path:
    """Saves random weights in the official format, once per folder; returns the path."""
    path = folder / f"random_{size}.pth"
    if not path.exists():
        import reference
        import torch

        from samjax.models import SIZES

        folder.mkdir(parents=True, exist_ok=True)
        torch.save(reference.build_reference(SIZES[size]).state_dict(), path)
    return path


def reference_sam(path: Path, size: str):
    """Returns the reference model with the weights of a file."""
    import reference
    import torch

    from samjax.models import SIZES

    sam = reference.build_reference(SIZES[size])
    sam.load_state_dict(torch.load(path, weights_only=True))
    return sam


def demo_photo(height: int, width: int) -> np.ndarray:
    """Returns the demo's photo, resized."""
    from PIL import Image

    photo = Image.open(ROOT / "samjax" / "assets" / "coffee.jpg").convert("RGB")
    return np.asarray(photo.resize((width, height)))


def time_in_turn(
    calls: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, dict]:
    """Times every call, one after another, `repeats` rounds after one warm-up round.

    Returns:
        Per name: the seconds of the first call (compilation included), of every round,
        and their median.
    """
    figures: dict[str, dict] = {name: {"seconds": []} for name in calls}
    for round_number in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds = time.perf_counter() - start
            if round_number == 0:
                figures[name]["first_call"] = round(seconds, 4)
            else:
                figures[name]["seconds"].append(round(seconds, 4))
            print(f"round {round_number}  {name:32s} {seconds:9.4f} s", flush=True)
    for figure in figures.values():
        figure["median"] = float(np.median(figure["seconds"]))
    return figures


def peak_memory(script: str, arguments: list[str]) -> float:
    """Runs a script in a process of its own; returns its peak resident memory in MiB."""
    command = [sys.executable, script, *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if peak == before:
        raise RuntimeError("An earlier child used more memory; measure it last.")
    return peak / 1024


def report(figures: dict[str, dict], baseline: str, **facts) -> dict:
    """Prints a table of medians and ratios; returns the figures, facts and machine."""
    print(f"\n{'implementation':34s} {'first':>9s} {'median':>9s} {'ratio':>7s}")
    for name, figure in figures.items():
        figure["ratio"] = round(figure["median"] / figures[baseline]["median"], 3)
        print(
            f"{name:34s} {figure['first_call']:9.3f} {figure['median']:9.4f}"
            f" {figure['ratio']:7.3f}"
        )
    return {
        **facts,
        "baseline": baseline,
        "figures": figures,
        "machine": describe_machine(),
    }


def describe_machine() -> dict:
    """Returns hardware, versions and load."""
    import jax

    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    packages = ("jax", "flax", "torch", "transformers", "numpy")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "device": str(jax.devices()[0]),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "load": os.getloadavg(),
    }


def write(result: dict, path: Path | None) -> None:
    """Writes the report as JSON, if a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
