"""The command `samjax`: parses, calls the library and prints.

Each subcommand is a module here with a function `run(arguments)`, imported when it is
called, so that `samjax --help` is fast. Bad input ends with one line on standard error
and a non-zero status: 2 for an error in the command line itself, 1 for one in a file or
value that it names. SAMJAX_TRACEBACK=1 shows where an error was raised.
"""

import contextlib
import difflib
import importlib
import importlib.metadata
import os
import re
import sys
import warnings
from collections.abc import Iterator

from samjax.devices import explain
from samjax.terminal import guarded

COMMANDS = {
    "segment": "find the masks of photos from points, boxes, masks and texts",
    "everything": "find the masks of all that is in photos, folders and datasets",
    "convert": "turn a checkpoint into another format",
    "export": "write a model as ONNX, for browsers and other programs without JAX",
    "train": "train a model from a config",
    "evaluate": "measure a model on drawn scenes or on photos with masks",
    "data": "index tars of SA-1B, build a TFDS dataset of them; label photos by a model",
    "engine": "data engine: proposals, rounds, automatic masks, audits, blurring of faces",
    "serve": "segment and annotate a folder's images in a browser, or through an API",
    "info": "show devices, versions, models and the cache",
}


class UsageError(Exception):
    """An error in the command line; the message is one line."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    Args:
        arguments: The words after `samjax`; None takes them from the process.
    """
    with guarded():
        return _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: list[str]) -> int:
    """Runs a command; errors become one line and a status."""
    try:
        with _plain_warnings(), _flushed():
            return _dispatch(arguments)
    except KeyboardInterrupt:
        return _fail("stopped", status=130)
    except BrokenPipeError:
        # The reader of the output has closed it, as in `samjax info | head -1`. Python
        # would flush the closed pipe once more on exit, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UsageError as error:
        return _fail(str(error), status=2)
    except ImportError as error:
        if (error.name or "").startswith("samjax"):
            raise
        return _fail(f"{error} ({_install(error.name)})", status=1)
    except (ValueError, KeyError, OSError) as error:
        if os.environ.get("SAMJAX_TRACEBACK"):
            raise
        return _fail(_message(error), status=1)
    except Exception as error:
        said = explain(error)
        if said is None or os.environ.get("SAMJAX_TRACEBACK"):
            raise
        return _fail(said, status=1)


def _install(module: str | None) -> str:
    """Returns how to install a missing module: the extra of samjax that brings it."""
    # Modules of packages with a longer name: orbax of orbax-checkpoint.
    package = (module or "").partition(".")[0].replace("_", "-")
    try:
        requirements = importlib.metadata.requires("samjax") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements if package else ():
        name = re.match(r"[\w-]+", requirement)
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        distribution = f"{name[0]}-".replace("_", "-") if name else ""
        if extra and distribution.lower().startswith(f"{package}-".lower()):
            return f"run pip install 'samjax[{extra[1]}]'"
    return "docs/install.md lists the extras"


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows warnings of samjax as notes, without the line of code that raised them."""
    usual = warnings.formatwarning

    def shown(message, category, *place) -> str:
        if category is UserWarning:
            return f"samjax: note: {' '.join(str(message).split())}\n"
        return usual(message, category, *place)

    warnings.formatwarning = shown
    try:
        yield
    finally:
        warnings.formatwarning = usual


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Writes buffered output at the end, where a closed pipe is still caught."""
    try:
        yield
    except SystemExit:
        # Of `--help`.
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _dispatch(arguments: list[str]) -> int:
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if name == "--version":
        import samjax

        print(f"samjax {samjax.__version__}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see samjax --help"
        raise UsageError(f"there is no command {name!r}: {hint}")
    importlib.import_module(f"samjax.cli.{name}").run(rest)
    return 0


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {does}" for name, does in COMMANDS.items()]
    return "\n".join(
        [
            "usage: samjax [-h] [--version] COMMAND ...",
            "",
            "Segment Anything in JAX and Flax.",
            "",
            *lines,
            "",
            "samjax COMMAND --help lists its options.",
        ]
    )


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name]
        return ": ".join([*names, error.strerror.lower()])
    if problems := getattr(error, "problems", ()):
        # A CheckpointError lists everything that is wrong, in lines.
        shown = "; ".join(problems[:MAX_PROBLEMS])
        more = len(problems) - MAX_PROBLEMS
        summary = str(error).partition("\n")[0]
        return f"{summary} {shown}" + (f"; and {more} more" if more > 0 else "")
    # str() of a KeyError is the repr of its message.
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


def _fail(message: str, *, status: int) -> int:
    print("samjax:", " ".join(message.split()), file=sys.stderr)
    return status


MAX_PROBLEMS = 3
