"""JAX's devices, and errors of devices as messages of one line.

For a missing device JAX raises RuntimeError, or AssertionError without a message where a
platform has no plug-in; its out-of-memory errors are pages of allocator statistics.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any


class DeviceError(RuntimeError):
    """A device is missing or cannot run the computation; the message is one line."""


def find_devices() -> Sequence[Any]:
    """Returns the devices of JAX's default platform.

    Raises:
        DeviceError: there are none, of the platform in `JAX_PLATFORMS` or of any.
    """
    import jax

    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        platforms = _selected_platforms()
        reason = (
            " ".join(str(error).split())[:MAX_CHARACTERS] or "JAX has no plug-in for it"
        )
        if not platforms:
            raise DeviceError(f"JAX finds no device: {reason}") from error
        raise DeviceError(
            f"JAX_PLATFORMS is {platforms!r}, and this machine has no such device "
            f"({reason}): expected {', '.join(PLATFORMS)}, or several separated by "
            "commas. Unset JAX_PLATFORMS to let JAX choose; a GPU needs its driver and "
            "JAX's build for it (pip install 'samjax[gpu]')"
        ) from error


def _selected_platforms() -> str | None:
    """Returns the platforms that JAX is configured for; None for its own choice."""
    import jax

    # The setting is initialized from the environment.
    setting = getattr(jax.config, "jax_platforms", None)
    return setting or os.environ.get("JAX_PLATFORMS")


def explain(error: BaseException) -> str | None:
    """Returns a one-line message for an error of a device; None for other errors.

    Args:
        error: any exception.
    """
    if isinstance(error, DeviceError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {str(error) or 'on the host'}. {LESS_MEMORY}"
    if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):
        return None
    message = " ".join(str(error).split())
    if "RESOURCE_EXHAUSTED" in message or "out of memory" in message.lower():
        size = re.search(r"allocat\w* (\d+)", message)
        amount = f" for {int(size[1]) / 2**30:.1f} GiB" if size else ""
        return f"out of memory{amount} on the device. {LESS_MEMORY}"
    return f"the device failed: {message[:MAX_CHARACTERS]}"


PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
MAX_CHARACTERS = 300
LESS_MEMORY = (
    "Use less memory: a smaller model; --dtype bfloat16; in everything mode lower "
    "--points-per-batch and --in-flight, and --tiles for very large images; in training "
    "a lower batch_size or a higher accumulate of the stage"
)
