import threading
import time

from samjax.training.runtime.watchdog import Watchdog


def test_a_step_that_does_not_come_ends_the_process_and_says_which(capfd):
    ended = threading.Event()
    watchdog = Watchdog(ended.set)
    watchdog.allow(0.1, after=41)
    assert ended.wait(5)
    assert "nothing was finished for 0.1 s after step 41" in capfd.readouterr().err


def test_steps_that_come_in_time_do_not():
    ended = threading.Event()
    watchdog = Watchdog(ended.set)
    for step in range(12):
        watchdog.allow(0.6, after=step)
        time.sleep(0.1)
    watchdog.close()
    time.sleep(1.2)
    assert not ended.is_set()


def test_a_process_that_is_alone_is_not_watched():
    before = threading.active_count()
    Watchdog(None)
    assert threading.active_count() == before
