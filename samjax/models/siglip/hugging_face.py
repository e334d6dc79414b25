"""SigLIP in transformers: the tensors and the `config.json` of a `SiglipModel`."""

from collections.abc import Mapping
from typing import Any

from samjax.models.clip import hugging_face as clip
from samjax.models.family import HuggingFaceForm, Piece
from samjax.models.siglip.config import SiglipConfig
from samjax.models.weight_map import Entry


def pieces(entry: Entry) -> tuple[Piece, ...]:
    """Returns the tensors of transformers that an array of SigLIP consists of.

    Raises:
        KeyError: SigLIP has no such array.
    """
    if entry.released in WHOLE:
        return (Piece(WHOLE[entry.released]),)
    return clip.pieces(entry)


def config_from_hugging_face(
    content: Mapping[str, Any],
) -> tuple[SiglipConfig, list[str]]:
    """Reads the content of a `config.json`.

    Args:
        content: The JSON. Fields that it lacks have the defaults of transformers.

    Returns:
        The config, and what is wrong in the file.
    """
    vision, text, problems = clip.read_sections(content, VISION, TEXT)
    for name, section in (("vision_config", vision), ("text_config", text)):
        if section["hidden_act"] != ACTIVATION:
            problems.append(
                f"{name}.hidden_act is {section['hidden_act']!r:.80}, expected "
                f"{ACTIVATION}"
            )
    given = content.get("text_config")
    joint = given.get("projection_size") if isinstance(given, dict) else None
    joint = text["hidden_size"] if joint is None else joint
    if joint != vision["hidden_size"]:
        problems.append(
            f"the vectors of texts have a width of {joint!r:.80}, expected that of the "
            f"images, vision_config.hidden_size = {vision['hidden_size']}"
        )
    if vision["vision_use_head"] is not True:
        problems.append("vision_config.vision_use_head is off, expected the pooling")
    config = SiglipConfig(**clip.tower_sizes(vision, text))
    return config, problems + config.problems()


def config_to_hugging_face(config: SiglipConfig) -> dict[str, Any]:
    """Returns the `config.json` with which transformers builds the model of a config."""
    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "vision_config": {
            "model_type": "siglip_vision_model",
            **clip.vision_section(config),
            **_SHARED,
        },
        "text_config": {
            "model_type": "siglip_text_model",
            **clip.text_section(config),
            "projection_size": config.vision_width,
            **_SHARED,
        },
    }


ACTIVATION = "gelu_pytorch_tanh"
_SHARED = {"hidden_act": ACTIVATION, "layer_norm_eps": 1e-6}
# The defaults of transformers, which are B/16 at 224 pixels.
VISION: Mapping[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "vision_use_head": True,
    **_SHARED,
}
TEXT: Mapping[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    **_SHARED,
}

_VISION, _TEXT, _POOL = "vision_model", "text_model", "vision_model.head"
WHOLE: Mapping[str, str] = {
    "visual.conv1.weight": f"{_VISION}.embeddings.patch_embedding.weight",
    "visual.conv1.bias": f"{_VISION}.embeddings.patch_embedding.bias",
    "visual.positional_embedding": f"{_VISION}.embeddings.position_embedding.weight",
    "visual.ln_post.weight": f"{_VISION}.post_layernorm.weight",
    "visual.ln_post.bias": f"{_VISION}.post_layernorm.bias",
    "visual.attnpool.probe": f"{_POOL}.probe",
    "visual.attnpool.in_proj_weight": f"{_POOL}.attention.in_proj_weight",
    "visual.attnpool.in_proj_bias": f"{_POOL}.attention.in_proj_bias",
    "visual.attnpool.out_proj.weight": f"{_POOL}.attention.out_proj.weight",
    "visual.attnpool.out_proj.bias": f"{_POOL}.attention.out_proj.bias",
    "visual.attnpool.ln.weight": f"{_POOL}.layernorm.weight",
    "visual.attnpool.ln.bias": f"{_POOL}.layernorm.bias",
    "visual.attnpool.mlp.c_fc.weight": f"{_POOL}.mlp.fc1.weight",
    "visual.attnpool.mlp.c_fc.bias": f"{_POOL}.mlp.fc1.bias",
    "visual.attnpool.mlp.c_proj.weight": f"{_POOL}.mlp.fc2.weight",
    "visual.attnpool.mlp.c_proj.bias": f"{_POOL}.mlp.fc2.bias",
    "token_embedding.weight": f"{_TEXT}.embeddings.token_embedding.weight",
    "positional_embedding": f"{_TEXT}.embeddings.position_embedding.weight",
    "ln_final.weight": f"{_TEXT}.final_layer_norm.weight",
    "ln_final.bias": f"{_TEXT}.final_layer_norm.bias",
    "head.weight": f"{_TEXT}.head.weight",
    "head.bias": f"{_TEXT}.head.bias",
    "logit_scale": "logit_scale",
    "logit_bias": "logit_bias",
}
HUGGING_FACE = HuggingFaceForm(
    model_type="siglip",
    marks=r"vision_model\.head\.probe",
    parts=(_VISION, _TEXT, "logit_scale", "logit_bias"),
    ignored=r".*\.position_ids",
    pieces=pieces,
    read_config=config_from_hugging_face,
    write_config=config_to_hugging_face,
)
