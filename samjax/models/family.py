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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
        config: Config of the model; None where its file alone has it, as a vocabulary is
            part of it.
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
    config: Architecture | None
    parameters: int
    licence: str
    source: str
    size: int | None = None
    sha256: str | None = None
    bundled: bool = False
    folder_url: str = ""


ReadConfig = Callable[[Mapping[str, Any]], tuple[Architecture, list[str]]]
"""Reads the content of a JSON file, trusting none of it: a config, and what is wrong."""


class Piece(NamedTuple):
    """A tensor of transformers: an equal share of a released one's first axis.

    Attributes:
        name: Its name.
        is_transposed: Whether its two axes are swapped.
    """

    name: str
    is_transposed: bool = False


@dataclass(frozen=True, kw_only=True)
class HuggingFaceForm:
    """The form of a family's weights in transformers.

    Attributes:
        model_type: The word for it in `config.json`.
        marks: Regular expression of names that only its tensors have.
        parts: First words of its names.
        ignored: Regular expression of names of tensors that are no parameters.
        pieces: The tensors that an array of the weight map consists of, in order.
        read_config: Reads the content of `config.json`.
        write_config: Returns the content of `config.json` for a config.
    """

    model_type: str
    marks: str
    parts: tuple[str, ...]
    ignored: str
    pieces: Callable[[Entry], tuple[Piece, ...]]
    read_config: ReadConfig
    write_config: Callable[[Any], dict[str, Any]]


class FlaxPiece(NamedTuple):
    """An array of a Flax checkpoint that differs from a released one in its axes.

    Attributes:
        name: Its name, the keys of the maps joined by "/".
        stored: Its shape in the file.
        merged: The shape with adjacent axes merged.
        order: Axes of `merged` in the order of the release.
    """

    name: str
    stored: tuple[int, ...]
    merged: tuple[int, ...]
    order: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FlaxForm:
    """The form of a family's weights in checkpoints of Flax, which are read only.

    Attributes:
        marks: Regular expression of names that only its files have.
        ignored: Regular expression of names of arrays that are no part of the model.
        optional: Regular expressions of released names that files may lack, which are
            filled with zeros, each with what a warning says then.
        read_config: Reads the config from the shapes of the arrays; returns the most
            likely one and the reasons against it.
        pieces: The arrays, of a file with these shapes, that an array of the weight map
            consists of, joined along the first axis of the release.
    """

    marks: str
    ignored: str
    optional: tuple[tuple[str, str], ...]
    read_config: Callable[[Shapes], tuple[Any, list[str]]]
    pieces: Callable[[Entry, Shapes], tuple[FlaxPiece, ...]]


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
        ignored: Regular expression of released names of tensors that are no parameters.
        config_files: Names of the files beside weights under released names that have
            their config, and how they are read.
        hugging_face: Its form in transformers, where it has one.
        flax: Its form in checkpoints of Flax that its authors published.
    """

    name: str
    config: type[Architecture]
    model: Callable[..., Any]
    entries: Callable[[Any], tuple[Entry, ...]]
    marks: str
    parts: tuple[str, ...]
    guess_config: Callable[[Shapes], tuple[Architecture, list[str]]]
    releases: tuple[PublishedWeights, ...] = ()
    ignored: str = ""
    config_files: Mapping[str, ReadConfig] = field(default_factory=dict)
    hugging_face: HuggingFaceForm | None = None
    flax: FlaxForm | None = None


def sibling_families() -> Iterator[ModelFamily]:
    """Yields the families of the folders in this one, by name."""
    package = importlib.import_module(__package__ or "samjax.models")
    for folder in package.__path__:
        for module in pkgutil.iter_modules([folder]):
            # Other folders, such as those of layers, have no such file.
            if (Path(folder) / module.name / "family.py").is_file():
                name = f"{package.__name__}.{module.name}.family"
                yield importlib.import_module(name).FAMILY
