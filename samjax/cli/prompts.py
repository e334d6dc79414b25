"""Prompts of the command line."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from samjax.cli import UsageError
from samjax.cli.photos import read_mask
from samjax.prompts import KINDS, Prompt
from samjax.prompts.kind import MaskFile, Option

Grouping = Literal["kind", "each", "one"]

OPTIONS = tuple(kind.option for kind in KINDS if kind.option is not None)


class GivenPrompt(NamedTuple):
    """A prompt of the command line.

    Attributes:
        prompt: The prompt, in pixels of each photo that it is applied to.
        words: The prompt in one line, for the output.
        record: The prompt as fields of the JSON results.
    """

    prompt: Prompt
    words: str
    record: Mapping[str, Any]


def _option_field(option: Option) -> tuple[str, Any, Any]:
    """Returns an option that may be repeated, as a field of a dataclass."""
    values = tuple[Path, ...] if option.is_file else tuple[str, ...]
    argument = tyro.conf.arg(metavar=option.metavar, help=option.help)
    return (
        option.name,
        Annotated[tyro.conf.UseAppendAction[values], argument],
        dataclasses.field(default=()),
    )


PromptOptions = dataclasses.make_dataclass(
    "PromptOptions",
    [_option_field(option) for option in OPTIONS],
    frozen=True,
    kw_only=True,
)
"""The options of all kinds of prompts; each is a tuple of its values as given."""


def read_prompts(options: Any, group: Grouping) -> list[GivenPrompt]:
    """Makes prompts from options of the command line.

    Args:
        options: `PromptOptions`.
        group: `kind` makes one prompt of all points, and one of each box and each mask;
            `each` makes one of each point, too; `one` makes one of everything.

    Raises:
        UsageError: A value is malformed, there is no prompt, or the prompts cannot be
            grouped so.
        ValueError: A file is no mask.
        OSError: A file cannot be read.
    """
    values = {
        option.name: [_read(option, value) for value in getattr(options, option.name)]
        for option in OPTIONS
    }
    if not any(values.values()):
        names = [f"--{option.name}" for option in OPTIONS]
        raise UsageError(
            f"there is no prompt: give {', '.join(names[:-1])} or {names[-1]}"
        )
    if group == "one":
        _check_one_prompt(values)
        return [_given_prompt(values)]
    groups = []
    for option in OPTIONS:
        of_option = values[option.name]
        if option.is_joined and group == "kind":
            groups += [{option.name: of_option}] if of_option else []
        else:
            groups += [{option.name: [value]} for value in of_option]
    prompts = [_given_prompt(given) for given in groups]
    if group == "each":
        for given in prompts:
            if len(given.prompt.labels) and not given.prompt.labels.any():
                raise UsageError(
                    f"the {given.words} is a background point, which is no prompt "
                    "alone: leave out --group each"
                )
    return prompts


def _read(option: Option, value: Any) -> Any:
    if option.is_file:
        return MaskFile(value, read_mask(value))
    try:
        return option.read(value)
    except ValueError as error:
        raise UsageError(f"--{option.name} {value}: {error}") from None


def _check_one_prompt(values: Mapping[str, Sequence[Any]]) -> None:
    """Checks that a prompt has one value at most of each option that is not joined."""
    single = [option.name for option in OPTIONS if not option.is_joined]
    if any(len(values[name]) > 1 for name in single):
        raise UsageError(
            f"--group one takes one {' and one '.join(single)}, got "
            f"{' and '.join(str(len(values[name])) for name in single)}: leave it out to "
            "make a prompt of each"
        )


def _given_prompt(values: Mapping[str, Sequence[Any]]) -> GivenPrompt:
    """Makes a prompt from the values of each option."""
    fields, words, record = {}, [], {}
    for option in OPTIONS:
        of_option = values.get(option.name, ())
        if of_option:
            fields |= option.fields(of_option)
        words += [option.words(value) for value in of_option]
        record |= option.record(of_option)
    return GivenPrompt(Prompt(**fields), " + ".join(words), record)
