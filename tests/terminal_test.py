"""Names from files are shown on the terminal, whatever they hold."""

import io
import sys

import pytest

from samjax.checkpoints import CheckpointError
from samjax.cli import main
from samjax.terminal import Guarded, bar, bar_console, guarded, printable, unguarded


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a photo.jpg", "a photo.jpg"),
        ("größe, 写真, фото", "größe, 写真, фото"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\rb\bc\x7f", r"a\rb\x08c\x7f"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2066a\u2069\ufeff\u2028", r"\u2066a\u2069\ufeff\u2028"),
        # A file name of Latin-1, as Python gives it on a system of UTF-8.
        (b"gr\xfc\xdfe.jpg".decode("utf-8", "surrogateescape"), r"gr\udcfc\udcdfe.jpg"),
        (3, "3"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text, shown):
    assert printable(text) == shown
    shown.encode("utf-8")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b1A\udcff"


def is_safe(text: str) -> bool:
    return "owned" in text and not set("\x1b\x07\x9b\udcff") & set(text)


def test_everything_that_is_printed_passes_the_guard(capsys):
    with guarded():
        print(HOSTILE)
        print(HOSTILE, file=sys.stderr)
        sys.stdout.writelines([HOSTILE, "\r\n"])
    out, err = capsys.readouterr()
    assert is_safe(out) and is_safe(err)
    assert out.endswith("\n") and out.count("owned") == 2
    print("\x1b[0m")
    assert capsys.readouterr().out == "\x1b[0m\n"


class Screen(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def test_bars_draw_and_what_is_printed_meanwhile_is_shown(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    with guarded(), bar("work", 2) as (progress, task, console):
        assert console.is_terminal
        print(HOSTILE.replace("\udcff", ""))
        progress.advance(task)
        progress.refresh()
    drawn = screen.getvalue()
    assert "\x1b[" in drawn and r"\x1b]0;owned\x07\x1b[2J\x9b1A" in drawn
    assert "\x1b]" not in drawn and "\x1b[2J" not in drawn and "\x9b" not in drawn


def test_a_console_for_bars_writes_past_the_guard():
    with guarded():
        assert isinstance(sys.stderr, Guarded)
        assert bar_console().file is unguarded(sys.stderr) is not sys.stderr
        assert bar_console(stderr=False).file is unguarded(sys.stdout)
    assert unguarded(sys.stderr) is sys.stderr


def test_errors_about_checkpoints_are_safe_to_print_anywhere():
    error = CheckpointError(f"{HOSTILE} cannot be read.", [HOSTILE])
    assert is_safe(str(error)) and is_safe(error.problems[0])


def test_the_command_shows_names_of_files_and_of_what_is_in_them(tmp_path, capsys):
    assert main(["segment", str(tmp_path / "\x1b[2Jowned.png"), "--point", "1,1"]) == 1
    assert main([f"no\x1b[2J{HOSTILE}"]) == 2
    err = capsys.readouterr().err
    assert is_safe(err) and err.count("samjax: ") == 2
