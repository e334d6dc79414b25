"""All model families that weights can belong to: SAM, and the folders beside it."""

from samjax.checkpoints.releases import SAM_RELEASES
from samjax.checkpoints.sizes import guess_config
from samjax.checkpoints.state_dict import WRAPPERS, Groups, count_names
from samjax.models import Sam, SamConfig
from samjax.models.config import Architecture
from samjax.models.family import ModelFamily, sibling_families
from samjax.models.weight_map import entries

# Names that the image encoder of SAM has, in the release's naming or Hugging Face's.
SAM_NAMES = (
    rf"(?:image_encoder|vision_encoder)\.(?:(?:{'|'.join(WRAPPERS)})\.)*(?:pos_embed|"
    r"(?:patch_embed|blocks|layers|neck|norm)\.[\w.]*(?:weight|bias|rel_pos_[hw]))"
)
SAM = ModelFamily(
    name="sam",
    config=SamConfig,
    model=Sam,
    entries=entries,
    marks=SAM_NAMES,
    parts=(
        "image_encoder",
        "vision_encoder",
        "shared_image_embedding",
        "prompt_encoder",
        "mask_decoder",
    ),
    guess_config=guess_config,
    releases=SAM_RELEASES,
)


def families() -> dict[str, ModelFamily]:
    """Returns all families by name."""
    return {family.name: family for family in (SAM, *sibling_families())}


def family_of(config: Architecture) -> ModelFamily:
    """Returns the family of a config, or of its `architecture`.

    Raises:
        TypeError: No family has such configs.
    """
    for family in families().values():
        # Not isinstance: a family's config may extend that of another one.
        if issubclass(family.config, type(config)):
            return family
    raise TypeError(
        f"got a {type(config).__name__}, expected the config of one of "
        f"{', '.join(families())}: a new architecture is a folder of samjax/models with "
        "a `family` module"
    )


def family_in(groups: Groups) -> ModelFamily:
    """Returns the family that most tensors of a file are named like; SAM for none."""
    # max keeps the first of equals, which is SAM.
    return max(
        families().values(), key=lambda family: count_names(groups, family.marks)
    )
