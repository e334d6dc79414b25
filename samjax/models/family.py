"""Families of models: an architecture with its module, weight map and published weights.

SAM is in the files of this folder. Every further architecture is a folder beside them
whose module `family` has a `FAMILY`: its weights are then saved, loaded, converted and
released like SAM's, and nothing else is edited for it. A promptable one has a subclass
of `Sam` as its module, which replaces the parts that it does not share; `Predictor`
runs it.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samjax.models.config import Architecture
from samjax.models.weight_map import Entry

Shapes = Mapping[str, tuple[int, ...]]
"""Released name of a tensor to its shape in the release's layout."""


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Weights that have a name.

    Attributes:
        name: The name that `samjax.load` takes.
        file: Name of the published file; for bundled ones, in samjax's assets.
        config: Config of the model.
        parameters: Numbers in the model, the Fourier matrix included.
        licence: SPDX identifier of the weights' licence.
        source: Origin, for people.
        size: Bytes of the published file; None for bundled ones.
        sha256: Hash of the published file; None for bundled ones.
        bundled: Whether they come with samjax and need no network.
        folder_url: Address of the folder of the published file; "" for bundled ones.
    """

    name: str
    file: str
    config: Architecture
    parameters: int
    licence: str
    source: str
    size: int | None = None
    sha256: str | None = None
    bundled: bool = False
    folder_url: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """All that saving, loading and running the models of one architecture needs.

    Attributes:
        name: The word for it in files.
        config: Class of its configs.
        model: Class of its modules, made as `model(config, dtype=dtype)`.
        entries: The weight map: every array of the model of a config, once.
        marks: Regular expression of released names that only this family has.
        parts: First words of its released names.
        guess_config: Reads the config from the shapes of tensors with released names;
            returns the most likely one and the reasons against it.
        releases: Its published weights.
    """

    name: str
    config: type[Architecture]
    model: Callable[..., Any]
    entries: Callable[[Any], tuple[Entry, ...]]
    marks: str
    parts: tuple[str, ...]
    guess_config: Callable[[Shapes], tuple[Architecture, list[str]]]
    releases: tuple[PublishedWeights, ...] = ()


def sibling_families() -> Iterator[ModelFamily]:
    """Yields the families of the folders in this one, by name."""
    package = importlib.import_module(__package__ or "samjax.models")
    for folder in package.__path__:
        for module in pkgutil.iter_modules([folder]):
            # Other folders, such as those of layers, have no such file.
            if (Path(folder) / module.name / "family.py").is_file():
                name = f"{package.__name__}.{module.name}.family"
                yield importlib.import_module(name).FAMILY
