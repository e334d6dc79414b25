"""`samjax info`: versions, devices, models and the cache."""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path

from samjax.cli.arguments import parse


@dataclass(frozen=True, kw_only=True)
class Info:
    """Shows versions, devices, models and the cache. Downloads and writes nothing."""


def run(arguments: list[str]) -> None:
    """Prints the tables."""
    parse(Info, "samjax info", arguments)
    print(_versions(), _devices(), _models(), _cache(), sep="\n\n")


PACKAGES = ("samjax", "jax", "jaxlib", "flax", "numpy", "pillow", "optax", "grain")


def _versions() -> str:
    lines = [("python", platform.python_version())]
    for package in PACKAGES:
        try:
            lines.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            lines.append((package, "not installed"))
    return _table([("package", "version"), *lines])


def _devices() -> str:
    import jax

    from samjax.devices import DeviceError, find_devices

    rows = [("device", "kind", "memory")]
    try:
        devices = find_devices()
    except DeviceError as error:
        # The other tables help to find out why.
        return f"device  none: {error}"
    for device in devices:
        # A CPU has no memory statistics, and some backends do not implement them.
        try:
            limit = (device.memory_stats() or {}).get("bytes_limit")
        except jax.errors.JaxRuntimeError:
            limit = None
        memory = f"{limit / 1e9:.1f} GB" if limit else ""
        # The text of a device differs between versions of JAX.
        name = f"{device.platform}:{device.id}"
        rows.append((name, device.device_kind, memory))
    return _table(rows)


def _models() -> str:
    from samjax.checkpoints.releases import releases

    rows = [("model", "parameters", "file", "licence", "state")]
    # Models that need no download first.
    for release in sorted(releases().values(), key=lambda one: not one.bundled):
        there = release.path.is_file()
        size = release.size or (release.path.stat().st_size if there else 0)
        if release.bundled:
            state = "bundled" if there else "missing: install samjax again"
        else:
            state = f"cached, {release.path}" if there else "not downloaded yet"
        rows.append(
            (
                release.name,
                f"{release.parameters / 1e6:.1f} M",
                f"{size / 1e6:.0f} MB" if size else "",
                release.licence,
                state,
            )
        )
    return _table(rows)


def _cache() -> str:
    from samjax.files import cache_folder

    folder = cache_folder()
    rows = [("cache", str(folder))]
    for name, meaning in (
        ("weights", "weights"),
        ("downloads", "unfinished downloads"),
        ("compiled", "compiled programs"),
    ):
        size = _size(folder / name)
        rows.append((meaning, f"{size / 1e6:.0f} MB" if size else "none"))
    return _table(rows)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in rows
    )
