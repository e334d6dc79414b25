"""`samjax export decoder`: the model for programs without JAX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import parse
from samjax.cli.loading import load_predictor


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Writes prompt encoder and mask decoder as ONNX, for browsers and onnxruntime.

    The file has the inputs and outputs of segment_anything's exported decoder. A pair
    is for pages that care for time: FILE.prepare.onnx runs once an image,
    FILE.prompt.onnx once a click. Before anything is written the graphs are run beside
    the model, and what was found is printed and stored in FILE.json.
    """

    model: str = "tiny"
    """tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("decoder.onnx")
    """The file to write, NAME.onnx; one that exists is replaced."""

    form: Literal["single", "pair"] = "single"
    """One graph for everything, or one for an image and one for a click."""

    storage: Literal["float32", "float16", "int8"] = "float32"
    """How weights are stored; they are computed with in float32."""

    best_mask: bool = False
    """Returns one mask and not all: of a lone point the best of three."""


COMMANDS = {"decoder": Decoder}


def run(arguments: list[str]) -> None:
    """Exports, and says what was written and how it compares."""
    what, *words = arguments or ["--help"]
    if what in ("-h", "--help"):
        print("usage: samjax export decoder [OPTIONS]\n")
        print(
            "Writes a part of a model for programs without JAX; decoder --help says more."
        )
        return
    if what not in COMMANDS:
        raise UsageError(f"got {what}, expected {', '.join(COMMANDS)}")
    wanted = parse(COMMANDS[what], f"samjax export {what}", words)
    if wanted.out.suffix != ".onnx":
        raise UsageError(f"got --out {wanted.out}, expected a name that ends in .onnx")
    if not wanted.out.parent.is_dir():
        raise UsageError(f"there is no folder {wanted.out.parent} to write to")

    import numpy as np
    import onnx  # noqa: F401  asked for before the model is loaded
    import onnxruntime  # noqa: F401
    from PIL import Image

    import samjax
    from samjax.export.decoder_files import export_decoder

    predictor = load_predictor(wanted.model, "float32")
    photo = Path(samjax.__file__).parent / "assets" / "coffee.jpg"
    with Image.open(photo) as image:
        embedding = predictor.embed(np.asarray(image.convert("RGB")))
    done = export_decoder(
        predictor.model,
        predictor.params,
        [np.asarray(embedding.features)],
        wanted.out,
        form=wanted.form,
        storage=wanted.storage,
        best_mask=wanted.best_mask,
        about={"model": wanted.model},
    )
    for file in done.files:
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
    found = done.agreement
    print(
        f"beside the model, {found.prompts} prompts on a photo: logits differ by"
        f" {found.logit_error:.1e} of their size, scores by {found.score_error:.1e},"
        f" masks have an IoU of {found.mask_iou:.4f} ({found.least_mask_iou:.4f} at least)"
    )
    print(f"{done.report}  says the same")
