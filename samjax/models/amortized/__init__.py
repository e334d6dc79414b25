"""The mask decoder with its image side computed once for many prompts of one image.

An optimisation of `samjax.models.mask_decoder`, and the same function up to rounding:
`AmortizedDecoder` prepares an image and decodes prompts without masks over it. The
algebra is in two files: `factors` is what is computed once per image, `algebra` what is
computed per prompt, written for any kind of array. `arrays` runs that algebra in JAX;
`samjax.export` writes it as ONNX.
"""

from samjax.models.amortized.decoder import AmortizedDecoder
from samjax.models.amortized.factors import PreparedImage

__all__ = ["AmortizedDecoder", "PreparedImage"]
