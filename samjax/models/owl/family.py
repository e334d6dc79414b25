"""The family of OWLv2 (Minderer et al., 2023): its names in files, and its sizes."""

import dataclasses
from functools import lru_cache

from samjax.models.clip import family as clip
from samjax.models.family import ModelFamily, Shapes
from samjax.models.owl.config import OwlConfig
from samjax.models.owl.hugging_face import HUGGING_FACE
from samjax.models.owl.model import Owl
from samjax.models.owl.scenic import SCENIC
from samjax.models.weight_map import Entry, Row, expand

# Names of the towers are those of CLIP, names of the heads those of transformers.
ROWS = (
    Row("layer_norm", "", "norm", "v"),
    Row("class_head.dense0", "", "linear", "j v"),
    Row("class_head.logit_{which}", "", "linear", "1 v"),
    Row("{head}_head.dense{hidden}", "", "linear", "v v"),
    Row("box_head.dense2", "", "linear", "4 v"),
    Row("objectness_head.dense2", "", "linear", "1 v"),
)


@lru_cache(maxsize=16)
def entries(config: OwlConfig) -> tuple[Entry, ...]:
    """Expands the table: every array of the model of this config, once."""
    sizes = {"v": config.vision_width, "j": config.embed_dim}
    ranges = {
        "which": ("shift", "scale"),
        "head": ("box", "objectness"),
        "hidden": ("0", "1"),
    }
    heads = expand(ROWS, ranges, lambda binding: sizes)
    return (*clip.entries(config), *heads)


def guess_config(shapes: Shapes) -> tuple[OwlConfig, list[str]]:
    """Reads the sizes from shapes; activation and heads stay unknown, as CLIP's."""
    config, problems = clip.guess_config(shapes)
    return OwlConfig(**dataclasses.asdict(config)), problems


FAMILY = ModelFamily(
    name="owl",
    config=OwlConfig,
    model=Owl,
    entries=entries,
    # More than CLIP has, whose marks its files have too.
    marks=r"(?:class|box|objectness)_head\.\w+\.(?:weight|bias)",
    parts=OwlConfig.parts,
    guess_config=guess_config,
    ignored=clip.FAMILY.ignored,
    hugging_face=HUGGING_FACE,
    flax=SCENIC,
)
