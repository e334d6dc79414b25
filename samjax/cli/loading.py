"""Loading of a command's model, with its progress on the screen."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from samjax.cli.compilation import keep_compiled_programs

if TYPE_CHECKING:
    from samjax.inference import Predictor


def load_predictor(model: str, dtype: str) -> "Predictor":
    """Loads weights by name or path, and prints how long that took."""
    keep_compiled_programs()

    import samjax
    from samjax.devices import find_devices

    # Before the weights are read: without a device that would be wasted time.
    find_devices()
    start = time.perf_counter()
    predictor = samjax.Predictor(*samjax.load(model, dtype=dtype))
    print(f"{model} loaded in {time.perf_counter() - start:.2f} s")
    return predictor


def files_of_model(model: str) -> tuple[Path, ...]:
    """Returns the files that weights are read from, which no result may replace.

    Args:
        model: A name, or a file or folder, with or without a prefix such as `mae:`.
    """
    path = Path(model.rpartition(":")[2]).expanduser()
    if path.is_dir():
        return tuple(sorted(file for file in path.iterdir() if file.is_file()))
    return (path,)
