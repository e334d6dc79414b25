"""Builds a release and uses it as its users will, in clean environments outside the checkout.

    make release-check
    make release-check PYTHONS="python3.11 python3.12 python3.13"

The wheel is built from the sdist and once more from the checkout, and both have to be the
same. It is then installed into a new environment for each Python, where the README's six
lines, the command, `samjax serve` and the static demo run (`in_environment.py`,
`in_browser.py`). Needs `build`, `twine` and `check-wheel-contents` in its own environment.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
MEBIBYTE = 1 << 20
# Package indexes accept no larger file unless asked.
LARGEST = 100 * MEBIBYTE

# Files that a wheel must have, relative to its top or to its dist-info folder.
NEEDED = (
    "samjax/py.typed",
    "samjax/assets/small.safetensors",
    "samjax/assets/tiny.safetensors",
    "samjax/assets/coffee.jpg",
    "samjax/web/page/index.html",
    "samjax/web/page/vendor/ort-wasm-simd-threaded.wasm",
    "licenses/LICENSE",
    "licenses/samjax/assets/NOTICE.md",
    "licenses/samjax/web/page/licences/onnxruntime-web.txt",
    "licenses/samjax/web/page/licences/onnxruntime-web-third-party.txt",
)


class ReleaseError(Exception):
    """The release has a fault; the message says which."""


def contents(wheel: Path) -> dict[str, str]:
    """Returns the files of a wheel with their SHA-256."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if not name.endswith("/")
        }


def compare(built: Mapping[str, str], other: Mapping[str, str]) -> None:
    """Checks that two wheels have the same files.

    Args:
        built: Contents of the wheel from the sdist.
        other: Contents of the wheel from the checkout.

    Raises:
        ReleaseError: A file is in one alone, or differs.
    """
    names = sorted(
        name
        for name in built.keys() | other.keys()
        # It lists the others, with their order.
        if built.get(name) != other.get(name) and not name.endswith("/RECORD")
    )
    if names:
        raise ReleaseError(
            f"the wheel from the sdist and the one from the checkout differ in"
            f" {len(names)} files, such as {', '.join(names[:3])}: expected the same."
            " Remove build/ and *.egg-info, and see MANIFEST.in"
        )


def check_contents(names: Sequence[str], size: int) -> None:
    """Checks that a wheel has what it needs, nothing else, and an acceptable size.

    Raises:
        ReleaseError: A file is missing or does not belong there, or the size is too large.
    """
    within = {re.sub(r"^samjax-[^/]+\.dist-info/", "", name) for name in names}
    missing = [name for name in NEEDED if name not in within]
    if missing:
        remedy = " (make page)" if any("/vendor/" in name for name in missing) else ""
        raise ReleaseError(f"the wheel lacks {', '.join(missing)}{remedy}")
    foreign = [
        name
        for name in names
        if not re.match(r"samjax(-[^/]+\.dist-info)?/", name) or "__pycache__" in name
    ]
    if foreign:
        raise ReleaseError(f"expected only samjax in the wheel, got {foreign[:3]}")
    if size > LARGEST:
        raise ReleaseError(
            f"the wheel has {size / MEBIBYTE:.1f} MiB, expected at most"
            f" {LARGEST / MEBIBYTE:.0f}"
        )


def run(*words: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    """Runs a program, its output shown.

    Raises:
        ReleaseError: It failed.
    """
    # Nothing of the checkout, nor of a cache that was used before.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "SAMJAX_CACHE", "JAX_COMPILATION_CACHE_DIR")
    }
    shown = " ".join(str(word) for word in words)
    print(f"$ {shown}", flush=True)
    done = subprocess.run(
        [str(word) for word in words], check=False, cwd=cwd, env=kept | environment
    )
    if done.returncode:
        raise ReleaseError(f"exit status {done.returncode} of: {shown}")


def build(out: Path, scratch: Path) -> Path:
    """Builds sdist and wheel, compares and checks them.

    Args:
        out: Folder of the result.
        scratch: Folder of what is built to be compared.

    Returns:
        The wheel, built from the sdist.

    Raises:
        ReleaseError: A build failed or has a fault.
    """
    # Without this option the wheel is built from the sdist.
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", scratch, ROOT)
    [wheel], [direct] = out.glob("*.whl"), scratch.glob("*.whl")
    [sdist] = out.glob("*.tar.gz")
    built = contents(wheel)
    compare(built, contents(direct))
    check_contents(list(built), wheel.stat().st_size)
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    run(sys.executable, "-m", "check_wheel_contents", wheel)
    with tarfile.open(sdist) as archive:
        count = len(archive.getnames())
    print(
        f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(built)} files;"
        f" {sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB, {count} files"
    )
    return wheel


def try_wheel(wheel: Path, python: str, folder: Path) -> None:
    """Installs a wheel into a new environment and uses it there.

    First with the core dependencies alone, then with those of the page.

    Args:
        wheel: The wheel.
        python: The interpreter.
        folder: An empty folder for environment, cache and results.

    Raises:
        ReleaseError: Something failed.
    """
    run(python, "-m", "venv", folder / "venv")
    own = folder / "venv" / "bin" / "python"
    newer = subprocess.run(
        [str(own), "-c", "import sys; print(sys.version_info >= (3, 12))"],
        check=True,
        capture_output=True,
        text=True,
    )
    versions = "python3.12.txt" if newer.stdout.strip() == "True" else "python3.11.txt"
    install = (own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    held = ("-c", ROOT / "constraints" / versions)
    cache = {"SAMJAX_CACHE": str(folder / "cache")}
    work = folder / "work"
    work.mkdir()

    run(*install, *held, wheel, cwd=work)
    run(own, "-m", "pip", "check", cwd=work)
    run(own, "-W", "error", "-c", "import samjax", cwd=work)
    run(own, HERE / "in_environment.py", cwd=work, **cache)
    run(*install, *held, f"samjax[web] @ {wheel.as_uri()}", "playwright", cwd=work)
    run(own, HERE / "in_browser.py", ROOT / "tests", cwd=work, **cache)


def main() -> int:
    """Builds and tries a release."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="result folder")
    parser.add_argument(
        "--python", action="append", help="an interpreter to try; may be repeated"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for old in (
        *options.out.glob("samjax-*.whl"),
        *options.out.glob("samjax-*.tar.gz"),
    ):
        old.unlink()
    try:
        with tempfile.TemporaryDirectory(prefix="samjax-release-") as scratch:
            wheel = build(options.out.resolve(), Path(scratch))
        for python in options.python or [sys.executable]:
            # Elsewhere than the checkout, and no two environments at a time.
            with tempfile.TemporaryDirectory(prefix="samjax-release-") as folder:
                try_wheel(wheel, python, Path(folder))
    except ReleaseError as error:
        print(f"release-check: {error}", file=sys.stderr)
        return 1
    print("release-check: the release is sound")
    return 0


if __name__ == "__main__":
    sys.exit(main())
