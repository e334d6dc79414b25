"""Compiled programs, kept between calls of the command."""

import os


def keep_compiled_programs() -> None:
    """Turns on JAX's persistent compilation cache, in samjax's cache folder.

    Without it every call of the command would compile the model again, for longer than
    the work takes. A folder that the user named for JAX's cache is left as it is.
    """
    import jax

    from samjax.files import cache_folder

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
    # JAX keeps only what took a second to compile; a call is many smaller programs.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
