"""Writes weights in every form that samjax reads.

One tensor is in memory at a time, whatever the size of the model. Files are written
under a temporary name and renamed at the end, so that the destination is never partial.
"""

import contextlib
import functools
import io
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jax.typing import DTypeLike
from rich.progress import track

from samjax.checkpoints import hugging_face
from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.families import SAM, family_of
from samjax.checkpoints.family_forms import split_pieces
from samjax.checkpoints.mapped import DTYPE_NAMES, DTYPES, FLOATING
from samjax.checkpoints.reader import (
    FAMILY_KEY,
    OWN_NAME,
    OWN_VERSION,
    Checkpoint,
)
from samjax.checkpoints.safetensors_file import Planned, write_safetensors
from samjax.checkpoints.shared_encoder import (
    BASE_KEY,
    CHECKSUM_KEY,
    check_encoder,
    encoder_checksum,
    encoder_tensors,
)
from samjax.checkpoints.sizes import config_to_json
from samjax.checkpoints.torch_writer import write_torch_file
from samjax.files import KEY, check_replaceable, json_text, mark_of, replacing
from samjax.models.config import Architecture
from samjax.models.params import join
from samjax.models.weight_map import HUGGING_FACE_COPIES, Entry
from samjax.terminal import bar_console

Format = Literal["samjax", "safetensors", "pth", "huggingface"]


def save(
    path: str | os.PathLike,
    config: Architecture,
    params: Mapping[str, Any],
    *,
    dtype: DTypeLike = np.float32,
    encoder_of: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Saves parameters in samjax's own form.

    Args:
        path: A `.safetensors` file, or a folder for any other name.
        config: Config of the model; its compute options are not stored.
        params: The tree that `samjax.load` or `Sam.init` gives.
        dtype: Stored dtype. float16 halves the file and is widened on loading.
        encoder_of: Name of bundled weights with the same image encoder, which is then
            left out of the file and read from them.
        overwrite: Whether a file is replaced that samjax did not write.

    Returns:
        The path.

    Raises:
        WouldReplace: Such a file is there.
        CheckpointError: If the parameters are not those of the config, with every
            difference; or a value does not fit the dtype.
    """
    target = Path(path)
    check_replaceable(_own_file(target), "weights", overwrite=overwrite)
    stored = storage_name(dtype)
    leaves = _flatten(params)
    expected = {entry.path: entry for entry in family_of(config).entries(config)}
    problems = config.problems()
    problems += [f"{'/'.join(p)} is missing" for p in expected if p not in leaves]
    for key, leaf in leaves.items():
        name = join(key)
        if key not in expected:
            problems.append(f"{name} is not part of the model")
        elif np.shape(leaf) != expected[key].tree_shape:
            problems.append(
                f"{name} has shape {np.shape(leaf)}, "
                f"expected {expected[key].tree_shape}"
            )
    if problems:
        raise CheckpointError(f"These are not the parameters of {config}.", problems)
    strings = {}
    if encoder_of is not None:
        shared = encoder_tensors(target, encoder_of, config)
        check_encoder(target, encoder_of, shared, leaves)
        expected = {p: e for p, e in expected.items() if join(p) not in shared}
        checksum = encoder_checksum(shared)
        strings = {BASE_KEY: encoder_of, CHECKSUM_KEY: checksum}
    plan = [Planned("/".join(p), stored, e.tree_shape) for p, e in expected.items()]
    arrays = (narrow(np.asarray(leaves[key]), stored, join(key)) for key in expected)
    _write(
        {
            _own_file(target): lambda file: write_safetensors(
                file, plan, arrays, _own_metadata(config, strings), checksums=True
            )
        }
    )
    return target


def write_checkpoint(
    checkpoint: Checkpoint,
    destination: Path,
    format: Format,
    dtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
    beside: Iterable[Path] = (),
) -> None:
    """Streams an opened checkpoint into another form.

    Args:
        checkpoint: The weights.
        destination: File or folder.
        format: The form.
        dtype: A key of `DTYPES`; None keeps each tensor's.
        metadata: More strings for samjax's own form.
        beside: Files that are copied into the folder.

    Raises:
        CheckpointError: If a value does not fit the dtype, or the form cannot hold
            part of the model.
    """
    if format == "huggingface":
        _check_hugging_face(checkpoint)
    ordered = checkpoint.entries()
    form = checkpoint.family.hugging_face
    plan = [_plan(checkpoint, entry, format, dtype) for entry in ordered]
    arrays = _stream(checkpoint, ordered, format, dtype)
    config = checkpoint.config
    if format == "pth":
        _write({destination: lambda file: write_torch_file(file, plan, arrays)})
        return
    if format == "samjax":
        path, strings = _own_file(destination), _own_metadata(config, metadata or {})
    elif format == "safetensors":
        path = destination
        strings = {
            "format": "pt",
            "samjax_config": config_to_json(config),
            **_family_metadata(config),
        }
    else:
        # transformers refuses safetensors without this entry.
        path = destination / hugging_face.WEIGHTS_NAME
        strings = {"format": "pt", KEY: mark_of("weights")}
        if form is None:
            plan, arrays = _with_copies(plan, arrays)
        else:
            plan, arrays = split_pieces(form, ordered, plan, arrays)
    own = format == "samjax"
    files: dict[Path, Callable[[io.BufferedIOBase], Any]] = {
        path: lambda file: write_safetensors(file, plan, arrays, strings, checksums=own)
    }
    if format == "huggingface":
        write_config = hugging_face.config_json if form is None else form.write_config
        text = json_text(write_config(config), indent=2) + "\n"
        files[destination / hugging_face.CONFIG_NAME] = lambda file: file.write(
            text.encode()
        )
    for source in beside:
        files[destination / source.name] = functools.partial(_copy, source)
    _write(files)


def _copy(source: Path, file: io.BufferedIOBase) -> None:
    with open(source, "rb") as content:
        shutil.copyfileobj(content, file)


def _check_hugging_face(checkpoint: Checkpoint) -> None:
    """Refuses models that transformers cannot hold."""
    if checkpoint.family.hugging_face is not None:
        return
    if checkpoint.family is not SAM:
        raise CheckpointError(
            f"{checkpoint.path} is a model of the family {checkpoint.family.name!r}, "
            "which has no form for transformers: write samjax's own form, 'safetensors' "
            "or 'pth'."
        )
    if checkpoint.config.final_norm:
        raise CheckpointError(
            f"{checkpoint.path} has a norm after the image encoder's last block, which "
            "transformers' SamModel would leave out: write samjax's own form, "
            "'safetensors' or 'pth'."
        )


def files_of_form(destination: Path, format: Format) -> list[Path]:
    """Returns the files that a form of weights consists of."""
    if format == "samjax":
        return [_own_file(destination)]
    if format == "huggingface":
        names = (hugging_face.CONFIG_NAME, hugging_face.WEIGHTS_NAME)
        return [destination / name for name in names]
    return [destination]


def _plan(
    checkpoint: Checkpoint, entry: Entry, format: Format, dtype: str | None
) -> Planned:
    stored = dtype or checkpoint.tensors[entry.released].dtype
    if format == "samjax":
        return Planned("/".join(entry.path), stored, entry.tree_shape)
    name = entry.hugging_face if format == "huggingface" else entry.released
    return Planned(name, stored, entry.shape)


def _stream(
    checkpoint: Checkpoint, ordered: list[Entry], format: Format, dtype: str | None
) -> Iterator[np.ndarray]:
    """Reads one tensor after another, each in the layout and dtype of the form."""
    strange = []
    console = bar_console()
    for entry in track(
        ordered,
        description="converting",
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ):
        tensor = checkpoint.tensors[entry.released]
        array = checkpoint.leaf(entry)
        if format != "samjax":
            array = entry.to_released(array)
        if not np.isfinite(array).all():
            strange.append(entry.released)
        yield narrow(array, dtype or tensor.dtype, entry.released)
        tensor.release()
    if strange:
        warnings.warn(
            f"{checkpoint.path} has values that are not finite, in "
            f"{len(strange)} tensors: {', '.join(strange[:5])}.",
            stacklevel=2,
        )


def _with_copies(
    plan: list[Planned], arrays: Iterator[np.ndarray]
) -> tuple[list[Planned], Iterator[np.ndarray]]:
    """Repeats the tensors that transformers stores twice."""
    copies = {original: copy for copy, original in HUGGING_FACE_COPIES.items()}

    def repeat():
        for tensor, array in zip(plan, arrays, strict=True):
            yield array
            if tensor.name in copies:
                yield array

    doubled = []
    for tensor in plan:
        doubled.append(tensor)
        if tensor.name in copies:
            doubled.append(tensor._replace(name=copies[tensor.name]))
    return doubled, repeat()


def narrow(array: np.ndarray, dtype: str, name: str) -> np.ndarray:
    """Casts an array of any shape to a dtype of `DTYPES`.

    Raises:
        CheckpointError: A finite value would become infinite.
    """
    target = DTYPES[dtype]
    if array.dtype == target:
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(target)
    lost = np.isfinite(array) & ~np.isfinite(cast)
    if lost.any():
        raise CheckpointError(
            f"{name} has values up to {np.abs(array[lost].astype(np.float64)).max()}, "
            f"too large for {target}: use float32 or bfloat16."
        )
    return cast


def _write(files: Mapping[Path, Callable[[io.BufferedIOBase], Any]]) -> None:
    """Writes files under temporary names and renames them when all are complete."""
    made: list[Path] = []
    try:
        with contextlib.ExitStack() as whole:
            for path, write in files.items():
                for folder in reversed([path.parent, *path.parent.parents]):
                    if not folder.exists():
                        folder.mkdir()
                        made.append(folder)
                hidden = whole.enter_context(replacing(path))
                with open(hidden, "xb") as file:
                    write(file)
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _flatten(params: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    leaves = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            leaves |= {(name, *rest): leaf for rest, leaf in _flatten(value).items()}
        else:
            leaves[(name,)] = value
    return leaves


def _own_file(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path / OWN_NAME


def _own_metadata(config: Architecture, more: Mapping[str, str]) -> dict[str, str]:
    return {
        **more,
        **_family_metadata(config),
        "format": "samjax",
        "version": OWN_VERSION,
        "config": config_to_json(config),
    }


def _family_metadata(config: Architecture) -> dict[str, str]:
    """Names the family of a config; SAM's files have no such entry, as ever."""
    family = family_of(config)
    return {} if family is SAM else {FAMILY_KEY: family.name}


def storage_name(dtype: DTypeLike) -> str:
    """Returns the name in `DTYPES` of a dtype that weights can be stored as.

    Raises:
        CheckpointError: Weights are not stored as this dtype.
    """
    try:
        name = DTYPE_NAMES.get(np.dtype(dtype))
    except TypeError:
        name = None
    if name is None or name not in FLOATING:
        words = ", ".join(str(DTYPES[floating]) for floating in FLOATING)
        raise CheckpointError(f"Got {dtype=}, expected one of {words}.")
    return name
