"""Access control, limits of request bodies, and security headers of every response.

A page of any site can make a browser send requests to this machine. Three checks keep
such pages out: the Host header has to be a name of this server (which a name that another
site resolves to this address is not, so DNS rebinding fails), writes have to come from a
page of this server, and responses may not be embedded or read by other sites. A server
that other machines can reach requires a token in addition.
"""

import asyncio
import hmac
import logging
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from samjax.engine.annotations.errors import DatabaseReplaced
from samjax.web.connections import EXTENSION
from samjax.web.refusals import Refusal, error_body, shown
from samjax.web.settings import Settings, is_any_address
from samjax.web.tokens import PERSON, Tokens

API = "/api/v1"
_READS = ("GET", "HEAD", "OPTIONS")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' blob: data:; connect-src 'self' blob: data:; "
        "worker-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

# Bodies above this size are received one at a time, which bounds memory.
_LARGE = 1 << 17
# Seconds that such a body may take to arrive, while others wait.
_FOR_LARGE = 120.0

logger = logging.getLogger(__name__)


class BodyTooLarge(HTTPException):
    """A body exceeds its limit; raised to the reader of the body."""

    def __init__(self, most: int):
        super().__init__(413, _too_large(most))


class BodyTooSlow(HTTPException):
    """A large body did not arrive in time, while others wait for theirs."""

    def __init__(self):
        super().__init__(
            408, f"got a part of a body, expected all of it within {_FOR_LARGE:.0f} s"
        )


class Guard:
    """ASGI middleware that passes permitted requests to an application.

    It is the outermost layer, so that every response has the headers, and an unexpected
    exception too becomes a response in the form of errors.
    """

    def __init__(self, app: ASGIApp, settings: Settings, tokens: Tokens | None = None):
        self._app = app
        self._settings = settings
        # Those of a team's people; None where one token, or none, is everybody's.
        self._tokens = tokens
        own = {settings.host.strip("[]").lower(), *map(str.lower, settings.hosts)}
        # A server bound to all addresses has unknown names: the token alone decides.
        self._names = (
            None if is_any_address(settings.host) else _LOOPBACK_NAMES | frozenset(own)
        )
        self._large = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request (ASGI)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = is_refused = False
        # An upload is written to the disk in chunks.
        turn = None if _is_upload(scope) else self._large
        body = _Body(receive, self._most_bytes(scope), turn)

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                body.release()
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if is_refused or message["status"] in (408, 413):
                    # The rest of the body is not read.
                    headers["Connection"] = "close"
            await send(message)

        try:
            response = await self._check(scope)
            if response is not None:
                is_refused = True
                await response(scope, receive, send_with_headers)
                return
            _trust(scope)
            await self._app(scope, body.receive, send_with_headers)
        except Exception:
            logger.exception("a request failed: %s", scope.get("path"))
            if started:
                raise
            failure = error_body("internal", "the server failed: see its log")
            await JSONResponse(failure, 500)(scope, receive, send_with_headers)
        finally:
            body.release()

    async def _check(self, scope: Scope) -> Response | None:
        """Returns an error response, a sign-in redirect, or None for a permitted request."""
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=50)
            if scope["path"] == "/" and "token" in query:
                return await self._sign_in(query["token"][0], scope)
            await self._check_token(headers, scope)
            if scope["method"] not in _READS:
                _check_origin(headers)
            self._check_length(headers, scope)
        except Refusal as refusal:
            body = error_body(refusal.code, refusal.message)
            return JSONResponse(body, refusal.status)
        except DatabaseReplaced as error:
            return JSONResponse(error_body("storage", str(error)), 503)
        except ValueError:
            return JSONResponse(error_body("bad_request", "the query is not one"), 400)
        return None

    def _check_host(self, headers: Headers) -> None:
        if self._names is None:
            return
        host = _name_of(headers.get("host", ""))
        if host not in self._names:
            raise Refusal(
                403,
                "foreign_host",
                f"got the host {shown(host)}, expected a name of this server: open the "
                "address that it printed, or start it with --allow-host",
            )

    async def _sign_in(self, token: str, scope: Scope) -> Response:
        needs_token = self._tokens is not None or self._settings.token is not None
        if needs_token and not await self._is_valid(token, scope):
            raise _unauthorized()
        response = RedirectResponse("/", 303)
        if needs_token:
            response.set_cookie(
                _cookie_name(scope), token, path="/", httponly=True, samesite="strict"
            )
        return response

    async def _check_token(self, headers: Headers, scope: Scope) -> None:
        if self._tokens is None and self._settings.token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and await self._is_valid(given.strip(), scope):
            return
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        cookie = cookies.get(_cookie_name(scope))
        if cookie is None or not await self._is_valid(cookie.value, scope):
            raise _unauthorized()

    async def _is_valid(self, token: str, scope: Scope) -> bool:
        """Returns whether a token is valid; the scope gets the person it belongs to."""
        if self._tokens is None:
            own = self._settings.token
            return own is not None and _same(token, own)
        if self._tokens.is_fresh:
            person = self._tokens.find(token)
        else:
            # The event loop must not wait for the disk.
            person = await run_in_threadpool(self._tokens.find, token)
        if person is not None:
            scope[PERSON] = person
        return person is not None

    def _most_bytes(self, scope: Scope) -> int:
        limits = self._settings.limits
        return limits.upload_bytes if _is_upload(scope) else limits.json_bytes

    def _check_length(self, headers: Headers, scope: Scope) -> None:
        most = self._most_bytes(scope)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > most:
            raise Refusal(413, "too_large", _too_large(most))


class _Body:
    """The body of a request as it is received, within bounds.

    Bytes are counted, since a request need not have a Content-Length. JSON of a few
    megabytes takes a multiple of its size while it is parsed, validated and processed, so
    large bodies are received one at a time.
    """

    def __init__(self, receive: Receive, most: int, turn: asyncio.Semaphore | None):
        self._receive = receive
        self._most = most
        self._turn = turn
        self._taken = 0
        self._is_whole = False
        self._deadline: float | None = None

    async def receive(self) -> Message:
        """Receives a message (ASGI)."""
        if self._deadline is None or self._is_whole:
            message = await self._receive()
        else:
            try:
                async with asyncio.timeout_at(self._deadline):
                    message = await self._receive()
            except TimeoutError:
                raise BodyTooSlow from None
        if message["type"] != "http.request":
            return message
        self._taken += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._taken > self._most:
            raise BodyTooLarge(self._most)
        if self._taken > _LARGE and self._turn and self._deadline is None:
            await self._turn.acquire()
            self._deadline = asyncio.get_running_loop().time() + _FOR_LARGE
        return message

    def release(self) -> None:
        """Lets the next large body be received."""
        if self._turn and self._deadline is not None:
            self._turn.release()
            self._turn = None


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "PUT" and scope["path"].startswith(f"{API}/images/")


def _trust(scope: Scope) -> None:
    """Protects the connection from being closed in favour of new ones."""
    connection = (scope.get("extensions") or {}).get(EXTENSION)
    if connection is not None:
        connection["trust"]()


def _check_origin(headers: Headers) -> None:
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin")
    is_ours = origin is None or urlsplit(origin).netloc == headers.get("host", "")
    if site not in ("none", "same-origin") or not is_ours:
        raise Refusal(
            403,
            "foreign_origin",
            f"got a write from {shown(origin or site)}, expected one from a page of this "
            "server, or from a program",
        )


def _name_of(host: str) -> str:
    """Returns the name in a Host header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _same(given: str, own: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), own.encode())


def _cookie_name(scope: Scope) -> str:
    # Browsers separate cookies by host, not by port: servers on two ports need two names.
    server = scope.get("server") or ("", 0)
    return f"samjax_token_{server[1] or 0}"


def _unauthorized() -> Refusal:
    return Refusal(
        401,
        "unauthorized",
        "no token, or a wrong one: open the address that the server or its owner gave "
        "you, or send 'Authorization: Bearer TOKEN'",
    )


def _too_large(most: int) -> str:
    return f"got a body of more than {most} bytes, expected at most that many"
