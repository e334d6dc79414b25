"""Command lines from dataclasses: tyro, with its boxed errors reduced to one line."""

import contextlib
import io
import os
import re
import sys
import types
import warnings
from typing import Any, TypeVar, get_args

import tyro

from samjax.cli import UsageError
from samjax.terminal import unguarded

T = TypeVar("T")

# The default models of every command, without and with texts; both are in the package.
DEFAULT_MODEL = "small"
DEFAULT_TEXT_MODEL = "small_text"


def parse(
    kind: type[T] | types.UnionType,
    command: str,
    arguments: list[str],
    default: T | None = None,
) -> T:
    """Parses arguments into an instance of a dataclass.

    Prints the help and exits for `--help`.

    Args:
        kind: The dataclass, whose docstring and fields' docstrings are the help; or a
            union, of which the first argument selects a subcommand.
        command: The command before the arguments, for the help: `samjax segment`.
        arguments: The arguments.
        default: Instance with the default values; None for those of the fields.

    Raises:
        UsageError: The arguments do not fit, with the first problem.
    """
    shown = io.StringIO()
    try:
        # Help has colours, which a guarded stream would escape.
        colours = contextlib.redirect_stdout(unguarded(sys.stdout))
        with contextlib.redirect_stderr(shown), colours:
            if default is None:
                return tyro.cli(kind, prog=command, args=arguments)  # pyright: ignore
            return tyro.cli(kind, prog=command, args=arguments, default=default)  # pyright: ignore
    except SystemExit as exit:
        if not exit.code:
            raise
    named = arguments[:1] if _is_subcommand(kind, arguments) else []
    help_of = " ".join([command, *named])
    raise UsageError(f"{_first_section(shown.getvalue())} (see {help_of} --help)")


def _is_subcommand(kind: Any, arguments: list[str]) -> bool:
    """Returns whether the first argument names one of the kinds of a union."""
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else ()
    return arguments[:1] in [[kind.__name__.lower()] for kind in kinds]


def value_of(option: str, arguments: list[str]) -> str | None:
    """Returns the value of an option, read before the command line is parsed.

    For options that decide which others there are. The last one counts.

    Args:
        option: The option, such as `--suite`.
        arguments: The words of the command line.
    """
    value = None
    # Not strict: without arguments there is one follower, and no word.
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if word == option:
            value = following or None
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value


def bound_pixels(most: int | None) -> None:
    """Applies `--max-pixels` to this process and the processes that it starts.

    Raises:
        UsageError: It is negative.
        ValueError: It is None, and `SAMJAX_MAX_PIXELS` is no number.
    """
    from PIL import Image

    from samjax.data.bounds import PIXELS, max_pixels

    if most is not None:
        if most < 0:
            raise UsageError(f"--max-pixels {most}: expected a number of pixels, or 0")
        os.environ[PIXELS] = str(most)
    max_pixels()
    # Larger images are refused with an error that names the option, so that Pillow's own
    # warning is superfluous.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def parse_share(text: str, option: str = "--share") -> tuple[int, int]:
    """Parses INDEX/COUNT, a process's part of shared work.

    Args:
        text: The value.
        option: Its option, for the message.

    Raises:
        UsageError: It is not of this form.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not int(match[1]) < int(match[2]):
        raise UsageError(
            f"{option} {text}: expected INDEX/COUNT, such as 0/4, with an index below "
            "the count"
        )
    return int(match[1]), int(match[2])


def _first_section(boxed: str) -> str:
    """Returns the first problem in an error box of tyro, and the option it suggests."""
    if "Missing from" in boxed:
        # Names are indented once, their descriptions twice.
        listed = boxed.partition("Missing from")[2].partition("For full")[0]
        names = re.findall(r"^\S {5}(\S.*?) *\S?$", listed, re.MULTILINE)
        return f"not given: {', '.join(names)}"
    lines = [line.strip(" │|") for line in boxed.splitlines()]
    sections: list[list[str]] = [[]]
    for line in lines:
        # Rules separate sections; the upper edge of the box holds its title.
        if re.match(r"[─╭╰+-]{2}", line) and not line.startswith("--"):
            sections.append([])
        else:
            sections[-1].append(line)
    texts = [" ".join(section) for section in sections if section]
    if not texts:
        return "the command line is not understood"
    guess = re.search(r"Perhaps you meant: *(--[\w.-]+)", " ".join(texts))
    hint = f"; perhaps you meant {guess[1]}" if guess else ""
    return texts[0].rstrip(".") + hint
