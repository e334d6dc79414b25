"""The command as a whole: help, errors in one line, statuses, interruption."""

import os
import subprocess
import sys

import pytest

import samjax
from samjax import cli
from samjax.checkpoints import CheckpointError


def run(capfd, *arguments) -> tuple[int, str, str]:
    """Runs the command in this process; returns its status and what it printed."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as exit:
        status = int(exit.code or 0)
    printed = capfd.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_and_a_docstring(capfd, name):
    status, out, err = run(capfd, name, "--help")
    assert status == 0 and not err
    assert f"usage: samjax {name}" in out


def test_the_overview_names_every_command(capfd):
    status, out, _ = run(capfd, "--help")
    assert status == 0
    assert all(f"  {name} " in out for name in cli.COMMANDS)
    status, out, _ = run(capfd)
    assert status == 2 and "usage: samjax" in out


def test_the_version_is_the_packages(capfd):
    assert run(capfd, "--version") == (0, f"samjax {samjax.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segmnt"], "there is no command 'segmnt': did you mean 'segment'?"),
        (["xyzzy"], "see samjax --help"),
        (["segment", "--pont", "1,2"], "--pont, 1,2; perhaps you meant --point"),
        (["segment", "--group", "all"], "invalid choice 'all'"),
        (["engine", "audit", "--pont"], "(see samjax engine audit --help)"),
        (["engine", "audt"], "(see samjax engine --help)"),
        (["convert"], "not given: SOURCE, DESTINATION"),
        (["info", "more"], "more"),
        (["train"], "no config is named"),
        (["evaluate", "--scenes", "0"], "expected at least 1"),
        (["train", "--resume"], "before a config"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(capfd, arguments, said):
    status, _, err = run(capfd, *arguments)
    assert status == 2
    assert said in err
    assert err.startswith("samjax: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("got 1,\n  expected 2"), "got 1, expected 2"),
        (KeyError("no 'x'"), "no 'x'"),
        (FileNotFoundError(2, "No such file", "a.jpg"), "a.jpg: no such file"),
        (
            CheckpointError("Bad.", ["a", "b", "c", "d", "e"]),
            "Bad. a; b; c; and 2 more",
        ),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "named 'cv2'"),
        (ModuleNotFoundError("No 'optax'", name="optax"), "install 'samjax[train]'"),
        (ModuleNotFoundError("No", name="orbax.checkpoint"), "install 'samjax[train]'"),
        (ModuleNotFoundError("No", name="huggingface_hub"), "install 'samjax[hub]'"),
        (ModuleNotFoundError("No module named 'o'", name="o"), "lists the extras"),
        (ImportError("cannot import name 'x'"), "lists the extras"),
    ],
)
def test_an_error_below_is_one_line_and_status_1(capfd, monkeypatch, error, said):
    def fail(arguments):
        raise error

    monkeypatch.setattr("samjax.cli.info.run", fail)
    status, out, err = run(capfd, "info")
    assert (status, out) == (1, "")
    assert said in err
    assert err.startswith("samjax: ") and err.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(arguments):
        raise TypeError("a bug")

    monkeypatch.setattr("samjax.cli.info.run", fail)
    with pytest.raises(TypeError):
        cli.main(["info"])


def test_where_an_error_arose_can_be_seen(monkeypatch):
    def fail(arguments):
        raise ValueError("bad input")

    monkeypatch.setattr("samjax.cli.info.run", fail)
    monkeypatch.setenv("SAMJAX_TRACEBACK", "1")
    with pytest.raises(ValueError):
        cli.main(["info"])


def test_an_interruption_is_status_130(capfd, monkeypatch):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("samjax.cli.info.run", interrupt)
    assert run(capfd, "info") == (130, "", "samjax: stopped\n")


# With buffers, output that is short is written when the program ends.
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["convert", "--help"], ["--version"]])
def test_a_reader_that_goes_away_is_no_error(words, unbuffered):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "samjax", *words],
            stdout=closed,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
            text=True,
        )
    assert done.stderr == ""


def test_info_tells_versions_devices_models_and_the_cache(capfd, private_cache):
    before = set(private_cache.iterdir())
    status, out, err = run(capfd, "info")
    assert status == 0 and not err
    for told in ("jaxlib", "cpu:0", "tiny", "vit_h", "641.1 M", str(private_cache)):
        assert told in out
    assert set(private_cache.iterdir()) == before
