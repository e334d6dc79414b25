"""Bfloat16 instructions of CPUs (AMX, AVX-512) for training with samjax.

On a CPU, XLA multiplies bfloat16 matrices no faster than float32 ones. PyTorch's
kernels use AMX on CPUs that have it, ten times as fast for a matrix product, or else
the bfloat16 instructions of AVX-512, 2.6 times as fast; norm, GELU and attention take
one pass each. `install` makes JAX call these kernels in everything that is compiled
afterwards, for

- products of two bfloat16 arrays, and sums of bfloat16 arrays over all but the last
axes; - the model's layer norms and exact GELUs; - the image encoder's attention,
optionally: without relative positions, which is exact for
  weights in which they are zero (a fresh DINOv2, `small`), and keeps them zero.

Kernels accumulate in float32 and return bfloat16; so a product with a float32 result is
rounded to bfloat16 in between. Needs torch, a C++ compiler and a single device: sharded
arrays are gathered first.
"""

import ctypes
import functools
import math
import subprocess
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import mlir

SOURCE = Path(__file__).with_name("kernels.cc")
KERNELS = (
    "Dot",
    "Norm",
    "NormGradient",
    "Gelu",
    "GeluGradient",
    "Attention",
    "AttentionGradient",
    "RowSum",
)
# Below this many multiplications, or summands, a call costs more than it saves.
_LEAST_PRODUCTS, _LEAST_SUMMED = 2_000_000, 200_000
_Shape = jax.ShapeDtypeStruct


def is_supported() -> bool:
    """Returns whether this CPU has bfloat16 matrix instructions (Linux)."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return not flags.isdisjoint(("amx_bf16", "avx512_bf16"))


def build(folder: Path) -> Path:
    """Compiles the kernels, unless the folder has them already; returns the library.

    Raises:
        subprocess.CalledProcessError: The compiler failed; its messages are on stderr.
    """
    import torch

    library = folder / f"samjax_amx_{torch.__version__}_{jax.__version__}.so"
    if library.exists() and library.stat().st_mtime > SOURCE.stat().st_mtime:
        return library
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(torch.__file__).parent
    hidden = library.with_suffix(".tmp")
    command = ["c++", "-O2", "-std=c++20", "-shared", "-fPIC", "-w", str(SOURCE)]
    command += [f"-I{root}/include", f"-I{jax.ffi.include_dir()}", "-o", str(hidden)]
    command += [f"-L{root}/lib", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{root}/lib"]
    subprocess.run(command, check=True)
    return hidden.replace(library)


def install(library: Path, *, threads: int, attention: bool) -> None:
    """Makes JAX and the model call the kernels.

    Args:
        library: From `build`.
        threads: Number of threads per kernel.
        attention: Whether to replace the image encoder's attention by one without
            relative positions.
    """
    import torch

    torch.set_num_threads(threads)
    register(library)
    _lower_products()
    _lower_sums()
    _replace_layers(attention)


def register(library: Path) -> None:
    """Registers the kernels with JAX as FFI targets."""
    loaded = ctypes.CDLL(str(library))
    for name in KERNELS:
        capsule = jax.ffi.pycapsule(getattr(loaded, name))
        jax.ffi.register_ffi_target(f"samjax_amx_{name}", capsule, platform="cpu")


def _call(name: str, results: Any, *operands: Any, **attributes: Any) -> Any:
    return jax.ffi.ffi_call(f"samjax_amx_{name}", results)(*operands, **attributes)


def _lower_products() -> None:
    ours = jax.ffi.ffi_lowering("samjax_amx_Dot")
    theirs = _rule_of(lax.dot_general_p)

    def rule(ctx, lhs, rhs, *, dimension_numbers, **options):
        left, right = ctx.avals_in
        (inner, batch) = dimension_numbers
        (out,) = ctx.avals_out
        products = math.prod(out.shape) * math.prod(left.shape[i] for i in inner[0])
        is_ours = (
            left.dtype == right.dtype == jnp.bfloat16
            and out.dtype in (jnp.bfloat16, jnp.float32)
            and products >= _LEAST_PRODUCTS
        )
        if not is_ours:
            return theirs(ctx, lhs, rhs, dimension_numbers=dimension_numbers, **options)
        names = ("left_inner", "right_inner", "left_batch", "right_batch")
        axes = dict(zip(names, (*inner, *batch), strict=True))
        return ours(
            ctx, lhs, rhs, **{name: np.array(a, np.int64) for name, a in axes.items()}
        )

    mlir.register_lowering(lax.dot_general_p, rule, platform="cpu")


def _lower_sums() -> None:
    ours = jax.ffi.ffi_lowering("samjax_amx_RowSum")
    theirs = _rule_of(lax.reduce_sum_p)

    def rule(ctx, x, *, axes, **options):
        (operand,), (out,) = ctx.avals_in, ctx.avals_out
        is_ours = (
            operand.dtype == jnp.bfloat16
            and tuple(sorted(axes)) == tuple(range(len(axes)))
            and len(axes) < operand.ndim
            and operand.size >= _LEAST_SUMMED
            and operand.size // out.size >= 512
        )
        if not is_ours:
            return theirs(ctx, x, axes=axes, **options)
        return ours(ctx, x)

    mlir.register_lowering(lax.reduce_sum_p, rule, platform="cpu")


def _rule_of(primitive: Any) -> Any:
    """Returns JAX's own CPU lowering of a primitive; there is no public access to it."""
    for table in (mlir._platform_specific_lowerings["cpu"], mlir._lowerings):
        if primitive in table:
            rule = table[primitive]
            return getattr(rule, "rule", rule)
    raise ValueError(
        f"this version of JAX lowers {primitive} in a place not known here"
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def norm(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> jax.Array:
    """Layer normalization over the last axis, "... c"; statistics in float32."""
    return _norm_forward(x, scale, bias, epsilon)[0]


def _norm_forward(x, scale, bias, epsilon):
    statistics = _Shape((math.prod(x.shape[:-1]),), jnp.float32)
    results = (_Shape(x.shape, x.dtype), statistics, statistics)
    y, mean, deviation = _call("Norm", results, x, scale, bias, epsilon=float(epsilon))
    return y, (x, scale, bias, mean, deviation)


def _norm_backward(epsilon, kept, gradient):
    del epsilon
    results = tuple(_Shape(value.shape, value.dtype) for value in kept[:3])
    return tuple(_call("NormGradient", results, gradient, *kept))


norm.defvjp(_norm_forward, _norm_backward)


@jax.custom_vjp
def gelu(x: jax.Array) -> jax.Array:
    """The exact GELU."""
    return _call("Gelu", _Shape(x.shape, x.dtype), x)


gelu.defvjp(
    lambda x: (gelu(x), x),
    lambda x, gradient: (_call("GeluGradient", _Shape(x.shape, x.dtype), gradient, x),),
)


@jax.custom_vjp
def attention(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Softmax attention, "b n s d" each; the queries have to be scaled already."""
    return _attention_forward(query, key, value)[0]


def _attention_forward(query, key, value):
    sums = _Shape(query.shape[:3], jnp.float32)
    results = (_Shape(query.shape, query.dtype), sums)
    out, sums = _call("Attention", results, query, key, value)
    return out, (query, key, value, out, sums)


def _attention_backward(kept, gradient):
    result = _Shape(gradient.shape, gradient.dtype)
    return tuple(_call("AttentionGradient", (result,) * 3, gradient, *kept))


attention.defvjp(_attention_forward, _attention_backward)


class _Norm(nn.Module):
    """`nn.LayerNorm` on the kernel, with the same names of parameters."""

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x):
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (channels,))
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
        return norm(x.astype(self.dtype), scale, bias, self.epsilon)


def _replace_layers(with_attention: bool) -> None:
    from samjax.models import (
        image_encoder,
        layers,
        mask_decoder,
        prompt_encoder,
        two_way,
    )

    def layer_norm(epsilon, dtype, name=None):
        return _Norm(epsilon, dtype, name=name)

    def attend(query, key, value, rows, columns, kind="auto"):
        del rows, columns, kind
        return attention(query * query.shape[-1] ** -0.5, key, value)

    for module in (layers, image_encoder, mask_decoder, prompt_encoder, two_way):
        for name, function in (("layer_norm", layer_norm), ("gelu", gelu)):
            if hasattr(module, name):
                setattr(module, name, function)
    if with_attention:
        image_encoder.attend_with_relative_positions = attend
