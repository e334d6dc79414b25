"""Former path of `samjax.engine.run`, for scripts that use it."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    # On use, and by name: `inference` lies below `engine` and does not import it.
    return getattr(importlib.import_module("samjax.engine.run"), name)
