"""Random mutations of files, and a guard of time and memory around their reading."""

import contextlib
import json
import signal
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np

# A reader may take twice the file, and this for itself, of files that are small.
MEMORY = 8 << 20
SECONDS = 10

ODD_VALUES = (
    *(0, -1, 1, 2**31, 2**32, 2**63, 10**30, 1e308, -0.5, 20.0, float("nan")),
    *(float("inf"), None, True, "", "1", "a", "\x00", "../x", "x" * 300),
    *([], {}, [[]], [1, 2], {"size": [1, 1]}, [[1, 2], [3, 4], [5, 6]]),
)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damages bytes in one to three places."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(len(data) or 1))
        stop = start + int(rng.integers(1, 9))
        match int(rng.integers(8)):
            case 0:
                data[start : start + 1] = bytes([rng.integers(256)])
            case 1:
                data[start:stop] = rng.bytes(len(data[start:stop]))
            case 2:
                data[start:stop] = b""
            case 3:
                data[start:start] = data[start:stop]
            case 4:
                data[start:start] = rng.bytes(stop - start)
            case 5:
                data[start:stop] = bytes(
                    [int(rng.choice([0, 255]))] * len(data[start:stop])
                )
            case 6:
                # Digits decide what lengths and sizes are.
                digits = [i for i, one in enumerate(data) if 48 <= one < 58]
                if digits:
                    data[int(rng.choice(digits))] = int(rng.integers(48, 58))
            case 7:
                data[start:] = b"" if rng.random() < 0.3 else data[start:]
    return bytes(data)


def mutate_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Damages JSON: its text, or a value somewhere in it."""
    if rng.random() < 0.5:
        return mutate(content, rng)
    value = json.loads(content)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(value))
        holder, key = places[int(rng.integers(len(places)))]
        match int(rng.integers(4)):
            case 0 | 1:
                holder[key] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
            case 2:
                del holder[key]
            case 3:
                other, place = places[int(rng.integers(len(places)))]
                # Through text, so that nothing holds itself.
                copied = json.loads(json.dumps(other[place]))
                holder[key] = copied
    return json.dumps(value).encode()


def _places(value) -> Iterator[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


@contextlib.contextmanager
def guarded(file_bytes: int):
    """Fails if its body takes too much time or memory."""

    def give_up(*_):
        raise AssertionError(f"took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    tracemalloc.start()
    began = time.monotonic()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert peak <= 2 * file_bytes + MEMORY, f"took {peak} bytes"
    assert time.monotonic() - began < SECONDS
