"""`samjax train` on a CPU that multiplies bfloat16 in hardware: see `amx/kernels.py`.

    python tools/train_amx.py configs/train/small.py --initial dinov2:dinov2-small

Takes the arguments of `samjax train`, and

    --no-relative-positions   computes attention without the image encoder's relative
                              positions, and does not train them: exact if they are
                              zero, and faster

Needs the extra `train`, torch and a C++ compiler. Set the run's dtype to bfloat16.
"""

import os
import sys

from amx import kernels

from samjax import cli
from samjax.files import cache_folder

FLAG = "--no-relative-positions"


def main(arguments: list[str]) -> int:
    """Installs the kernels and trains; returns the exit status."""
    if not kernels.is_supported():
        print(
            "this CPU multiplies no bfloat16 (AMX, AVX-512): use samjax train",
            file=sys.stderr,
        )
        return 2
    try:
        library = kernels.build(cache_folder() / "amx")
    except (ImportError, FileNotFoundError) as error:
        print(f"{error}: expected torch and a C++ compiler, c++", file=sys.stderr)
        return 2
    kernels.install(
        library,
        threads=os.cpu_count() or 1,
        attention=FLAG in arguments,
    )
    return cli.main(["train", *(word for word in arguments if word != FLAG)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
