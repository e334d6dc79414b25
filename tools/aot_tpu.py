"""Compiles a run for TPUs without a TPU, and reports its memory, FLOPs and time.

    python tools/aot_tpu.py configs/train/sa1b_vit_b.py --topology v5e-8

The TPU compiler is a package (`pip install 'jax[tpu]'`) that runs on any x86-64 Linux
machine. For the config's first stage, or `--stage`, the tool compiles the training
step, the image encoder and everything mode's loop, exactly as samjax runs them, and
reports for each: the peak memory of a chip, whether the state is updated in place,
floating-point operations (counted by hand, and by the compiler), collective
communication, and a lower bound of the time of a step from these. Nothing is executed:
the figures of memory are exact, those of time are bounds.

Exit code: 0 if all programs fit, 3 if one does not, 2 for bad arguments or no compiler.
Compilation takes one to several minutes for ViT-B, up to ten for ViT-H; results are
cached in samjax's cache folder until samjax, the tool or the arguments change.
"""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

# The compiler runs on the CPU; a TPU of this machine is not claimed.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from aot.programs import PROGRAMS
from aot.report import cached_report, describe
from aot.slices import MissingCompiler, find_slice

from samjax.files import replacing
from samjax.sharding import MeshConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.launch import load_config

FITS, BAD, TOO_LARGE = 0, 2, 3


def main() -> int:
    options = _parser().parse_args()
    try:
        slice_ = find_slice(options.topology)
        config, stage = configured(options, len(slice_.devices()))
        reports = {}
        for program in options.program or list(PROGRAMS):
            report = cached_report(
                program,
                config,
                stage,
                slice_,
                attention=options.attention,
                effort=options.effort,
                afresh=options.afresh,
                text_to=options.text,
            )
            print(describe(report), flush=True)
            reports[program] = report
    except (ValueError, MissingCompiler, jax.errors.JaxRuntimeError) as error:
        print(f"aot_tpu: {error}", file=sys.stderr)
        return BAD
    if options.json:
        # The first program's report at the top level, all of them below.
        first = next(iter(reports.values()))
        with replacing(options.json) as hidden:
            hidden.write_text(
                json.dumps({**first, "programs": reports}, indent=1) + "\n"
            )
    return FITS if all(report["fits"] for report in reports.values()) else TOO_LARGE


def configured(options: argparse.Namespace, chips: int) -> tuple[TrainConfig, Stage]:
    """Returns the run and its stage, with the changes of the command line."""
    config = load_config(options.config)
    if not 0 <= options.stage < len(config.stages):
        raise ValueError(
            f"got --stage {options.stage}, expected 0 to {len(config.stages) - 1}"
        )
    stage = config.stages[options.stage]
    model: dict[str, Any] = {}
    if options.remat is not None:
        model["remat"] = options.remat
    if options.scan is not None:
        model["scan"] = options.scan
    changes: dict[str, Any] = {}
    mesh = parse_mesh(options.mesh) if options.mesh else config.mesh
    data, fsdp, tensor = mesh.sizes(chips)
    mesh = MeshConfig(data=data, fsdp=fsdp, tensor=tensor)
    if options.images_per_chip:
        # Chips along `tensor` share their images.
        changes["batch_size"] = options.images_per_chip * data * fsdp
    if options.masks_per_image:
        changes["masks_per_image"] = options.masks_per_image
    if options.accumulate:
        changes["accumulate"] = options.accumulate
    stage = dataclasses.replace(stage, **changes)
    if stage.batch_size % (data * fsdp):
        raise ValueError(
            f"a batch of {stage.batch_size} images does not divide among {data * fsdp}"
            " chips: give --images-per-chip, or another --mesh"
        )
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **model),
        mesh=mesh,
        stages=(stage,),
    )
    return config, stage


def parse_mesh(text: str) -> MeshConfig:
    """Parses a mesh such as `data=4,fsdp=2`.

    Raises:
        ValueError: The text does not have this form.
    """
    names = [field.name for field in dataclasses.fields(MeshConfig)]
    sizes = {}
    for part in text.split(","):
        name, _, size = part.partition("=")
        if name not in names or not size.removeprefix("-").isdigit():
            raise ValueError(
                f"got --mesh {text!r}, expected sizes such as data=4,fsdp=2 of"
                f" {', '.join(names)}"
            )
        sizes[name] = int(size)
    return MeshConfig(**sizes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("config", type=Path, help="a training config: a Python file with get_config()")
    add(
        "--topology", required=True, help="the slice: v5e-8, v5p-64, v6e-8, v5e-256 ..."
    )
    add(
        "--program",
        action="append",
        choices=PROGRAMS,
        help="compile only this program; may be repeated",
    )
    add("--stage", type=int, default=0, help="index of the stage of the run")
    add("--images-per-chip", type=int, help="instead of the stage's batch size")
    add("--masks-per-image", type=int, help="instead of the stage's")
    add("--accumulate", type=int, help="microbatches, instead of the stage's")
    add("--mesh", help="instead of the config's, such as data=2,fsdp=4,tensor=1")
    add("--remat", action=argparse.BooleanOptionalAction, help="recompute blocks")
    add(
        "--scan",
        action=argparse.BooleanOptionalAction,
        help="loop over stages of blocks",
    )
    add("--attention", default="auto", choices=("auto", "blocks", "splash"))
    add(
        "--effort",
        default="default",
        choices=("low", "default"),
        help="low compiles several times faster; memory differs by some percent",
    )
    add("--json", type=Path, help="also write the report to this file")
    add(
        "--text",
        type=Path,
        help="also write each compiled program's text to this folder",
    )
    add("--afresh", action="store_true", help="ignore cached results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
