"""The config beside OpenCLIP's weights, `open_clip_config.json`."""

from collections.abc import Mapping
from typing import Any

from samjax.models.clip.config import CLIP_VIT_B32, ClipConfig
from samjax.models.config import MAX_SIZE

CONFIG_NAME = "open_clip_config.json"


def config_from_open_clip(content: Mapping[str, Any]) -> tuple[ClipConfig, list[str]]:
    """Reads the content of an `open_clip_config.json`.

    Fields that it lacks have OpenCLIP's defaults: without `quick_gelu` the activation is
    the exact GELU.

    Args:
        content: The JSON.

    Returns:
        The config, and what is wrong in the file or of another class of model.
    """
    model = content.get("model_cfg")
    model = model if isinstance(model, dict) else content
    vision, text = model.get("vision_cfg"), model.get("text_cfg")
    if not isinstance(vision, dict) or not isinstance(text, dict):
        return CLIP_VIT_B32, [f"{CONFIG_NAME} has no vision_cfg and text_cfg"]
    problems = [
        f"{CONFIG_NAME} has {section}.{key} = {given[key]!r:.80}, of which samjax has no "
        "model"
        for section, given, known in (
            ("model_cfg", model, MODEL_FIELDS),
            ("vision_cfg", vision, VISION_FIELDS),
            ("text_cfg", text, TEXT_FIELDS),
        )
        for key in given
        # A field that is off or empty changes nothing.
        if key not in known and given[key] not in (None, False)
    ]
    quick = model.get("quick_gelu", False)
    if type(quick) is not bool:
        problems.append(f"quick_gelu is {quick!r:.80}, expected true or false")

    def size(fields: Mapping[str, Any], key: str, default: int) -> int:
        value = fields.get(key, default)
        if type(value) is int and 0 < value <= MAX_SIZE:
            return value
        problems.append(f"{key} is {value!r:.80}, expected 1 to {MAX_SIZE}")
        return default

    def hidden(fields: Mapping[str, Any], width: int) -> int:
        ratio = fields.get("mlp_ratio", 4.0)
        if type(ratio) in (int, float) and 1 <= int(width * ratio) <= MAX_SIZE:
            return int(width * ratio)
        problems.append(f"mlp_ratio is {ratio!r:.80}, expected a number such as 4.0")
        return 4 * width

    vision_width = size(vision, "width", 768)
    text_width = size(text, "width", 512)
    config = ClipConfig(
        image_size=size(vision, "image_size", 224),
        patch_size=size(vision, "patch_size", 16),
        embed_dim=size(model, "embed_dim", 512),
        vision_width=vision_width,
        vision_depth=size(vision, "layers", 12),
        vision_heads=max(1, vision_width // size(vision, "head_width", 64)),
        vision_mlp_dim=hidden(vision, vision_width),
        text_width=text_width,
        text_depth=size(text, "layers", 12),
        text_heads=size(text, "heads", 8),
        text_mlp_dim=hidden(text, text_width),
        vocab_size=size(text, "vocab_size", 49_408),
        context_length=size(text, "context_length", 77),
        quick_gelu=quick is True,
    )
    return config, problems + config.problems()


# Fields that are read, or that do not change the model.
MODEL_FIELDS = {
    "embed_dim",
    "quick_gelu",
    "vision_cfg",
    "text_cfg",
    "init_logit_scale",
    "model_cfg",
    "preprocess_cfg",
}
VISION_FIELDS = {
    "image_size",
    "layers",
    "width",
    "head_width",
    "mlp_ratio",
    "patch_size",
    # Of training alone.
    "patch_dropout",
}
TEXT_FIELDS = {
    "context_length",
    "vocab_size",
    "width",
    "heads",
    "layers",
    "mlp_ratio",
}
