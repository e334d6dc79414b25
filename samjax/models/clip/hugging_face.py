"""CLIP in transformers: the tensors and the `config.json` of a `CLIPModel`."""

import re
from collections.abc import Mapping
from typing import Any

from samjax.models.clip.config import ClipConfig
from samjax.models.config import MAX_SIZE
from samjax.models.family import HuggingFaceForm, Piece
from samjax.models.weight_map import Entry


def pieces(entry: Entry) -> tuple[Piece, ...]:
    """Returns the tensors of transformers that an array of CLIP consists of.

    Raises:
        KeyError: CLIP has no such array.
    """
    name = entry.released
    if name in WHOLE:
        return (WHOLE[name],)
    match = BLOCK.fullmatch(name)
    if match is None:
        raise KeyError(f"Got the name {name}, which is none of CLIP's.")
    tower = "vision_model" if match["vision"] else "text_model"
    prefix = f"{tower}.encoder.layers.{match['block']}"
    module, leaf = match["module"], match["leaf"]
    if module == "attn":
        leaf = leaf.removeprefix("in_proj_")
        return tuple(Piece(f"{prefix}.self_attn.{key}_proj.{leaf}") for key in "qkv")
    return (Piece(f"{prefix}.{MODULES[module]}.{leaf}"),)


def config_from_hugging_face(
    content: Mapping[str, Any],
) -> tuple[ClipConfig, list[str]]:
    """Reads the content of a `config.json`.

    Args:
        content: The JSON. Fields that it lacks have the defaults of transformers.

    Returns:
        The config, and what is wrong in the file.
    """
    sizes, problems = read_towers(content, VISION, TEXT)
    config = ClipConfig(**sizes)
    return config, problems + config.problems()


def read_towers(
    content: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Reads the sizes of both towers from the content of a `config.json`.

    Args:
        content: The JSON.
        vision: Defaults of the fields of the vision tower, by their names in it.
        text: Those of the text tower.

    Returns:
        The fields of `ClipConfig`, and what is wrong in the file.
    """
    vision, text, problems = read_sections(content, vision, text)
    joint = _size(content, "", {"projection_dim": 512}, "projection_dim", problems)
    activations = {vision["hidden_act"], text["hidden_act"]}
    if len(activations) > 1 or not activations <= {"quick_gelu", "gelu"}:
        problems.append(
            f"hidden_act is {vision['hidden_act']!r:.80} for images and "
            f"{text['hidden_act']!r:.80} for texts, expected quick_gelu or gelu for both"
        )
    sizes = tower_sizes(vision, text)
    sizes |= {"embed_dim": joint, "quick_gelu": vision["hidden_act"] == "quick_gelu"}
    return sizes, problems


def read_sections(
    content: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Reads the sections of both towers of a `config.json`.

    Args:
        content: The JSON.
        vision: Defaults of the fields of the vision tower, by their names in it.
        text: Those of the text tower.

    Returns:
        The fields of either tower, each of its default's type, and what is wrong in them.
    """
    problems: list[str] = []
    sections = []
    for name, defaults in (("vision_config", vision), ("text_config", text)):
        section = _section(content, name, defaults, problems)
        epsilon = defaults["layer_norm_eps"]
        if section["layer_norm_eps"] != epsilon:
            problems.append(
                f"{name}.layer_norm_eps is {section['layer_norm_eps']!r:.80}, expected "
                f"{epsilon}"
            )
        sections.append(section)
    return sections[0], sections[1], problems


def tower_sizes(vision: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sizes of both towers by the names of the config's fields."""
    return {
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "vision_width": vision["hidden_size"],
        "vision_depth": vision["num_hidden_layers"],
        "vision_heads": vision["num_attention_heads"],
        "vision_mlp_dim": vision["intermediate_size"],
        "text_width": text["hidden_size"],
        "text_depth": text["num_hidden_layers"],
        "text_heads": text["num_attention_heads"],
        "text_mlp_dim": text["intermediate_size"],
        "vocab_size": text["vocab_size"],
        "context_length": text["max_position_embeddings"],
    }


def config_to_hugging_face(config: ClipConfig) -> dict[str, Any]:
    """Returns the `config.json` with which transformers builds the model of a config."""
    activation = "quick_gelu" if config.quick_gelu else "gelu"
    shared = {
        "hidden_act": activation,
        "layer_norm_eps": EPSILON,
        "projection_dim": config.embed_dim,
    }
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": config.embed_dim,
        "vision_config": {
            "model_type": "clip_vision_model",
            **vision_section(config),
            **shared,
        },
        "text_config": {
            "model_type": "clip_text_model",
            **text_section(config),
            # Start and end are the last two tokens of CLIP's vocabulary.
            "bos_token_id": config.vocab_size - 2,
            "eos_token_id": config.vocab_size - 1,
            **shared,
        },
    }


def vision_section(config: Any) -> dict[str, int]:
    """Returns the sizes of the vision tower of a config, as `config.json` has them."""
    return {
        "hidden_size": config.vision_width,
        "intermediate_size": config.vision_mlp_dim,
        "num_hidden_layers": config.vision_depth,
        "num_attention_heads": config.vision_heads,
        "num_channels": 3,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
    }


def text_section(config: Any) -> dict[str, int]:
    """Returns the sizes of the text tower of a config, as `config.json` has them."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.text_width,
        "intermediate_size": config.text_mlp_dim,
        "num_hidden_layers": config.text_depth,
        "num_attention_heads": config.text_heads,
        "max_position_embeddings": config.context_length,
    }


def _section(
    content: Mapping[str, Any],
    name: str,
    defaults: Mapping[str, Any],
    problems: list[str],
) -> dict[str, Any]:
    """Returns the fields of one tower, each of its default's type."""
    given = content.get(name)
    fields = dict(given) if isinstance(given, dict) else {}
    # Files of old versions have fields here that take precedence.
    older = content.get(f"{name}_dict")
    fields |= older if isinstance(older, dict) else {}
    section = {}
    for key, default in defaults.items():
        if type(default) is int:
            section[key] = _size(fields, f"{name}.", defaults, key, problems)
        else:
            section[key] = fields.get(key, default)
    return section


def _size(
    fields: Mapping[str, Any],
    prefix: str,
    defaults: Mapping[str, int],
    key: str,
    problems: list[str],
) -> int:
    value = fields.get(key, defaults[key])
    if type(value) is int and 0 < value <= MAX_SIZE:
        return value
    problems.append(f"{prefix}{key} is {value!r:.80}, expected 1 to {MAX_SIZE}")
    return defaults[key]


EPSILON = 1e-5
_SHARED = {"hidden_act": "quick_gelu", "layer_norm_eps": EPSILON}
# The defaults of transformers, which are B/32.
VISION: Mapping[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    **_SHARED,
}
TEXT: Mapping[str, Any] = {
    "vocab_size": 49_408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    **_SHARED,
}

_VISION, _TEXT = "vision_model", "text_model"
WHOLE: Mapping[str, Piece] = {
    "visual.class_embedding": Piece(f"{_VISION}.embeddings.class_embedding"),
    "visual.positional_embedding": Piece(
        f"{_VISION}.embeddings.position_embedding.weight"
    ),
    "visual.conv1.weight": Piece(f"{_VISION}.embeddings.patch_embedding.weight"),
    "visual.proj": Piece("visual_projection.weight", is_transposed=True),
    # transformers' spelling.
    "visual.ln_pre.weight": Piece(f"{_VISION}.pre_layrnorm.weight"),
    "visual.ln_pre.bias": Piece(f"{_VISION}.pre_layrnorm.bias"),
    "visual.ln_post.weight": Piece(f"{_VISION}.post_layernorm.weight"),
    "visual.ln_post.bias": Piece(f"{_VISION}.post_layernorm.bias"),
    "positional_embedding": Piece(f"{_TEXT}.embeddings.position_embedding.weight"),
    "token_embedding.weight": Piece(f"{_TEXT}.embeddings.token_embedding.weight"),
    "ln_final.weight": Piece(f"{_TEXT}.final_layer_norm.weight"),
    "ln_final.bias": Piece(f"{_TEXT}.final_layer_norm.bias"),
    "text_projection": Piece("text_projection.weight", is_transposed=True),
    "logit_scale": Piece("logit_scale"),
}
BLOCK = re.compile(
    r"(?P<vision>visual\.)?transformer\.resblocks\.(?P<block>\d+)\."
    r"(?P<module>ln_1|ln_2|attn|attn\.out_proj|mlp\.c_fc|mlp\.c_proj)\."
    r"(?P<leaf>weight|bias|in_proj_weight|in_proj_bias)"
)
MODULES: Mapping[str, str] = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
HUGGING_FACE = HuggingFaceForm(
    model_type="clip",
    marks=r"vision_model\.(?:pre_layrnorm\.weight|embeddings\.class_embedding)",
    parts=(_VISION, _TEXT, "visual_projection", "text_projection", "logit_scale"),
    # Old files carry the numbers of positions.
    ignored=r".*\.position_ids",
    pieces=pieces,
    read_config=config_from_hugging_face,
    write_config=config_to_hugging_face,
)
