"""A fitted proposer in one file: the head, the calibrated score, and what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from samjax.engine.proposer.confidence import Confidence
from samjax.engine.proposer.head import PromptHead
from samjax.engine.proposer.prompting import HeatPrompts, PromptSource
from samjax.files import KEY, json_object, json_text, mark_of, write_output
from samjax.inference import Predictor
from samjax.inference.embedding import weights_fingerprint

FORMAT, VERSION = "samjax proposer", 1


@dataclass(frozen=True, eq=False)
class Proposer:
    """A source of prompts with the confidence of the masks that a model draws for them.

    Attributes:
        model: Fingerprint of the model's weights: another mask decoder draws other masks,
            whose confidence was not calibrated.
        confidence: The calibrated score.
        threshold: Confidence above which masks reach the precision; None if none do.
        precision: The fraction of shown masks that should be right.
        iou: IoU from which a mask is right.
        points: Prompts of an image.
        head: The head; None for a detector's boxes.
        params: Its parameters.
        measured: Scores on held-out images.
    """

    model: str
    confidence: Confidence
    threshold: float | None
    precision: float
    iou: float
    points: int
    head: PromptHead | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> PromptSource:
        """The head as a source of prompts.

        Raises:
            ValueError: The proposer was calibrated for a detector.
        """
        if self.head is None:
            raise ValueError(
                "this proposer was calibrated for the boxes of a detector: pass the "
                "detector (samjax.engine.proposer.prompting.DetectorPrompts)"
            )
        return HeatPrompts(self.head, self.params)

    def check(self, predictor: Predictor) -> None:
        """Refuses a model that it was not calibrated for.

        Raises:
            ValueError: It is another one.
        """
        own = weights_fingerprint(predictor.model.config, predictor.params)
        if own != self.model:
            raise ValueError(
                f"got a proposer of the model {self.model[:12]}, expected one of "
                f"{own[:12]}: calibrate it for this model (samjax engine calibrate)"
            )

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Writes the proposer to one file.

        Raises:
            WouldReplace: There is a file that samjax did not write.
            OSError: It cannot be written.
        """
        header = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "confidence": self.confidence.to_json(),
            "threshold": self.threshold,
            "precision": self.precision,
            "iou": self.iou,
            "points": self.points,
            "channels": None if self.head is None else self.head.channels,
            "measured": dict(self.measured),
        }
        arrays = {
            f"{layer}/{name}": np.ascontiguousarray(array, np.float32)
            for layer, parts in self.params.items()
            for name, array in parts.items()
        }
        # The format has no files without arrays.
        arrays = arrays or {"none": np.zeros(1, np.float32)}
        metadata = {KEY: mark_of("engine"), "samjax": json_text(header)}
        content = safetensors.numpy.save(arrays, metadata)
        write_output(path, content, "engine", overwrite=overwrite)

    @classmethod
    def load(cls, path: Path) -> Proposer:
        """Reads a proposer.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is none, or damaged, or of another version.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file: expected a proposer")
        try:
            with safetensors.safe_open(path, framework="np") as file:
                header = json_object((file.metadata() or {}).get("samjax", ""))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (safetensors.SafetensorError, ValueError) as error:
            raise ValueError(f"{path} is no proposer, or damaged ({error})") from error
        if (header.get("format"), header.get("version")) != (FORMAT, VERSION):
            raise ValueError(
                f"{path} is {header.get('format')!r} of version {header.get('version')}, "
                f"expected {FORMAT!r} of version {VERSION}: calibrate again"
            )
        params: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            layer, _, last = name.partition("/")
            if last:
                params.setdefault(layer, {})[last] = array
        channels = header["channels"]
        return cls(
            model=header["model"],
            confidence=Confidence.from_json(header["confidence"]),
            threshold=header["threshold"],
            precision=header["precision"],
            iou=header["iou"],
            points=header["points"],
            head=None if channels is None else PromptHead(channels=channels),
            params=params,
            measured=header["measured"],
        )
