"""PyTorch's bfloat16 kernels agree with JAX, within bfloat16's rounding."""

import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

TOOLS = Path(__file__).parents[2] / "tools"
# Units in the last of the eight bits of bfloat16, and sums of a few such roundings.
TOLERANCE = 0.03

pytestmark = [pytest.mark.slow, pytest.mark.parity]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """The kernels, called by name; the lowerings of the other tests stay JAX's."""
    pytest.importorskip("torch")
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    sys.path.insert(0, str(TOOLS))
    try:
        from amx import kernels
    finally:
        sys.path.remove(str(TOOLS))
    if not kernels.is_supported():
        pytest.skip("a CPU without AMX")
    kernels.register(kernels.build(tmp_path_factory.mktemp("amx")))
    return kernels


def draw(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape, jnp.bfloat16)


def assert_close(ours, theirs):
    ours, theirs = (np.asarray(x, np.float32) for x in (ours, theirs))
    assert ours.shape == theirs.shape
    rms = np.sqrt(np.mean(np.square(theirs)))
    np.testing.assert_array_less(np.abs(ours - theirs), TOLERANCE * (rms + abs(theirs)))


def gradients(function, *operands):
    """The gradients of a weighted sum of the results, in the operands' dtype."""

    def total(*operands):
        out = function(*operands).astype(jnp.float32)
        return jnp.sum(out * jnp.cos(jnp.arange(out.size)).reshape(out.shape))

    numbers = tuple(range(len(operands)))
    return jax.jit(jax.grad(total, argnums=numbers))(*operands)


@pytest.mark.parametrize(
    ("left", "right", "axes"),
    [
        ((32, 48), (48, 16), (((1,), (0,)), ((), ()))),
        ((48, 32), (16, 48), (((0,), (1,)), ((), ()))),
        ((3, 5, 16, 8), (5, 3, 8, 24), (((3,), (2,)), ((0, 1), (1, 0)))),
        ((4, 6, 8, 10), (6, 10, 4), (((1, 3), (0, 1)), ((), ()))),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_product_over_any_axes_equals_that_of_jax(kernels, left, right, axes, dtype):
    a, b = draw(0, *left), draw(1, *right)
    exact = jax.lax.dot_general(
        a.astype(jnp.float32), b.astype(jnp.float32), dimension_numbers=axes
    )
    (inner, batch) = axes
    names = ("left_inner", "right_inner", "left_batch", "right_batch")
    attributes = {
        name: np.array(value, np.int64)
        for name, value in zip(names, (*inner, *batch), strict=True)
    }
    shape = jax.ShapeDtypeStruct(exact.shape, dtype)
    assert_close(kernels._call("Dot", shape, a, b, **attributes), exact)


def test_a_norm_and_its_gradients_equal_those_of_jax(kernels):
    x, scale, bias = draw(0, 6, 700, 32), 1.0 + draw(1, 32), draw(2, 32)
    scale, bias = scale.astype(jnp.float32), bias.astype(jnp.float32)

    def exact(x, scale, bias):
        x = x.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.mean(centred**2, -1, keepdims=True)
        scale, bias = (p.reshape(1, 1, -1) for p in (scale, bias))
        return centred / jnp.sqrt(variance + 1e-6) * scale + bias

    def ours(x, scale, bias):
        return kernels.norm(x, scale, bias, 1e-6)

    assert_close(ours(x, scale, bias), exact(x, scale, bias))
    for a, b in zip(
        gradients(ours, x, scale, bias), gradients(exact, x, scale, bias), strict=True
    ):
        assert_close(a, b)


def test_gelu_and_its_gradient_are_the_exact_ones(kernels):
    x = 3 * draw(0, 40, 70)

    def exact(x):
        return jax.nn.gelu(x.astype(jnp.float32), approximate=False)

    assert_close(kernels.gelu(x), exact(x))
    assert_close(*gradients(kernels.gelu, x), *gradients(exact, x))


def test_attention_and_its_gradients_equal_those_of_softmax(kernels):
    query, key, value = (draw(seed, 2, 3, 100, 16) for seed in range(3))

    def exact(query, key, value):
        query, key, value = (x.astype(jnp.float32) for x in (query, key, value))
        logits = jnp.einsum("bnqd,bnkd->bnqk", query, key)
        return jnp.einsum("bnqk,bnkd->bnqd", jax.nn.softmax(logits), value)

    query = query * 0.25
    assert_close(kernels.attention(query, key, value), exact(query, key, value))
    for a, b in zip(
        gradients(kernels.attention, query, key, value),
        gradients(exact, query, key, value),
        strict=True,
    ):
        assert_close(a, b)


def test_a_sum_over_rows_is_accumulated_in_float32(kernels):
    x = 1.0 + draw(0, 3, 700, 8)
    shape = jax.ShapeDtypeStruct((8,), jnp.bfloat16)
    exact = x.astype(jnp.float32).sum((0, 1))
    ours = kernels._call("RowSum", shape, x).astype(jnp.float32)
    np.testing.assert_allclose(ours, exact, rtol=2**-7)
