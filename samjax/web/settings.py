"""What a server is told when it starts."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from samjax.web.schemas import MOST_POINTS, MOST_PROMPTS

MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request may be.

    Attributes:
        upload_bytes: Of an uploaded image.
        json_bytes: Of any other body.
        pixels: Of an image, counted before it is decoded.
        prompts: Of a call of `predict`.
        points: Of a prompt.
    """

    upload_bytes: int = 64 * MEBIBYTE
    json_bytes: int = 16 * MEBIBYTE
    # Pillow's own bound, beyond which it suspects a decompression bomb.
    pixels: int = 89_478_485
    prompts: int = MOST_PROMPTS
    points: int = MOST_POINTS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is told when it starts.

    Attributes:
        folder: Of the images.
        state: Where the database of annotations is.
        cache: Where embeddings, thumbnails and what else can be made again are.
        cache_bytes: How much of that is kept.
        host: The address that it is bound to.
        token: What who asks must know; None asks for nothing, on loopback only.
        hosts: Further names that the server is reached by, as behind a proxy.
        model: The name of the model.
        labels: Labels to offer before any is used.
        limits: Of requests.
    """

    folder: Path
    state: Path
    cache: Path
    cache_bytes: int = 4096 * MEBIBYTE
    host: str = "127.0.0.1"
    token: str | None = None
    hosts: tuple[str, ...] = ()
    model: str = "small"
    labels: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self):
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"got the host {self.host} without a token, expected one: whoever "
                "reaches this address could read and change what is here"
            )
        if self.token is not None and not (self.token.isascii() and self.token):
            raise ValueError("got a token with other characters than ASCII, or none")


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_any_address(host: str) -> bool:
    """Whether a server bound to `host` listens on all addresses of the machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host
