"""Settings of a server."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from samjax.engine.project import Project
from samjax.web.schemas import MOST_POINTS, MOST_PROMPTS

MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of requests.

    Attributes:
        upload_bytes: Size of an uploaded image.
        json_bytes: Size of any other body.
        pixels: Pixels of an image, checked before it is decoded.
        prompts: Prompts of one call of `predict`.
        points: Points of a prompt.
    """

    upload_bytes: int = 64 * MEBIBYTE
    json_bytes: int = 16 * MEBIBYTE
    # Pillow's own threshold for decompression bombs.
    pixels: int = 89_478_485
    prompts: int = MOST_PROMPTS
    points: int = MOST_POINTS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a server.

    Attributes:
        folder: Folder of the images.
        state: Folder of the annotation database.
        cache: Folder of embeddings, thumbnails and other reproducible files.
        cache_bytes: Bound of the size of the cache.
        host: Address that the server is bound to.
        token: Token that requests must carry; None for no token, on loopback only.
        hosts: Further host names of the server, as behind a proxy.
        model: Name of the model.
        labels: Labels to offer before any is in use.
        queue: Whether every image gets an annotation task when the server starts.
        project: Settings of a team's project, whose people have tokens of their own and
            roles; None where everybody may do everything.
        project_folder: Folder of the project.
        limits: Bounds of requests.
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
    queue: bool = False
    project: Project | None = None
    project_folder: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self):
        has_tokens = self.token is not None or self.project is not None
        if not has_tokens and not is_loopback(self.host):
            raise ValueError(
                f"got the host {self.host} without a token, expected one: whoever "
                "reaches this address could read and change what is here"
            )
        if self.token is not None and not (self.token.isascii() and self.token):
            raise ValueError("got a token with other characters than ASCII, or none")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
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
