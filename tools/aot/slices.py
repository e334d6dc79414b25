"""TPU slices by their usual names, and the peak rates of their chips."""

import os
import re
from dataclasses import dataclass
from typing import Any

from samjax.training.runtime.flops import peak_flops

# Set before libtpu is loaded, which happens with the first topology: two processes may
# compile at once; no metadata server is queried and no log is written.
QUIET_AND_ALONE = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_LOG_DIR": "disabled",
    "TPU_SKIP_MDS_QUERY": "1",
}


@dataclass(frozen=True, kw_only=True)
class Chip:
    """Peak rates of a kind of chip.

    Sources: the pages of cloud.google.com/tpu/docs for v5e, v5p and v6e (read 2026-11);
    the lower one of differing figures.

    Attributes:
        kind: JAX's name of the chip.
        memory: Bandwidth of the main memory, bytes per second.
        links: Bandwidth to other chips, bytes per second, all links together, one way.
        usable: Bytes of memory available to a program, according to the compiler.
    """

    kind: str
    memory: float
    links: float
    usable: float

    @property
    def flops(self) -> float:
        """Peak of bfloat16 products, FLOPs per second."""
        peak = peak_flops(self.kind, "bfloat16")
        assert peak is not None, f"{self.kind} has no entry in flops.PEAKS"
        return peak


CHIPS = {
    "v5e": Chip(kind="TPU v5 lite", memory=800e9, links=200e9, usable=15.75 * 2**30),
    "v5p": Chip(kind="TPU v5", memory=2765e9, links=600e9, usable=95.74 * 2**30),
    "v6e": Chip(kind="TPU v6 lite", memory=1600e9, links=400e9, usable=31.25 * 2**30),
}

# Chips of a slice to its shape.
FLAT = {
    4: "2x2",
    8: "2x4",
    16: "4x4",
    32: "4x8",
    64: "8x8",
    128: "8x16",
    256: "16x16",
}
CUBIC = {
    4: "2x2x1",
    8: "2x2x2",
    16: "2x2x4",
    32: "2x4x4",
    64: "4x4x4",
    128: "4x4x8",
    256: "4x8x8",
    512: "8x8x8",
}


class MissingCompiler(RuntimeError):
    """There is no TPU compiler on this machine."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice of a TPU pod.

    Attributes:
        name: Name given by the user.
        chip: Peak rates of its chips.
        topology: Name of the topology for the compiler.
        chips_per_host: Chips per host along each axis.
        wrap: Whether each axis is a ring.
    """

    name: str
    chip: Chip
    topology: str
    chips_per_host: tuple[int, ...]
    wrap: tuple[bool, ...]

    def devices(self) -> list[Any]:
        """Returns the compiler's devices, one per chip.

        Raises:
            MissingCompiler: libtpu is not installed, or does not work.
        """
        for name, value in QUIET_AND_ALONE.items():
            os.environ.setdefault(name, value)
        from jax.experimental import topologies

        try:
            topology = topologies.get_topology_desc(
                platform="tpu",
                topology_name=self.topology,
                chips_per_host_bounds=self.chips_per_host,
                wrap=self.wrap,
            )
        except Exception as error:
            raise MissingCompiler(
                "no TPU compiler: install libtpu, in the version of this jax, with"
                f" pip install 'jax[tpu]' ({type(error).__name__}: {error})"
            ) from error
        return list(topology.devices)


def find_slice(name: str) -> Slice:
    """Finds a slice by its usual name, such as `v5e-8` or `v5p-64`.

    The number is that of chips for v5e and v6e, and of cores for v5p, with two per
    chip: v5p-64 has 32 chips. `v5p:2x2x2` is a shape in chips.

    Raises:
        ValueError: No such slice is known.
    """
    match = re.fullmatch(r"(v5e|v5litepod|v5p|v6e)(?:-(\d+)|:([\dx]+))", name)
    if match:
        kind = "v5e" if match[1] == "v5litepod" else match[1]
        shapes = CUBIC if kind == "v5p" else FLAT
        shape = match[3]
        if shape is None:
            chips = int(match[2]) / (2 if kind == "v5p" else 1)
            shape = shapes.get(int(chips)) if chips == int(chips) else None
        if shape is not None and shape in shapes.values():
            return _slice(name, kind, shape)
    raise ValueError(
        f"got the slice {name!r}, expected v5e-N or v6e-N of N chips"
        f" ({', '.join(map(str, FLAT))}), v5p-N of N cores"
        f" ({', '.join(str(2 * chips) for chips in CUBIC)}), or a shape: v5p:2x2x2"
    )


def _slice(name: str, kind: str, shape: str) -> Slice:
    sides = tuple(map(int, shape.split("x")))
    if kind == "v5p":
        # Only whole cubes of four are connected in rings.
        wrap = tuple(side % 4 == 0 and min(sides) >= 4 for side in sides)
        per_host = (2, 2, 1)
    else:
        wrap = (sides == (16, 16),) * 2 + (False,)
        # A host has all chips of a slice of up to eight, and four of a larger one.
        per_host = (*sides, 1) if sides in ((2, 2), (2, 4)) else (2, 2, 1)
    return Slice(
        name=name,
        chip=CHIPS[kind],
        topology=f"{kind}:{shape}",
        chips_per_host=per_host,
        wrap=wrap,
    )
