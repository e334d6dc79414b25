"""Former path of `samjax.web.image_files`, for scripts that import it."""

from samjax.web.image_files import read_header

__all__ = ["read_header"]
