"""Command lines from types: tyro, with its boxed errors brought down to one line."""

import contextlib
import io
import os
import re
import sys
import types
import warnings
from typing import TypeVar

import tyro

from samjax.cli import UsageError
from samjax.terminal import unguarded

T = TypeVar("T")

# The model of every command that is not told another: it comes with samjax.
DEFAULT_MODEL = "small"


def parse(
    kind: type[T] | types.UnionType,
    command: str,
    arguments: list[str],
    default: T | None = None,
) -> T:
    """Returns an instance of a dataclass, filled from command-line words.

    Prints the help and exits where the words ask for it.

    Args:
        kind: Its docstring and its fields' docstrings are the help. Of a union of
            several the first word says which it is.
        command: What stands before the words, for the help: `samjax segment`.
        arguments: The words.
        default: The instance that words override; None takes the fields' defaults.

    Raises:
        UsageError: The words do not fit, with the first thing that does not.
    """
    shown = io.StringIO()
    try:
        # Help comes with colours.
        colours = contextlib.redirect_stdout(unguarded(sys.stdout))
        with contextlib.redirect_stderr(shown), colours:
            if default is None:
                return tyro.cli(kind, prog=command, args=arguments)  # pyright: ignore
            return tyro.cli(kind, prog=command, args=arguments, default=default)  # pyright: ignore
    except SystemExit as exit:
        if not exit.code:
            raise
    raise UsageError(f"{_first_section(shown.getvalue())} (see {command} --help)")


def value_of(option: str, arguments: list[str]) -> str | None:
    """Returns the value of an option, read before the command line is parsed.

    For options that decide which others there are. The last one counts.

    Args:
        option: The option, such as `--suite`.
        arguments: The words of the command line.
    """
    value = None
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word == option:
            value = following or None
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value


def bound_pixels(most: int | None) -> None:
    """Carries out `--max-pixels`: bounds images for this process and those it starts.

    Raises:
        UsageError: It is negative.
        ValueError: It is not given, and `SAMJAX_MAX_PIXELS` is no number.
    """
    from PIL import Image

    from samjax.data.bounds import PIXELS, max_pixels

    if most is not None:
        if most < 0:
            raise UsageError(f"--max-pixels {most}: expected a number of pixels, or 0")
        os.environ[PIXELS] = str(most)
    max_pixels()
    # What is above the bound is refused, in words that say how to lift it.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def parse_share(text: str) -> tuple[int, int]:
    """Reads INDEX/COUNT: which part of shared work is a process's.

    Raises:
        UsageError: It is not of this form.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not int(found[1]) < int(found[2]):
        raise UsageError(
            f"--share {text}: expected INDEX/COUNT, such as 0/4, with an index below "
            "the count"
        )
    return int(found[1]), int(found[2])


def _first_section(boxed: str) -> str:
    """The first thing that a box of tyro's says, and its guess at what was meant."""
    if "Missing from" in boxed:
        # The names are indented once, what they mean twice.
        listed = boxed.partition("Missing from")[2].partition("For full")[0]
        names = re.findall(r"^\S {5}(\S.*?) *\S?$", listed, re.MULTILINE)
        return f"not given: {', '.join(names)}"
    lines = [line.strip(" │|") for line in boxed.splitlines()]
    sections: list[list[str]] = [[]]
    for line in lines:
        # Rules part the sections; the upper edge of the box carries its title.
        if re.match(r"[─╭╰+-]{2}", line) and not line.startswith("--"):
            sections.append([])
        else:
            sections[-1].append(line)
    said = [" ".join(section) for section in sections if section]
    if not said:
        return "the command line is not understood"
    guess = re.search(r"Perhaps you meant: *(--[\w.-]+)", " ".join(said))
    hint = f"; perhaps you meant {guess[1]}" if guess else ""
    return said[0].rstrip(".") + hint
