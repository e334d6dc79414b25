"""Training state on disk: Orbax checkpoints that name the config they belong to.

A checkpoint is written to a temporary folder and renamed when it is whole, so a run
that is killed at any instant finds its last whole checkpoint. Checksums of its files are
stored beside it: a checkpoint that was damaged later is detected, and the one before it
is used. Each of many processes writes the shards of its devices, to a folder that all of
them see; any number of processes and devices can restore it. Needs the `train` extra.
"""

import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import multihost_utils
from orbax import checkpoint as ocp

from samjax.checkpoints.checksums import find_damage, is_sealed, seal
from samjax.checkpoints.errors import CheckpointError
from samjax.files import set_aside

CHECKPOINTS = "checkpoints"
"""Folder of a run's checkpoints, in that of the run."""


class Restored(NamedTuple):
    """Contents of a checkpoint.

    Attributes:
        state: The arrays.
        progress: Further state that the run needs to go on, as JSON types.
        notes: Remarks for the user: newer checkpoints that are damaged, and fields of
            the config that have changed.
    """

    state: Any
    progress: dict[str, Any]
    notes: tuple[str, ...] = ()


def newest_step(directory: Path) -> int | None:
    """Returns the step of the newest whole checkpoint of a folder, or None.

    Unlike a `TrainStore` it changes nothing in the folder, which need not exist.

    Args:
        directory: The folder.
    """
    if not directory.is_dir():
        return None
    # One that is being written has a longer name.
    steps = [int(path.name) for path in directory.iterdir() if path.name.isdigit()]
    return max(steps, default=None)


def check_is_new(out: Path) -> None:
    """Checks that a folder has no run.

    Args:
        out: The folder.

    Raises:
        ValueError: It has the checkpoint of a run.
    """
    step = newest_step(out / CHECKPOINTS)
    if step is not None:
        raise ValueError(
            f"{out} holds a run at step {step}: go on with it (--resume, resume=True), or "
            "give an empty folder"
        )


class TrainStore:
    """The checkpoints of one run, in one folder.

    Args:
        directory: The folder; made when it does not exist. Where there are many
            processes it has to be the same one for all of them.
        keep: Newest checkpoints that are kept.
        config: Config of the run, as JSON types; saved with every checkpoint, and
            compared when one is restored.
        asynchronous: Whether checkpoints are written in the background; by default
            where there is an accelerator.
        may_change: Fields of the config, such as `optimizer.clip_norm`, that may
            differ when a run is resumed.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int,
        config: Mapping[str, Any],
        asynchronous: bool | None = None,
        may_change: Collection[str] = (),
    ):
        # A line for every array of every save drowns the run's own.
        logging.getLogger("absl").setLevel(logging.WARNING)
        self._directory = Path(directory).absolute()
        self._config = json.loads(json.dumps(config))
        self._may_change = may_change
        # Steps of checkpoints that are saved, but without checksums yet.
        self._unsealed: set[int] = set()
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
        """Step of the newest whole checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, progress: Mapping[str, Any]) -> None:
        """Saves the state after `step` steps, unless it has been saved.

        All processes have to call this. Errors while a checkpoint is written in the
        background are raised by the next `save`, or by `close`.

        Args:
            step: Steps done.
            state: Arrays; they may be donated to the next step.
            progress: Further state that resuming needs, as JSON types.
        """
        if step in self._manager.all_steps():
            return
        if self._unsealed:
            self._manager.wait_until_finished()
            self._seal()
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                config=ocp.args.JsonSave(self._config),
                progress=ocp.args.JsonSave(dict(progress)),
            ),
        )
        self._unsealed.add(step)
        if not self._manager.is_saving_in_progress():
            self._seal()

    def restore(self, template: Any) -> Restored:
        """Restores the newest checkpoint that is whole.

        Damaged ones that are newer are renamed, and named in the notes.

        Args:
            template: A state of the same structure: arrays, or shapes with the sharding
                of each array, which need not be that of the saved one.

        Returns:
            The state, bit for bit, and what was saved with it.

        Raises:
            CheckpointError: There is none, none is whole, or it belongs to another
                config.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        if not steps:
            raise CheckpointError(
                f"no checkpoint in {self._directory}: start the run without resuming"
            )
        damaged: dict[int, str] = {}
        for step in steps:
            problem = _agreed(find_damage(self._folder(step)))
            if not problem:
                try:
                    restored = self._restore(step, template)
                except CheckpointError:
                    raise
                except _OF_DAMAGE as error:
                    problem = self._damage_behind(step, error)
                else:
                    notes = self._put_aside(damaged, step)
                    return restored._replace(notes=(*notes, *restored.notes))
            damaged[step] = problem
        raise CheckpointError(
            f"no checkpoint in {self._directory} is whole: remove them, or start in an"
            " empty folder",
            [f"{self._folder(step)}: {problem}" for step, problem in damaged.items()],
        )

    def _folder(self, step: int) -> Path:
        return self._directory / str(step)

    def _restore(self, step: int, template: Any) -> Restored:
        json_items = {name: ocp.args.JsonRestore() for name in ("config", "progress")}
        saved = self._manager.restore(step, args=ocp.args.Composite(**json_items))
        different = _differences(saved["config"], self._config)
        changed = {name: text for name, text in different if name in self._may_change}
        if len(changed) < len(different):
            raise CheckpointError(
                f"the checkpoint {self._folder(step)} is of another config:"
                " resume with the same one, or start in an empty folder",
                [text for name, text in different if name not in changed],
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
        notes = tuple(f"going on with another {text}" for text in changed.values())
        return Restored(restored["state"], saved["progress"], notes)

    def _damage_behind(self, step: int, error: Exception) -> str:
        """Describes the damage of a checkpoint that could not be read.

        Raises:
            CheckpointError: It is not damaged, as far as is known.
        """
        message = " ".join(str(error).split())[:300] or type(error).__name__
        # Other processes wait in the same call; a checkpoint whose checksums match is
        # not damaged.
        is_other = isinstance(error, MemoryError | PermissionError)
        is_other |= isinstance(error, jax.errors.JaxRuntimeError)
        if is_other or jax.process_count() > 1 or is_sealed(self._folder(step)):
            raise CheckpointError(
                f"the checkpoint {self._folder(step)} cannot be restored ({message}): if it"
                " is damaged, remove it to go on from the one before"
            ) from error
        return message

    def _put_aside(self, damaged: Mapping[int, str], step: int) -> list[str]:
        """Renames damaged checkpoints, so that their steps can be saved again."""
        if not damaged:
            return []
        notes = []
        for damaged_step, problem in damaged.items():
            aside = f"{damaged_step}.damaged"
            if jax.process_index() == 0:
                aside = set_aside(self._folder(damaged_step)).name
            notes.append(
                f"the checkpoint {self._folder(damaged_step)} is damaged ({problem}): it"
                f" is now {aside}, and the run goes on from step {step}"
            )
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("damaged checkpoints are renamed")
        self._manager.reload()
        return notes

    def _seal(self) -> None:
        """Writes the checksums of checkpoints that are whole."""
        for step in self._unsealed:
            if jax.process_index() == 0 and self._folder(step).is_dir():
                seal(self._folder(step))
        self._unsealed.clear()

    def close(self) -> None:
        """Waits for checkpoints that are being written or deleted."""
        try:
            self._manager.wait_until_finished()
            self._seal()
        finally:
            self._manager.close()


# The errors of Orbax, TensorStore and JSON for damaged files.
_OF_DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
)


def _agreed(problem: str) -> str:
    """Broadcasts the first process's finding to all processes."""
    if jax.process_count() == 1:
        return problem
    is_damaged = multihost_utils.broadcast_one_to_all(jax.numpy.int32(bool(problem)))
    return (problem or "its checksums differ") if int(is_damaged) else ""


def _differences(saved: Any, given: Any, path: str = "") -> list[tuple[str, str]]:
    """Lists the leaves in which two trees of JSON types differ, and how."""
    if isinstance(saved, dict) and isinstance(given, dict):
        lines = []
        for key in sorted(saved.keys() | given.keys()):
            inner = f"{path}.{key}" if path else key
            lines += _differences(saved.get(key), given.get(key), inner)
        return lines
    if saved == given:
        return []
    return [(path, f"{path}: checkpoint has {saved!r}, this run has {given!r}")]
