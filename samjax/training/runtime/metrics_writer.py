"""Metrics files of a run: `metrics.jsonl` and TensorBoard files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from samjax.files import json_text, naming, replacing


class MetricsWriter:
    """Writes scalars and pictures of a run.

    Args:
        directory: Folder of `metrics.jsonl` and the TensorBoard files.
        done: Steps done before. Later records, of a run that was killed after its last
            checkpoint, are dropped, so that each step has one record.
        tensorboard: Whether to write TensorBoard files.

    Raises:
        ImportError: `tensorboard` is set and tensorboardX is not installed.
    """

    def __init__(self, directory: Path, *, done: int, tensorboard: bool):
        self._board = None
        if tensorboard:
            self._board = _summary_writer()(str(directory), purge_step=done + 1)
        path = directory / "metrics.jsonl"
        _drop_later_records(path, done)
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Appends one record to `metrics.jsonl`; non-finite values become null."""
        record = {
            name: value if math.isfinite(value) else None
            for name, value in scalars.items()
        }
        with naming(self._file.name):
            self._file.write(json_text({"step": step, **record}) + "\n")
            self._file.flush()

    def plot(self, step: int, scalars: Mapping[str, float], group: str) -> None:
        """Adds a point to each scalar's curve in TensorBoard."""
        if self._board is not None:
            for name, value in scalars.items():
                self._board.add_scalar(f"{group}/{name}", value, step)

    def picture(self, step: int, name: str, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Adds a picture to TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _summary_writer():
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "tensorboard=True needs tensorboardX: run pip install 'samjax[train]', or"
            " set tensorboard=False (metrics.jsonl is written either way)"
        ) from error
    return SummaryWriter


def _drop_later_records(path: Path, done: int) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            step = json.loads(line)["step"]
        except (json.JSONDecodeError, KeyError):
            continue  # The half line of a run that was killed while writing it.
        if step <= done:
            kept.append(line + "\n")
    with replacing(path) as hidden:
        hidden.write_text("".join(kept), encoding="utf-8")
