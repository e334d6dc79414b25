"""The PyTorch reference, as published for pip, and random weights that hide nothing.

`segment_anything` imports torchvision, of which there is no CPU build for the pinned
torch. It needs four functions of it; `import_reference` puts a stand-in in place.

Fresh reference weights would hide bugs: relative positions, the absolute position
table and several biases start at zero. `randomize` fills every tensor with seeded
values of the scale that trained weights have.
"""

import functools
import importlib
import importlib.util
import sys
import types

import jax
import numpy as np
import torch
from flax.traverse_util import unflatten_dict
from PIL import Image

from samjax.models import Sam, SamConfig
from samjax.models.weight_map import entries

__all__ = [
    "build_reference",
    "encode_with",
    "import_reference",
    "randomize",
    "to_params",
]


def import_reference():
    """Imports `segment_anything`, with the stand-in for torchvision if it is absent.

    The stand-in is there for the import only: others, such as transformers, must not
    take it for the real package.
    """
    if "segment_anything" in sys.modules or importlib.util.find_spec("torchvision"):
        return importlib.import_module("segment_anything")
    stand_in = _torchvision_stand_in()
    sys.modules.update(stand_in)
    try:
        return importlib.import_module("segment_anything")
    finally:
        for name in stand_in:
            del sys.modules[name]


def build_reference(config: SamConfig, *, seed: int = 0):
    """A reference `Sam` of any size in eval mode, every tensor random.

    The builder of the release fixes the input size and depth of its three models; this
    calls the same classes with the same constants.
    """
    import_reference()
    modeling = importlib.import_module("segment_anything.modeling")
    grid, channels = config.grid_size, config.prompt_embed_dim
    sam = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            depth=config.depth,
            embed_dim=config.embed_dim,
            img_size=config.image_size,
            mlp_ratio=config.mlp_ratio,
            norm_layer=lambda dim: torch.nn.LayerNorm(dim, eps=1e-6),
            num_heads=config.num_heads,
            patch_size=config.patch_size,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=config.global_attention_blocks,
            window_size=config.window_size,
            out_chans=channels,
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=channels,
            image_embedding_size=(grid, grid),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_in_chans,
        ),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=config.num_multimask_outputs,
            transformer=modeling.TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=channels,
                mlp_dim=config.decoder_mlp_dim,
                num_heads=config.decoder_num_heads,
            ),
            transformer_dim=channels,
            iou_head_depth=3,
            iou_head_hidden_dim=channels,
        ),
    )
    randomize(sam, seed)
    return sam.eval()


def to_params(sam: torch.nn.Module, config: SamConfig) -> dict:
    """The reference's weights as samjax parameters, without a file in between."""
    state = sam.state_dict()
    flat = {
        entry.path: entry.to_tree(state[entry.released].numpy())
        for entry in entries(config)
    }
    return unflatten_dict(flat)


def encode_with(sam: torch.nn.Module, model: Sam, params: dict) -> None:
    """Puts samjax's image encoder in the place of the reference's.

    What comes after the encoder is then compared on the same features, in a fraction of
    the reference encoder's time.
    """
    encode = jax.jit(functools.partial(model.apply, method="encode_image"))

    class Encoder(torch.nn.Module):
        img_size = model.config.image_size

        def forward(self, pixels):
            pixels = np.asarray(pixels.numpy()).transpose(0, 2, 3, 1)
            features = np.asarray(encode({"params": params}, pixels))
            return torch.from_numpy(np.array(features.transpose(0, 3, 1, 2)))

    sam.image_encoder = Encoder()


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Fills every tensor of the state dict with values of a trained scale, in place."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        embeddings = (
            "gaussian_matrix",
            "embed.weight",
            "embeddings",
            "iou_token",
            "mask_tokens",
        )
        if any(part in name for part in embeddings):
            scale = 1.0
        elif tensor.ndim == 1 or "pos_embed" in name or "rel_pos" in name:
            scale = 0.1
        elif "output_upscaling" in name:
            # A transposed convolution stores (in, out, h, w).
            scale = tensor.shape[0] ** -0.5
        else:
            scale = tensor[0].numel() ** -0.5
        is_norm_scale = tensor.ndim == 1 and name.endswith("weight")
        tensor.copy_(noise * scale + (1.0 if is_norm_scale else 0.0))


def _torchvision_stand_in() -> dict[str, types.ModuleType]:
    def to_pil_image(array):
        return Image.fromarray(array)

    def resize(image, size):
        height, width = size
        if isinstance(image, torch.Tensor):
            return torch.nn.functional.interpolate(
                image, (height, width), mode="bilinear", antialias=True
            )
        return image.resize((width, height), Image.Resampling.BILINEAR)

    def box_area(boxes):
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    def batched_nms(boxes, scores, idxs, iou_threshold):
        """Greedy NMS per class: stable by falling score, suppression strictly above."""
        kept = []
        boxes64 = boxes.double().numpy()
        areas = box_area(boxes).double().numpy()
        order = np.argsort(-scores.double().numpy(), kind="stable")
        for i in order:
            suppressed = False
            for j in kept:
                if idxs[i] != idxs[j]:
                    continue
                corner = np.maximum(boxes64[i, :2], boxes64[j, :2])
                side = np.minimum(boxes64[i, 2:], boxes64[j, 2:]) - corner
                shared = np.prod(np.maximum(side, 0))
                if shared > iou_threshold * (areas[i] + areas[j] - shared):
                    suppressed = True
                    break
            if not suppressed:
                kept.append(i)
        return torch.as_tensor(np.array(kept, dtype=np.int64))

    modules = {
        "torchvision": {},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {
            "resize": resize,
            "to_pil_image": to_pil_image,
        },
        "torchvision.ops": {},
        "torchvision.ops.boxes": {"batched_nms": batched_nms, "box_area": box_area},
    }
    stand_in = {}
    for name, contents in modules.items():
        stand_in[name] = types.ModuleType(name)
        stand_in[name].__dict__.update(contents)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stand_in[parent], child, stand_in[name])
    return stand_in
