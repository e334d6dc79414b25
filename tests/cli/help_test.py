"""Help texts name options that exist."""

import re

import pytest

from samjax import cli
from samjax.cli.train import TrainAny

CONFIG = "configs/train/synthetic_tiny.py"

# Command lines with a help text of their own, but for `--help`.
HELPS = [
    "segment",
    "everything",
    "convert",
    "export decoder",
    "export encoder",
    "export --demo x",
    f"train {CONFIG}",
    "evaluate",
    "data index",
    "data build",
    "data verify",
    "data stats",
    "data label",
    "engine simulate",
    "engine snapshot",
    "engine blur",
    "serve",
    "info",
]

OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*[\w]")


def help_of(command: str, monkeypatch, capfd) -> str:
    """The help text of a command, in lines that are long enough for every option."""
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit:
        cli.main([*command.split(), "--help"])
    assert exit.value.code == 0
    return re.sub(r"\x1b\[[\d;]*m", "", capfd.readouterr().out)


def options(text: str) -> set[str]:
    """The options that a help text defines: those that begin a line of a box.

    Descriptions are indented further; boxes may stand side by side.
    """
    starts = re.findall(r"│ ((?:-\w, )?--.*?)(?:  |│)", text)
    return {option for start in starts for option in OPTION.findall(start)}


@pytest.mark.parametrize("command", HELPS)
def test_every_option_that_a_help_names_exists(command, monkeypatch, capfd):
    text = help_of(command, monkeypatch, capfd)
    defined = options(text)
    assert "--help" in defined
    assert set(OPTION.findall(text)) <= defined


def test_the_help_of_training_any_config_names_options_that_exist(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["train", "--help"]) == 0
    text = re.sub(r"\x1b\[[\d;]*m", "", capfd.readouterr().out)
    assert "CONFIG" in text and TrainAny.__doc__ is not None
    named = set(OPTION.findall(text))
    assert {"--stages.0.steps", "--out", "--bounds.step"} <= named
    assert named <= options(help_of(f"train {CONFIG}", monkeypatch, capfd))


def test_every_command_has_its_help_looked_at():
    assert {command.split()[0] for command in HELPS} == set(cli.COMMANDS)
