"""Error responses of the API: an HTTP status, a code for programs, and a message."""

from typing import Any


class Refusal(Exception):
    """A request that is not carried out.

    Attributes:
        status: HTTP status.
        code: Identifier of the error, for programs.
        message: The value received, the expectation, and the remedy, for people.
        more: Further members of the response's body, beside `error`.
    """

    def __init__(self, status: int, code: str, message: str, **more: Any):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.more = more


def not_found(kind: str, name: str, remedy: str) -> Refusal:
    """Returns the refusal of a request for something that does not exist."""
    return Refusal(404, "not_found", f"there is no {kind} {shown(name)}: {remedy}")


def invalid(message: str) -> Refusal:
    """Returns the refusal of a well-formed request with unusable values."""
    return Refusal(422, "invalid", message)


def busy(message: str) -> Refusal:
    """Returns the refusal of a request above the server's capacity."""
    return Refusal(503, "busy", message)


def error_body(code: str, message: str) -> dict[str, Any]:
    """Returns the body that every error response has."""
    return {"error": {"code": code, "message": " ".join(message.split())}}


def shown(value: Any) -> str:
    """Returns an untrusted value for a message: shortened and escaped."""
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
"""Codes of errors that the frameworks raise, by status."""
