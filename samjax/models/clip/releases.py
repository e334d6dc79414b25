"""The published weights of CLIP: OpenAI's, as TorchScript archives in float16."""

from samjax.models.clip.config import (
    CLIP_VIT_B16,
    CLIP_VIT_B32,
    CLIP_VIT_L14,
    CLIP_VIT_L14_336,
    ClipConfig,
)
from samjax.models.family import PublishedWeights


def _published(
    name: str, file: str, config: ClipConfig, parameters: int, size: int, sha256: str
) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        file=file,
        config=config,
        parameters=parameters,
        licence="MIT",
        source="CLIP, OpenAI, 2021 (arXiv 2103.00020)",
        # The hash is a part of the address.
        folder_url=f"https://openaipublic.azureedge.net/clip/models/{sha256}",
        size=size,
        sha256=sha256,
    )


CLIP_RELEASES = (
    _published(
        "clip_vit_b32",
        "ViT-B-32.pt",
        CLIP_VIT_B32,
        151_277_313,
        353_976_522,
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    _published(
        "clip_vit_b16",
        "ViT-B-16.pt",
        CLIP_VIT_B16,
        149_620_737,
        350_837_078,
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    _published(
        "clip_vit_l14",
        "ViT-L-14.pt",
        CLIP_VIT_L14,
        427_616_513,
        932_768_134,
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
    _published(
        "clip_vit_l14_336",
        "ViT-L-14-336px.pt",
        CLIP_VIT_L14_336,
        427_944_193,
        934_088_680,
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
    ),
)
