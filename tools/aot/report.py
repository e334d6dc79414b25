"""Compilation of a program for a slice, and the report on it, with a cache."""

import dataclasses
import hashlib
import importlib.metadata
import json
import re
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from aot import hlo
from aot.flops import device_flops, model_flops
from aot.programs import PROGRAMS, Program
from aot.slices import Slice
from jax.sharding import Mesh

from samjax import sharding
from samjax.files import cache_folder, replacing
from samjax.models.attention import AttentionKind
from samjax.models.sam import Sam
from samjax.training.config import Stage, TrainConfig

# The compiler's lowest optimization effort. It changes memory by some percent.
LOW_EFFORT = {"exec_time_optimization_effort": -1.0}

_TOO_LARGE = re.compile(r"\(([\d.]+)([MG])\) exceeds available \w+ \(([\d.]+)([MG])\)")
_UNITS = {"M": 2**20, "G": 2**30}
ROOT = Path(__file__).parents[2]


def cached_report(
    program: str,
    config: TrainConfig,
    stage: Stage,
    slice_: Slice,
    *,
    attention: AttentionKind,
    effort: str,
    afresh: bool,
    text_to: Path | None,
) -> dict[str, Any]:
    """Returns the report on a program, from the cache if nothing has changed."""
    model = Sam(config.model, dtype=jnp.dtype(config.dtype), attention=attention)
    settings = {
        "program": program,
        "topology": slice_.topology,
        "mesh": dataclasses.asdict(config.mesh),
        "scan": config.model.scan,
        "remat": config.model.remat,
        "attention": attention,
        "effort": effort,
    }
    name = hashlib.sha256(
        json.dumps([settings, repr(config), repr(stage), sources()]).encode()
    ).hexdigest()
    path = cache_folder() / "aot" / f"{name[:32]}.json"
    if path.exists() and not afresh and text_to is None:
        return json.loads(path.read_bytes())
    report = {
        **settings,
        **measure(program, config, stage, model, slice_, effort, text_to),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as hidden:
        hidden.write_text(json.dumps(report))
    return report


def sources() -> str:
    """Hashes all that a compiled program depends on besides the config."""
    digest = hashlib.sha256()
    for folder in ("samjax", "tools/aot"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    for package in ("jax", "flax", "optax", "libtpu"):
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()


def measure(
    program: str,
    config: TrainConfig,
    stage: Stage,
    model: Sam,
    slice_: Slice,
    effort: str,
    text_to: Path | None = None,
) -> dict[str, Any]:
    """Compiles a program and collects the compiler's figures."""
    mesh = sharding.make_mesh(config.mesh, slice_.devices())
    built = PROGRAMS[program](config, stage, model, mesh)
    setup = {
        "chips": mesh.size,
        # Chips along `tensor` share their images.
        "images_per_chip": built.images
        * min(config.mesh.tensor, built.chips)
        / built.chips,
        "masks_per_image": stage.masks_per_image,
        "accumulate": stage.accumulate,
        "usable_bytes_per_chip": slice_.chip.usable,
    }
    start = time.monotonic()
    try:
        compiled = _compiled(built, mesh, effort)
    except jax.errors.JaxRuntimeError as error:
        needed = bytes_needed(str(error))
        if needed is None:
            raise
        return {
            **setup,
            "fits": False,
            "peak_bytes_per_chip": needed,
            "compile_seconds": time.monotonic() - start,
            "error": str(error).splitlines()[0],
        }
    setup["compile_seconds"] = time.monotonic() - start
    text = compiled.as_text()
    if text_to is not None:
        text_to.mkdir(parents=True, exist_ok=True)
        (text_to / f"{program}.txt").write_text(text)
    splash = "tpu_custom_call" in text
    flops = {
        "flops_per_chip": model_flops(program, config, stage),
        "device_flops_per_chip": device_flops(program, config, stage, splash=splash),
    }
    figures = {
        **setup,
        **{name: total / built.chips for name, total in flops.items()},
        **_figures(compiled, text, config, stage),
    }
    return {**figures, **bounds(figures, slice_)}


def _compiled(built: Program, mesh: Mesh, effort: str) -> Any:
    # JAX would write these programs to the persistent cache but cannot load them again.
    cached = jax.config.jax_enable_compilation_cache  # pyright: ignore
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        options = LOW_EFFORT if effort == "low" else None
        return built.lower(mesh).compile(compiler_options=options)
    finally:
        jax.config.update("jax_enable_compilation_cache", cached)


def _figures(
    compiled: Any, text: str, config: TrainConfig, stage: Stage
) -> dict[str, Any]:
    model = config.model
    tokens = (stage.image_size // model.patch_size) ** 2
    is_as_wide = round(model.mlp_ratio * model.embed_dim) == tokens
    memory = compiled.memory_analysis()
    parsed = hlo.parse(text)
    return {
        # Compilation fails for a program that does not fit.
        "fits": True,
        "peak_bytes_per_chip": memory.peak_memory_in_bytes,
        "argument_bytes_per_chip": memory.argument_size_in_bytes,
        "output_bytes_per_chip": memory.output_size_in_bytes,
        "donated_bytes_per_chip": memory.alias_size_in_bytes,
        "compiler_flops_per_chip": compiled.cost_analysis().get("flops", 0.0),
        "memory_traffic_per_chip": hlo.memory_traffic(parsed),
        "collectives": hlo.collectives(parsed),
        "kernels": text.count('custom_call_target="tpu_custom_call"'),
        "square_logits": hlo.square_floats(
            text, tokens, model.num_heads if is_as_wide else 1
        ),
    }


def bounds(report: dict[str, Any], slice_: Slice) -> dict[str, Any]:
    """Returns lower bounds of the time of a step, and upper bounds of utilization."""
    chip = slice_.chip
    moved = sum(
        # An all-reduce is a reduce-scatter and an all-gather: two passes of the ring.
        total["bytes"] * (2 if kind == "all-reduce" else 1)
        for kind, total in report["collectives"].items()
    )
    limits = {
        "compute": report["device_flops_per_chip"] / chip.flops,
        "memory": report["memory_traffic_per_chip"] / chip.memory,
        "links": moved / chip.links,
    }
    useful = report["flops_per_chip"] / chip.flops
    return {
        "seconds_by_limit": limits,
        "seconds_at_least": max(limits.values()),
        "seconds_without_overlap": sum(limits.values()),
        "utilisation_at_most": useful / max(limits.values()),
        "utilisation_without_overlap": useful / sum(limits.values()),
    }


def bytes_needed(message: str) -> float | None:
    """Parses the memory that a program needs from the compiler's error message."""
    match = _TOO_LARGE.search(message)
    return float(match[1]) * _UNITS[match[2]] if match else None


def describe(report: dict[str, Any]) -> str:
    """Formats a report as lines of text."""
    peak, usable = report["peak_bytes_per_chip"], report["usable_bytes_per_chip"]
    mesh = ", ".join(f"{axis} {size}" for axis, size in report["mesh"].items())
    lines = [
        (
            f"{report['program']}: {report['topology']}, {report['chips']} chips, mesh {mesh},"
            f" {report['images_per_chip']:g} images a chip"
            f" (remat {report['remat']}, scan {report['scan']}, attention"
            f" {report['attention']}, {report['effort']} effort)"
        ),
        (
            f"  {'fits' if report['fits'] else 'DOES NOT FIT'}: {peak / 2**30:.2f} GiB of"
            f" {usable / 2**30:.2f} GiB a chip at the peak;"
            f" compiled in {report['compile_seconds']:.0f} s"
        ),
    ]
    if not report["fits"]:
        return "\n".join([*lines, f"  {report['error']}"])
    donated, output = report["donated_bytes_per_chip"], report["output_bytes_per_chip"]
    limits = report["seconds_by_limit"]
    lines += [
        (
            f"  arguments {report['argument_bytes_per_chip'] / 2**30:.3f} GiB; updated in"
            f" place {donated / 2**30:.3f} of {output / 2**30:.3f} GiB of results"
        ),
        (
            f"  TFLOPs a chip: {report['flops_per_chip'] / 1e12:.2f} of the model,"
            f" {report['device_flops_per_chip'] / 1e12:.2f} done, by hand;"
            f" {report['compiler_flops_per_chip'] / 1e12:.2f} by the compiler, which counts"
            f" a loop once and a kernel ({report['kernels']} here) as nothing"
        ),
        f"  main memory: {report['memory_traffic_per_chip'] / 1e9:.1f} GB moved a chip",
    ]
    lines += [
        f"  {kind}: {total['count']:g} of {total['bytes'] / 1e9:.3f} GB together"
        for kind, total in report["collectives"].items()
    ]
    lines += [
        "  time of a step at least"
        f" {1e3 * report['seconds_at_least']:.1f} ms: "
        + ", ".join(f"{name} {1e3 * s:.1f}" for name, s in limits.items())
        + f"; one after the other {1e3 * report['seconds_without_overlap']:.1f} ms",
        (
            f"  utilisation at most {100 * report['utilisation_at_most']:.0f} %,"
            f" {100 * report['utilisation_without_overlap']:.0f} % without any overlap"
        ),
    ]
    if report["square_logits"]:
        lines.append(f"  logits of all pairs: {', '.join(report['square_logits'])}")
    return "\n".join(lines)
