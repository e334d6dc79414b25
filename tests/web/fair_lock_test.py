import threading
import time

from samjax.web.fair_lock import FairLock


def test_who_comes_again_and_again_lets_others_in_between():
    lock, order = FairLock(), []
    begun, stop = threading.Event(), threading.Event()

    def again_and_again():
        while not stop.is_set():
            with lock:
                order.append("many")
                begun.set()
                time.sleep(0.001)

    thread = threading.Thread(target=again_and_again)
    thread.start()
    begun.wait()
    for _ in range(20):
        before = len(order)
        with lock:
            # At most what was being done already, and one that had asked before.
            assert len(order) - before <= 2
    stop.set()
    thread.join()


def test_it_is_held_by_one_at_a_time_and_given_on_after_an_error():
    lock, inside, most = FairLock(), [0], [0]

    def some():
        for number in range(50):
            try:
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1
                    if number % 3 == 0:
                        raise ValueError
            except ValueError:
                pass

    threads = [threading.Thread(target=some) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
