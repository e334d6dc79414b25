"""The rewriting of relative positions for the flash kernel is exact."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from samjax.models.attention import attend_with_relative_positions, relative_positions
from samjax.models.attention.constraints import split_images, split_of
from samjax.models.attention.splash import attend_by_splash, padded_width

plain = relative_positions._attend
by_kernel = functools.partial(attend_by_splash, interpret=True)


def operands(batch, heads, height, width, head_dim, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 5)
    tokens = height * width
    query, key, value = (
        jax.random.normal(k, (batch, heads, tokens, head_dim)).astype(dtype)
        for k in keys[:3]
    )
    row_term, column_term = (
        2 * jax.random.normal(k, (batch, heads, tokens, side))
        for k, side in zip(keys[3:], (height, width))
    )
    return query * head_dim**-0.5, key, value, row_term, column_term


def with_gradients(attend, given):
    """The attended values, and the gradient of a random sum of them by each operand."""
    weights = jax.random.normal(jax.random.key(1), given[2].shape)

    def loss(*given):
        attended = attend(*given)
        return jnp.sum(weights * attended.astype(jnp.float32)), attended

    numbers = tuple(range(len(given)))
    gradient = jax.jit(jax.grad(loss, argnums=numbers, has_aux=True))
    gradients, attended = gradient(*given)
    return [attended, *gradients]


def deviation(ours, theirs):
    theirs = theirs.astype(jnp.float32)
    difference = jnp.abs(ours.astype(jnp.float32) - theirs).max()
    return float(difference / jnp.sqrt(jnp.mean(theirs**2)))


# A window, which leaves part of its tile empty, and a grid of several tiles that is no
# square, with heads of 80 as in ViT-H.
GRIDS = [(2, 2, 14, 14, 64), (1, 1, 24, 40, 80)]


@pytest.mark.parametrize("shape", GRIDS)
def test_the_kernel_agrees_with_the_plain_attention_and_its_gradients(shape):
    given = operands(*shape)
    ours, theirs = (with_gradients(f, given) for f in (by_kernel, plain))
    for one, other in zip(ours, theirs, strict=True):
        assert deviation(one, other) < 3e-5


def test_in_bfloat16_the_kernel_is_as_close_to_float32_as_the_plain_attention():
    shape = GRIDS[0]
    exact = with_gradients(plain, operands(*shape))
    given = operands(*shape, dtype=jnp.bfloat16)
    ours, theirs = (with_gradients(f, given) for f in (by_kernel, plain))
    for one, other, target in zip(ours, theirs, exact, strict=True):
        # It rounds the relative terms too.
        assert deviation(one, target) < 3 * deviation(other, target) < 0.3


def test_on_a_cpu_every_kind_computes_the_same_bits():
    query, key, value, *_ = operands(1, 2, 32, 40, 32)
    rows, columns = (
        jax.random.normal(jax.random.key(side), (side, side, 32)) for side in (32, 40)
    )
    auto, blocks, splash = (
        attend_with_relative_positions(query, key, value, rows, columns, kind)
        for kind in ("auto", "blocks", "splash")
    )
    assert (auto == blocks).all()
    assert (auto == splash).all()


def test_a_program_for_a_cpu_has_no_kernel_in_it():
    query, key, value, *_ = operands(1, 2, 32, 40, 32)
    rows, columns = jnp.zeros((32, 32, 32)), jnp.zeros((40, 40, 32))

    def kernels(kind):
        traced = jax.make_jaxpr(attend_with_relative_positions, static_argnums=5)(
            query, key, value, rows, columns, kind
        )
        return str(traced).count("pallas_call")

    assert kernels("auto") == 0
    assert kernels("splash") > 0


@pytest.mark.parametrize(
    ("head_dim", "height", "width", "lanes"),
    [(64, 64, 64, 256), (80, 64, 64, 256), (64, 14, 14, 128), (64, 96, 96, 384)],
)
def test_longer_vectors_fill_registers(head_dim, height, width, lanes):
    assert padded_width(head_dim, height, width) == lanes


MESH = AbstractMesh(
    (2, 4, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3
)


@pytest.mark.parametrize(
    ("batch", "heads", "spec"),
    [
        (16, 12, PartitionSpec(("data", "fsdp"), "tensor")),
        (16, 3, PartitionSpec(("data", "fsdp"), None)),
        (4, None, PartitionSpec(("data",), None)),
        (1, 2, PartitionSpec(None, "tensor")),
    ],
)
def test_a_mesh_splits_what_its_axes_divide(batch, heads, spec):
    assert split_of(batch, heads, MESH) == spec


def test_without_a_mesh_images_are_left_alone():
    x = jnp.zeros((4, 2))
    assert split_images(x) is x


ON_A_MESH = """
import jax, sys
sys.path.insert(0, {folder!r})
import splash_test as here

mesh = jax.make_mesh((2, 2), ("data", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
given = here.operands(2, 2, 4, 8, 32)
where = jax.NamedSharding(mesh, jax.P("data", "tensor"))
with jax.set_mesh(mesh):
    split = jax.jit(lambda *given: here.with_gradients(here.by_kernel, given))(
        *jax.device_put(given, where)
    )
assert split[0].sharding.is_equivalent_to(where, 4), split[0].sharding
for one, other in zip(split, here.with_gradients(here.plain, given), strict=True):
    assert here.deviation(one, jax.device_get(other)) < 1e-5
"""


def test_on_a_mesh_every_device_attends_within_its_own_images_and_heads():
    code = ON_A_MESH.format(folder=os.path.dirname(__file__))
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4"}
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr[-2000:]
