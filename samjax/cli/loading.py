"""The model that a command asks."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from samjax.cli.compilation import keep_compiled_programs

if TYPE_CHECKING:
    from samjax.inference import Predictor


def load_predictor(model: str, dtype: str) -> "Predictor":
    """Loads weights by name or path, and says how long that took."""
    keep_compiled_programs()

    import samjax
    from samjax.devices import find_devices

    # Before the weights are read: no device makes that worth the time.
    find_devices()
    start = time.perf_counter()
    predictor = samjax.Predictor(*samjax.load(model, dtype=dtype))
    print(f"{model} loaded in {time.perf_counter() - start:.2f} s")
    return predictor


def files_of_model(model: str) -> tuple[Path, ...]:
    """The files that weights are read from, which no result is written over.

    Args:
        model: A name, which has none, or a file or folder, of which `mae:` and such may
            tell the kind.
    """
    path = Path(model.rpartition(":")[2]).expanduser()
    if path.is_dir():
        return tuple(sorted(one for one in path.iterdir() if one.is_file()))
    return (path,)
