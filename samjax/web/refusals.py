"""What the server says no with: a status, a short code for programs, a sentence."""

from typing import Any


class Refusal(Exception):
    """A request that is not carried out.

    Attributes:
        status: Of HTTP.
        code: A word that programs can compare.
        message: What was got, what was expected, what to do.
        more: Further members of the answer, beside `error`.
    """

    def __init__(self, status: int, code: str, message: str, **more: Any):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.more = more


def not_found(what: str, name: str, remedy: str) -> Refusal:
    """Something with this name is not there."""
    return Refusal(404, "not_found", f"there is no {what} {shown(name)}: {remedy}")


def invalid(message: str) -> Refusal:
    """What was sent is understood, and cannot be used."""
    return Refusal(422, "invalid", message)


def busy(message: str) -> Refusal:
    """More is asked for than is done at a time."""
    return Refusal(503, "busy", message)


def error_body(code: str, message: str) -> dict[str, Any]:
    """The form of every error."""
    return {"error": {"code": code, "message": " ".join(message.split())}}


def shown(value: Any) -> str:
    """A value from outside, short and plain enough to be repeated in a message."""
    if isinstance(value, str):
        return ascii(value[:60]) + ("..." if len(value) > 60 else "")
    if isinstance(value, bool | int | float) or value is None:
        return repr(value)[:60]
    return f"a {type(value).__name__}"


CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "not_json",
    422: "invalid",
}
"""Codes of the refusals that frameworks make."""
