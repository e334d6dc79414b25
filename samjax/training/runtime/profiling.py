"""A profile of some steps, for TensorBoard or Perfetto."""

from pathlib import Path
from typing import Any

import jax


class Profiler:
    """Records what devices and host do during some steps.

    Args:
        directory: Where the profile goes.
        steps: How many steps are recorded; 0 for none.
        skip: Steps before them, in which programs are compiled and queues fill.
    """

    def __init__(self, directory: Path, *, steps: int, skip: int = 3):
        self._directory, self._steps, self._skip = directory, steps, skip
        self._seen, self._is_on = 0, False

    def before_step(self) -> None:
        """Starts recording when it is time to."""
        if self._steps and self._seen == self._skip:
            jax.profiler.start_trace(str(self._directory))
            self._is_on = True
        self._seen += 1

    def after_step(self, result: Any) -> None:
        """Ends recording when it is time to, after the device has the step's result."""
        if self._is_on and self._seen == self._skip + self._steps:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Writes what was recorded, if that was not done."""
        if self._is_on:
            jax.profiler.stop_trace()
            self._is_on = False
