"""OWLv2: boxes of what texts describe (Minderer et al., arXiv 2306.09683).

CLIP's towers with heads on every patch of the image: a box, its objectness, and its
similarity to texts. A sibling architecture; it proposes boxes and predicts no masks.
"""

from samjax.models.owl.config import OWL_VIT_B16, OWL_VIT_L14, OwlConfig
from samjax.models.owl.model import Owl, OwlDetections

__all__ = ["OWL_VIT_B16", "OWL_VIT_L14", "Owl", "OwlConfig", "OwlDetections"]
