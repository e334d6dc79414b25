"""`samjax convert SOURCE DESTINATION`: weights from any form to any other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from samjax.cli.arguments import parse


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Converts weights from any form to any other; every byte of every tensor is kept.

    Reads a released name, official .pth files and fine-tunes of the same architecture,
    .safetensors, Hugging Face SAM folders, and samjax's own form. Writes samjax's own
    form (a .safetensors file or a folder), safetensors with the release's names, pth as
    released, or a huggingface folder for transformers. Needs no PyTorch, and executes
    nothing that a file contains.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A file, a folder, or the name of a release."""

    destination: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(metavar="DESTINATION")
    ]
    """File or folder to write; weights that samjax wrote are replaced."""

    format: Literal["auto", "samjax", "safetensors", "pth", "huggingface"] = "auto"
    """Format to write; auto chooses by the destination's suffix (.pth, .safetensors)."""

    dtype: Literal["keep", "float32", "float16", "bfloat16"] = "keep"
    """Dtype of the stored tensors."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files that samjax did not write, and the source itself."""


def run(arguments: list[str]) -> None:
    """Converts, and prints the files that were written."""
    options = parse(Convert, "samjax convert", arguments)

    from samjax import checkpoints
    from samjax.checkpoints.convert import check_destination, choose_format
    from samjax.cli.loading import files_of_model

    chosen = None if options.format == "auto" else options.format
    chosen = choose_format(options.destination, chosen)
    if not options.overwrite:
        # Less exact, or in another form, the source would be gone.
        inputs = files_of_model(options.source)
        check_destination(options.destination, chosen, inputs=inputs)
    written = checkpoints.convert(
        options.source,
        options.destination,
        format=chosen,
        dtype=None if options.dtype == "keep" else options.dtype,
        overwrite=options.overwrite,
    )
    files = [written] if written.is_file() else sorted(written.iterdir())
    for file in files:
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
