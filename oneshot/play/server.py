"""Server of the page, on this machine alone: it checks who asks and what.

One answer is computed at a time, and others wait. A request that is wrong gets one sentence,
`{"error": ...}`, with a status of 400 to 499; one to another host Starlette's own.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oneshot.errors import OneshotError, shorten
from oneshot.params import Section, describe_problems
from oneshot.play import forms
from oneshot.play.game import Game, Reply
from oneshot.records import played

LOOPBACK = "127.0.0.1"
MOST_BYTES = 2**18  # of a message; five characters and a query take some 30,000
STATIC = Path(__file__).parent / "static"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

Sent = TypeVar("Sent", bound=Section)


class SafeHeaders:
    """Middleware that sends HEADERS with every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_safely)


def create_app(game: Game) -> Starlette:
    """Make the application: the page's files, and an address for each of the game's methods."""
    one_at_a_time = anyio.CapacityLimiter(1)  # others wait, holding no more than their message

    def route(name: str, form: type[Sent], answer: Callable[[Sent], Reply]) -> Route:
        async def respond(request: Request) -> JSONResponse:
            body = await read_body(request)
            # Reading too: what is long and wrong takes its time.
            return await anyio.to_thread.run_sync(
                lambda: JSONResponse(answer(read_message(form, body))), limiter=one_at_a_time
            )

        return Route(f"/api/{name}", respond, methods=["POST"])

    return Starlette(
        routes=[
            route("describe", forms.Nothing, game.describe),
            route("scene", forms.NewScene, game.new_scene),
            route("find", forms.Search, game.find),
            route("questions", forms.Nothing, game.choose_questions),
            route("question", played.Trial, game.show_question),
            route("answer", played.Trial, game.answer_question),
            route("result", played.Choices, game.sum_up),
            route("own", forms.OwnTrial, game.rank_own),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"]),
        ],
        exception_handlers={
            HTTPException: refuse,
            OneshotError: refuse,
            ClientDisconnect: refuse,
            Exception: confess,
        },
    )


async def read_body(request: Request) -> bytes:
    """Read a message's bytes; more than there may be are counted and not kept.

    Raises:
        HTTPException: it is too long, or not of the type of JSON, which pages from elsewhere cannot send.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body, n_bytes = bytearray(), 0
    async for some in request.stream():
        n_bytes += len(some)
        if n_bytes <= MOST_BYTES:
            body += some
    if n_bytes > MOST_BYTES:
        raise HTTPException(413, f"the message has {n_bytes:,} bytes; at most {MOST_BYTES:,} are read.")
    if kind != "application/json":
        raise HTTPException(415, f"the content type is {shorten(kind)!r}; send application/json.")
    return bytes(body)


def read_message(form: type[Sent], body: bytes) -> Sent:
    """Check a message. Raises HTTPException if it does not fit its form."""
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, f"the message does not fit: {describe_problems(error)}.") from None


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that is wrong in one sentence."""
    status, said, headers = 400, str(error), None
    if isinstance(error, HTTPException):
        status, said, headers = error.status_code, error.detail, error.headers
    if status in (404, 405):
        said = f"there is no {request.method} {shorten(request.url.path)!r} here."
    return JSONResponse({"error": said or "the request was cut off."}, status, headers)


async def confess(request: Request, error: Exception) -> JSONResponse:
    """Answer what should not happen; the server's log has the traceback."""
    return JSONResponse({"error": "the server made a mistake: see where it runs."}, 500, HEADERS)


def serve(game: Game, port: int) -> None:
    """Serve the page until Ctrl-C. port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    with socket.create_server((LOOPBACK, port)) as listener:
        print(f"Play at http://{LOOPBACK}:{listener.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        make_server(game).run([listener])


def make_server(game: Game) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            create_app(game),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_level="error",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
