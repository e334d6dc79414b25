"""Thousands of damaged files: the right numbers, or the one error, soon and in little memory.

Each file is mutated by a seed: bits, bytes, runs of them, cuts, pieces moved, doubled
or filled, numbers replaced by extreme ones, in the header and anywhere.
"""

import random
import time
import tracemalloc

import jax
import numpy as np
import pytest

from samjax.checkpoints import CheckpointError, convert, load
from samjax.geometry.frame import Frame
from samjax.inference import ImageEmbedding

pytestmark = pytest.mark.exhaustive

MUTATIONS = 2000
SECONDS = 10
EXTREME = (
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\xff" * 8,
    b"Infinity",
    b"1e999",
    b"[[[[[[[[",
    b"-1",
    b"NaN",
    b"\x1b[2J",
)


def mutate(content: bytes, seed: int, head: int) -> bytes:
    """One damaged version of a file; half of them are damaged in its first `head` bytes
    or as many last ones, where all that is told of the rest stands."""
    draw = random.Random(seed)
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        size = len(data)
        if not size:
            break
        near = min(head, size)
        place = draw.choice((draw.randrange(near), size - 1 - draw.randrange(near),
                             draw.randrange(size), draw.randrange(size)))  # fmt: skip
        length = min(draw.choice((1, 2, 4, 8, 64, 1000)), size - place)
        part = slice(place, place + length)
        match draw.randrange(8):
            case 0 | 1:
                data[place] ^= 1 << draw.randrange(8)
            case 2:
                data[part] = draw.randbytes(length)
            case 3:
                del data[part]
            case 4:
                data[part] = data[part] * 2
            case 5:
                extreme = draw.choice(EXTREME)
                data[place : place + len(extreme)] = extreme
            case 6:
                other = draw.randrange(size)
                data[part] = data[other : other + length]
            case 7:
                del data[place:]
    return bytes(data)


def assert_survives(path, content, head, read, right, error):
    """Reads all mutations of a file, and counts what became of them."""
    same = refused = 0
    for seed in range(MUTATIONS):
        mutated = mutate(content, seed, head)
        path.write_bytes(mutated)
        start = time.process_time()
        value, caught, peak = traced(read, path, error)
        assert time.process_time() - start < SECONDS, seed
        if caught is None:
            assert right(value, mutated), f"seed {seed} loads other numbers"
            same += 1
        else:
            # One clear error: it names the file, and can be shown.
            assert path.name in str(caught), seed
            assert str(caught).isprintable() or "\n" in str(caught), seed
            refused += 1
        most = 2 * len(content) + ROOM
        if peak >= most:
            # What other threads and a collection allocate meanwhile is counted too, in one
            # of a thousand readings on Python 3.13; a reader takes as much every time.
            _, _, peak = traced(read, path, error)
        assert peak < most, f"seed {seed} takes {peak} bytes"
    print(f"{path.name}: {same} right, {refused} refused of {MUTATIONS}")
    assert refused > MUTATIONS / 2


def traced(read, path, error):
    """Returns the value or the error of a reading, and the most memory it took."""
    value = caught = None
    tracemalloc.start()
    try:
        value = read(path)
    except error as expected:
        caught = expected
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return value, caught, peak


# What reading takes whatever the file: Python's own objects, compiled regular
# expressions, an error with its traceback.
ROOM = 2**20


def leaves_of(tree) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def equal_to(config, params):
    expected = leaves_of(params)

    def is_right(loaded, _) -> bool:
        model, found = loaded
        leaves = leaves_of(found)
        return model.config == config and all(
            np.array_equal(leaves[name], leaf) for name, leaf in expected.items()
        )

    return is_right


def test_no_mutation_of_a_pth_loads_other_numbers(tmp_path, own_file, config, params):
    path = convert(own_file, tmp_path / "a.pth")
    head = 20_000
    assert_survives(
        path, path.read_bytes(), head, load, equal_to(config, params), CheckpointError
    )


def test_no_mutation_of_the_own_form_loads_other_numbers(own_file, config, params):
    content = own_file.read_bytes()
    head = 8 + int.from_bytes(content[:8], "little")
    assert_survives(
        own_file, content, head, load, equal_to(config, params), CheckpointError
    )


def test_no_mutation_of_released_names_does_more_than_change_numbers(
    tmp_path, own_file, config
):
    """The form has no checksum: what is loaded is what the file says."""
    path = convert(own_file, tmp_path / "a.safetensors", format="safetensors")
    content = path.read_bytes()
    head = 8 + int.from_bytes(content[:8], "little")

    def is_right(loaded, mutated) -> bool:
        model, found = loaded
        same_sizes = (
            set(leaves_of(found)) and model.config.embed_dim == config.embed_dim
        )
        finite = all(np.isfinite(leaf).all() for leaf in leaves_of(found).values())
        return bool(same_sizes) and finite

    assert_survives(path, content, head, load, is_right, CheckpointError)


def test_no_mutation_of_an_embedding_is_another_embedding(tmp_path, rng):
    features = rng.standard_normal((8, 8, 16)).astype(np.float32)
    frame = Frame.fit((31, 57), 64)
    path = tmp_path / "photo.embedding"
    ImageEmbedding(jax.device_put(features), frame, "abc").save(path)

    def is_right(embedding, _) -> bool:
        same = embedding.frame == frame and embedding.fingerprint == "abc"
        return same and np.array_equal(np.asarray(embedding.features), features)

    assert_survives(
        path, path.read_bytes(), 500, ImageEmbedding.load, is_right, ValueError
    )
