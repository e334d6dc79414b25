"""`samjax evaluate [MODEL]`: how good a model is on drawn scenes that it never saw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import parse
from samjax.cli.compilation import keep_compiled_programs
from samjax.cli.outputs import make_folder


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a model on drawn scenes that no training saw.

    The protocol is that of SAM's section 7.1: a click at the centre of each object, then
    at the centre of the largest error; mean IoU at some numbers of clicks, and from a
    box. `oracle` takes the best of the three masks by its true IoU.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")] = "tiny"
    """tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    scenes: int = 500
    """How many scenes to draw."""

    seed: int | None = None
    """Of the scenes; the default is one that no config of samjax trains on."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """What to compute in."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A JSON file for the scores and for every object's IoUs."""


def run(arguments: list[str]) -> None:
    """Evaluates, prints the scores and writes them where asked to."""
    wanted = parse(Evaluate, "samjax evaluate", arguments)
    if wanted.scenes < 1:
        raise UsageError(f"--scenes {wanted.scenes}: expected at least 1")
    if wanted.out is not None:
        if wanted.out.is_dir():
            raise UsageError(f"--out {wanted.out}: expected a file, this is a folder")
        make_folder(wanted.out.parent)
    keep_compiled_programs()

    import samjax
    from samjax.evaluation.single_point import HELD_OUT_SEED, evaluate_scenes

    predictor = samjax.Predictor(*samjax.load(wanted.model, dtype=wanted.dtype))
    report = evaluate_scenes(
        predictor,
        num_scenes=wanted.scenes,
        seed=HELD_OUT_SEED if wanted.seed is None else wanted.seed,
    )
    print(report.summary())
    if wanted.out is not None:
        report.save(wanted.out)
        print(wanted.out)
