"""Uses an installed samjax with its core dependencies: the README's lines, the command.

Run by `check.py` with the interpreter of a clean environment, in an empty folder.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import samjax

# The predicted IoU of the best mask of the README's click was 0.63.
LEAST_SCORE = 0.5


def run_readme(photo: Path) -> None:
    """Runs the first Python of the README that the package carries."""
    readme = importlib.metadata.metadata("samjax")["Description"]
    block = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert block is not None, "the README has no block of Python"
    # The line names the photo by its place in the repository.
    code = re.sub(r'"[^"\n]*\.jpg"', lambda _: repr(str(photo)), block[1])
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    masks = names["masks"]
    assert masks.masks.any(), "no mask has a pixel"
    assert masks.scores.max() > LEAST_SCORE, f"scores {masks.scores}"
    print(f"the README's lines: {len(masks.scores)} masks, scores {masks.scores}")


def run_command(photo: Path) -> None:
    """Runs `samjax info` and `samjax segment` as an entry point and as a module."""
    command = str(Path(sys.executable).parent / "samjax")
    subprocess.run([command, "info"], check=True)
    version = subprocess.run(
        [sys.executable, "-m", "samjax", "--version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert version.stdout == f"samjax {importlib.metadata.version('samjax')}\n"
    words = ["segment", str(photo), "--point", "300,150", "--out", "results"]
    subprocess.run([command, *words], check=True)
    files = sorted(path.name for path in Path("results").rglob("*") if path.is_file())
    assert any(name.endswith(".png") for name in files), files
    [record] = Path("results").rglob("*.json")
    assert json.loads(record.read_text())["annotations"], "the record has no masks"


def main() -> None:
    """Runs both."""
    folder = Path(str(resources.files("samjax")))
    assert folder.is_relative_to(sys.prefix), f"samjax is of {folder}, not installed"
    assert samjax.__version__ == importlib.metadata.version("samjax")
    photo = folder / "assets" / "coffee.jpg"
    run_readme(photo)
    run_command(photo)


if __name__ == "__main__":
    main()
