"""OWLv2 in transformers, `Owlv2ForObjectDetection`."""

from collections.abc import Mapping
from typing import Any

from samjax.models.clip import hugging_face as clip
from samjax.models.family import HuggingFaceForm, Piece
from samjax.models.owl.config import HEADS, OwlConfig
from samjax.models.weight_map import Entry

PREFIX = "owlv2"


def pieces(entry: Entry) -> tuple[Piece, ...]:
    """Returns the tensors of transformers that an array of OWLv2 consists of.

    Raises:
        KeyError: OWLv2 has no such array.
    """
    if entry.released.split(".")[0] in HEADS:
        return (Piece(entry.released),)
    return tuple(
        # It is spelt right here.
        piece._replace(name=f"{PREFIX}.{piece.name.replace('pre_layrnorm', PRE_NORM)}")
        for piece in clip.pieces(entry)
    )


def config_from_hugging_face(content: Mapping[str, Any]) -> tuple[OwlConfig, list[str]]:
    """Reads the content of a `config.json`.

    Args:
        content: The JSON. Fields that it lacks have the defaults of transformers.

    Returns:
        The config, and what is wrong in the file.
    """
    vision = {**clip.VISION, "image_size": 768, "patch_size": 16}
    text = {**clip.TEXT, "max_position_embeddings": 16}
    sizes, problems = clip.read_towers(content, vision, text)
    config = OwlConfig(**sizes)
    return config, problems + config.problems()


def config_to_hugging_face(config: OwlConfig) -> dict[str, Any]:
    """Returns the `config.json` with which transformers builds the model of a config."""
    content = clip.config_to_hugging_face(config)
    for tower in ("vision", "text"):
        section = content[f"{tower}_config"]
        del section["projection_dim"]
        section["model_type"] = f"owlv2_{tower}_model"
    content["text_config"]["pad_token_id"] = 0
    return {
        **content,
        "architectures": ["Owlv2ForObjectDetection"],
        "model_type": "owlv2",
    }


PRE_NORM = "pre_layernorm"
HUGGING_FACE = HuggingFaceForm(
    model_type="owlv2",
    marks=rf"{PREFIX}\.vision_model\.(?:{PRE_NORM}\.weight|embeddings\.class_embedding)",
    parts=(PREFIX, *HEADS),
    ignored=r".*\.position_ids|box_bias",
    pieces=pieces,
    read_config=config_from_hugging_face,
    write_config=config_to_hugging_face,
)
