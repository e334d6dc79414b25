"""Edge maps of another program, read from a folder: scored without the model."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from samjax.data.finetune.reading import read_file
from samjax.data.folders import list_files
from samjax.data.whole_images import open_image
from samjax.evaluation.segmenter import PromptKind


@dataclasses.dataclass(frozen=True)
class SavedEdges:
    """A folder of edge maps as an `EdgeDetector`.

    Attributes:
        folder: It has a grey PNG file of 8 bits for every image, of the same name but
            for the suffix; 255 is the strength 1.
    """

    folder: Path

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """None: it takes no prompts."""
        return frozenset()

    def describe(self) -> Mapping[str, Any]:
        """Returns the number of files and the hash of their names and contents.

        Raises:
            ValueError: A file cannot be read, or there is none.
            OSError: There is no such folder.
        """
        digest = hashlib.sha256()
        files = list_files(self.folder, ".png")
        if not files:
            self.folder.stat()
            raise ValueError(f"{self.folder}: got no .png file, expected edge maps")
        for file in files:
            content = hashlib.sha256(read_file(file)).hexdigest()
            digest.update(f"{file.name}\n{content}\n".encode())
        return {
            "name": "saved",
            "folder": self.folder.name,
            "maps": len(files),
            "sha256": digest.hexdigest(),
        }

    def detect_edges(
        self, image: UInt8[np.ndarray, "h w 3"], name: str = ""
    ) -> Float[np.ndarray, "h w"]:
        """Returns the strength of the edge at every pixel, from 0 to 1.

        Args:
            image: The image, of the size that the map must have.
            name: Name of the image.

        Raises:
            ValueError: Its map is missing, damaged, or of another size or kind.
        """
        file = self.folder / f"{Path(name).stem}.png"
        with open_image(read_file(file), str(file), formats=["PNG"]) as map:
            if map is None or map.mode not in ("1", "L"):
                mode = None if map is None else map.mode
                raise ValueError(
                    f"{file}: got pixels of mode {mode}, expected grey levels of 8 bits"
                )
            levels = np.asarray(map.convert("L"))
        if levels.shape != image.shape[:2]:
            raise ValueError(
                f"{file}: got an edge map of {levels.shape}, expected that of the image, "
                f"{image.shape[:2]} (height, width)"
            )
        return levels.astype(np.float32) / 255
