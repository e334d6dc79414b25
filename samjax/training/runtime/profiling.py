"""JAX profile of some steps, for TensorBoard or Perfetto."""

from pathlib import Path
from typing import Any

import jax


class Profiler:
    """Records a profile of devices and host during some steps.

    Args:
        directory: Folder of the profile.
        steps: Number of steps to record; 0 for none.
        skip: Steps before them, during which programs compile and queues fill.
    """

    def __init__(self, directory: Path, *, steps: int, skip: int = 3):
        self._directory, self._steps, self._skip = directory, steps, skip
        self._seen, self._is_on = 0, False

    def before_step(self) -> None:
        """Starts recording before the first recorded step."""
        if self._steps and self._seen == self._skip:
            jax.profiler.start_trace(str(self._directory))
            self._is_on = True
        self._seen += 1

    def after_step(self, result: Any) -> None:
        """Ends recording after the last recorded step, when its result is ready."""
        if self._is_on and self._seen == self._skip + self._steps:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Ends recording and writes the profile, if it is still open."""
        if self._is_on:
            jax.profiler.stop_trace()
            self._is_on = False
