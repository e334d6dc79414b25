"""Conversion of weights from any form to any other, as `samjax convert` does it."""

import filecmp
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from jax.typing import DTypeLike

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.loading import locate
from samjax.checkpoints.reader import open_checkpoint
from samjax.checkpoints.tokenizer_files import tokenizer_files
from samjax.checkpoints.writer import (
    Format,
    files_of_form,
    storage_name,
    write_checkpoint,
)
from samjax.files import check_replaceable


def convert(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    *,
    format: Format | None = None,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
) -> Path:
    """Converts weights from any form to any other.

    Tensors keep every byte unless `dtype` is given, so that converting out and in again
    gives the same values. From folder to folder the files of a tokenizer are copied, so
    that SigLIP's vocabulary stays with its weights.

    Args:
        source: A file, a folder, or a released name, as for `samjax.load`.
        destination: File or folder to write; weights that samjax wrote are replaced.
        format: "samjax" (a `.safetensors` file, or a folder for any other name),
            "safetensors" (released names), "pth" (the official form), "huggingface" (a
            folder for transformers). None derives it from the destination: `.pth` and
            `.pt` are "pth", `.safetensors` is "samjax"; a folder needs the option.
        dtype: float32, float16, bfloat16 or float64 to store; None keeps each
            tensor's.
        overwrite: Whether other files are replaced too.

    Returns:
        The destination.

    Raises:
        WouldReplace: A file is there that samjax did not write.
        CheckpointError: If the source cannot be used, the format is unclear, or a
            value does not fit the dtype. Nothing is left under the destination then.
    """
    target = Path(destination)
    chosen = choose_format(target, format)
    stored = None if dtype is None else storage_name(dtype)
    check_destination(target, chosen, overwrite=overwrite)
    checkpoint = open_checkpoint(locate(source))
    beside = tokenizer_files(checkpoint.path) if target.suffix not in OF_SUFFIX else []
    beside = [file for file in beside if not _is_there(file, target / file.name)]
    for file in beside:
        check_replaceable(target / file.name, "weights", overwrite=overwrite)
    write_checkpoint(checkpoint, target, chosen, stored, beside=beside)
    return target


def _is_there(file: Path, copy: Path) -> bool:
    return copy.is_file() and filecmp.cmp(file, copy, shallow=False)


def check_destination(
    destination: Path,
    format: Format,
    *,
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
) -> None:
    """Checks that weights may be written.

    Args:
        destination: File or folder.
        format: The form.
        inputs: Files that are read, which are not replaced.
        overwrite: Whether files are replaced that samjax did not write.

    Raises:
        WouldReplace: Such a file is there, or one that is read.
    """
    for file in files_of_form(destination, format):
        check_replaceable(file, "weights", overwrite=overwrite, inputs=inputs)


def choose_format(destination: Path, format: Format | None) -> Format:
    """Returns the form to write: the given one, or that of the destination's name.

    Raises:
        CheckpointError: It is unclear, or the two contradict each other.
    """
    suffix = destination.suffix
    if format is None and suffix in OF_SUFFIX:
        return OF_SUFFIX[suffix]
    if format is None:
        raise CheckpointError(
            f"The form to write is unclear from {destination}: name a .pth or "
            ".safetensors file, or pass format='huggingface' or 'samjax' for a folder."
        )
    if format not in SUFFIXES:
        raise CheckpointError(f"Got {format=}, expected one of {', '.join(SUFFIXES)}.")
    if (suffix if suffix in OF_SUFFIX else "") not in SUFFIXES[format]:
        names = " or ".join(ending or "a folder" for ending in SUFFIXES[format])
        raise CheckpointError(
            f"Got the destination {destination} for {format=}, expected {names}."
        )
    return format


OF_SUFFIX: Mapping[str, Format] = {
    ".pth": "pth",
    ".pt": "pth",
    ".bin": "pth",
    ".safetensors": "samjax",
}
# Suffixes of a form's destination; any other one is a folder.
SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    "samjax": (".safetensors", ""),
    "safetensors": (".safetensors",),
    "pth": (".pth", ".pt", ".bin"),
    "huggingface": ("",),
}
