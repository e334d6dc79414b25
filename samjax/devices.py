"""What JAX computes on, and its errors in one line of plain words.

JAX says that a device is missing with a RuntimeError, or an AssertionError without a
word where a platform has no plug-in, and that memory has run out with pages of figures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any


class DeviceError(RuntimeError):
    """A device that is not there, or that cannot do what was asked; one line."""


def find_devices() -> Sequence[Any]:
    """Returns the devices of the platform that JAX computes on.

    Raises:
        DeviceError: there are none, of the platform that `JAX_PLATFORMS` asks for or
            of any.
    """
    import jax

    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = _asked_for()
        reason = " ".join(str(error).split())[:MAX_WORDS] or "JAX has no plug-in for it"
        if not asked:
            raise DeviceError(f"JAX finds nothing to compute on: {reason}") from error
        raise DeviceError(
            f"JAX_PLATFORMS asks for {asked!r}, and there is no such device here "
            f"({reason}): expected {', '.join(PLATFORMS)}, or several with commas "
            "between. Unset JAX_PLATFORMS to let JAX choose; a GPU needs its driver and "
            "JAX's build for it (pip install 'samjax[gpu]')"
        ) from error


def _asked_for() -> str | None:
    """The platforms that JAX is to use; None where it is to choose."""
    import jax

    # JAX's setting starts as the environment's.
    setting = getattr(jax.config, "jax_platforms", None)
    return setting or os.environ.get("JAX_PLATFORMS")


def explain(error: BaseException) -> str | None:
    """Says in one line what a device's error means; None if it is not one.

    Args:
        error: anything that was raised.
    """
    if isinstance(error, DeviceError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {str(error) or 'on the host'}. {LESS_MEMORY}"
    if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):
        return None
    said = " ".join(str(error).split())
    if "RESOURCE_EXHAUSTED" in said or "out of memory" in said.lower():
        size = re.search(r"allocat\w* (\d+)", said)
        wanted = f" for {int(size[1]) / 2**30:.1f} GiB" if size else ""
        return f"out of memory{wanted} on the device. {LESS_MEMORY}"
    return f"the device failed: {said[:MAX_WORDS]}"


PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
MAX_WORDS = 300
LESS_MEMORY = (
    "What takes less: a smaller model; --dtype bfloat16; in everything mode lower "
    "--points-per-batch and --in-flight, and --tiles for very large images; in training "
    "a lower batch_size or a higher accumulate of the stage"
)
