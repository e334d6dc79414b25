"""Widgets for notebooks: `Clicker` segments objects of an image by clicks and boxes.

    from samjax.notebook import Clicker
    clicker = Clicker(predictor, image)
    clicker

`clicker` is the widget; `session`, `results` and `es_modules` are pure functions of its
state, its masks and its front end. The front end is in `static`, on modules of the page
of `samjax serve`.

Needs the extra `widget`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samjax.notebook.clicker import Clicker

__all__ = ["Clicker"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'samjax.notebook' has no attribute {name!r}")
    try:
        import anywidget  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"samjax.notebook needs a package that is missing ({error.name}): "
            "pip install 'samjax[widget]', and restart the kernel"
        ) from error
    from samjax.notebook.clicker import Clicker

    return Clicker
