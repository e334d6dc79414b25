"""Draws the masks of everything mode's presets on the demo's photo, side by side.

    python tools/preset_sheet.py --out docs/images/presets.jpg

The thresholds are the model's own, the same for all presets.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image

import samjax
from samjax.cli.everything_outputs import draw_everything
from samjax.files import replacing
from samjax.inference import read_image
from samjax.inference.automatic.config import PRESETS
from samjax.visualize import contact_sheet

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Config:
    """The photo, the model and the output file."""

    photo: Path = ROOT / "samjax/assets/coffee.jpg"
    model: str = "small"
    out: Path = Path("presets.jpg")


def main(config: Config) -> None:
    """Draws the sheet."""
    predictor = samjax.Predictor(*samjax.load(config.model))
    image = read_image(config.photo)
    pictures, captions = [], []
    for name, preset in PRESETS.items():
        options = preset.for_model(predictor.model.config)
        start = time.perf_counter()
        records = samjax.generate_masks(predictor, image, options)
        print(f"{name}: {len(records)} masks, {time.perf_counter() - start:.1f} s")
        pictures.append(draw_everything(image, {"annotations": records}))
        captions.append(f"{name}: {len(records)} masks")
    sheet = contact_sheet(pictures, captions, columns=2, cell_size=480)
    with replacing(config.out) as hidden:
        Image.fromarray(sheet).save(hidden, format="JPEG", quality=85)


if __name__ == "__main__":
    main(tyro.cli(Config))
