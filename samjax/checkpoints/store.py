"""Training state on disk: Orbax checkpoints that name the config they belong to.

A checkpoint is written to a temporary folder and renamed when it is whole, so a run
that is killed at any instant finds its last whole checkpoint. Of many processes each
writes what its devices hold, to a folder that all of them see; any number of processes
and devices reads it again. Needs the `train` extra.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax import checkpoint as ocp

from samjax.checkpoints.errors import CheckpointError


class Restored(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        state: The arrays.
        progress: What else the run has to know to go on, as JSON types.
    """

    state: Any
    progress: dict[str, Any]


class TrainStore:
    """The checkpoints of one run, in one folder.

    Args:
        directory: The folder; made when it does not exist. Where there are many
            processes it has to be the same one for all of them.
        keep: Newest checkpoints that are kept.
        config: What the run is, as JSON types; saved with every checkpoint, and
            compared when one is restored.
        asynchronous: Whether checkpoints are written while the run goes on; by default
            where there is an accelerator.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int,
        config: Mapping[str, Any],
        asynchronous: bool | None = None,
    ):
        # A line for every array of every save drowns the run's own.
        logging.getLogger("absl").setLevel(logging.WARNING)
        self._directory = Path(directory).absolute()
        self._config = json.loads(json.dumps(config))
        if asynchronous is None:
            # On a CPU the arrays' own memory would be written while the next step, to
            # which they are donated, overwrites it.
            asynchronous = jax.default_backend() != "cpu"
        policy = ocp.checkpoint_managers.preservation_policy.LatestN(keep)
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=asynchronous,
            ),
        )

    @property
    def latest_step(self) -> int | None:
        """The newest whole checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, progress: Mapping[str, Any]) -> None:
        """Saves the state after `step` steps; does nothing if it is there already.

        All processes have to call this. What goes wrong while a checkpoint is written
        in the background is raised by the next `save`, or by `close`.

        Args:
            step: Steps done.
            state: Arrays; they may be donated to the next step.
            progress: What else the run has to know to go on, as JSON types.
        """
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                config=ocp.args.JsonSave(self._config),
                progress=ocp.args.JsonSave(dict(progress)),
            ),
        )

    def restore(self, template: Any) -> Restored:
        """Restores the newest checkpoint.

        Args:
            template: A state of the same structure: arrays, or shapes that may say
                where each array shall lie, which need not be where it lay.

        Returns:
            The state, bit for bit, and what was saved with it.

        Raises:
            CheckpointError: There is none, or it belongs to another config.
        """
        step = self.latest_step
        if step is None:
            raise CheckpointError(
                f"no checkpoint in {self._directory}: start the run without resuming"
            )
        json_items = {name: ocp.args.JsonRestore() for name in ("config", "progress")}
        saved = self._manager.restore(step, args=ocp.args.Composite(**json_items))
        different = _differences(saved["config"], self._config)
        if different:
            raise CheckpointError(
                f"the checkpoint {self._directory / str(step)} is of another config:"
                " resume with the same one, or start in an empty folder",
                different,
            )
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=getattr(x, "sharding", None)
            ),
            template,
        )
        restored = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        )
        return Restored(restored["state"], saved["progress"])

    def close(self) -> None:
        """Waits for what is being written or deleted."""
        self._manager.close()


def _differences(saved: Any, given: Any, path: str = "") -> list[str]:
    """Lists the leaves in which two trees of JSON types differ."""
    if isinstance(saved, dict) and isinstance(given, dict):
        lines = []
        for key in sorted(saved.keys() | given.keys()):
            inner = f"{path}.{key}" if path else key
            lines += _differences(saved.get(key), given.get(key), inner)
        return lines
    if saved == given:
        return []
    return [f"{path}: checkpoint has {saved!r}, this run has {given!r}"]
