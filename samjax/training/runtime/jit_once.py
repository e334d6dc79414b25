"""Compilation of programs that run once."""

from collections.abc import Callable
from typing import Any

import jax


def jit_once(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Returns `jax.jit(function, **options)` for a program that runs once, by itself.

    On a CPU it is compiled at the lowest level of optimization: parameters of a hundred
    shapes are drawn by a program that takes three times as long to compile otherwise.
    """
    is_on_cpu = jax.default_backend() == "cpu"
    level = {"xla_backend_optimization_level": 0} if is_on_cpu else None
    return jax.jit(function, compiler_options=level, **options)
