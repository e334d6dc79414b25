"""Progress off a terminal: lines now and then, and what time is left."""

import pytest

from samjax.cli import progress
from samjax.cli.progress import counted, show_progress, show_steps


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_lines_come_now_and_then_with_the_time_left(clock, capsys):
    with show_progress("label", 10, seconds_between_lines=60.0) as display:
        assert not display.is_terminal and display.total == 10
        display.advance("seen", was_done_before=True)
        for _ in range(3):
            clock.now += 40
            display.advance("some masks")
    # After 80 s; three of the ten are done, one of them before, at 40 s each.
    assert capsys.readouterr().err.splitlines() == [
        "3 of 10: some masks; some 5 min left"
    ]


def test_without_an_interval_there_are_only_lines_that_are_printed(clock, capsys):
    with show_progress("everything", 2) as display:
        clock.now += 1000
        display.advance("1 image")
        display.update(2.0, "2 images")
        display.print("samjax: skipped a\x1b[2Jb.png")
    assert capsys.readouterr().err == "samjax: skipped a\\x1b[2Jb.png\n"


def test_steps_pass_as_they_are(capsys):
    assert list(show_steps("index", ["a", "b"], "tars")) == ["a", "b"]
    assert list(show_steps("verify", iter([1, 2]), "images", 2)) == [1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images")]
)
def test_a_noun_agrees_with_its_number(count, words):
    assert counted(count, "image") == words
    assert counted(count, "person", "people") == words.replace(
        "images", "people"
    ).replace("image", "person")
