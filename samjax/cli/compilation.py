"""Persistent cache of compiled programs, across calls of the command."""

import os


def keep_compiled_programs() -> None:
    """Enables JAX's persistent compilation cache, in samjax's cache folder.

    Without it every call of the command would compile the model again, which takes longer
    than the work itself. A folder that the user has set for JAX's cache is kept.
    """
    import jax

    from samjax.files import cache_folder

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
    # JAX's default caches only programs that took a second to compile; a call of the
    # command consists of many smaller ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
