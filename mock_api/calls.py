"""The course of one call: when it takes effect, when and how it is answered, whatever its client does."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from pydantic import JsonValue
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lockstep.mock_api.faults import BETWEEN_BYTES, Draw, FaultKind, Form, Method, Rule, Script, script
from lockstep.mock_api.history import CallEnd, History, Record
from lockstep.mock_api.node import MALFORMED, Answer, GroupBody, Node, problem
from lockstep.mock_api.play import PlayedCall

logger = logging.getLogger(__name__)

HTML = "<html><body><h1>It works!</h1></body></html>"
SUCCESS: dict[str, int] = {Method.GET: 200, Method.POST: 201, Method.DELETE: 200}
BODILESS = frozenset({204, 205, 304})
NOBODY_THERE = Response()
# on, 0 s: closing discards what is unsent and sends RST instead of FIN.
LINGER_NOT = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Break the connection off with a TCP RST."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        transport.abort()


class CallHandler:
    def __init__(self, node: Node, history: History) -> None:
        self.node = node
        self._history = history
        self._unfinished: dict[asyncio.Transport, asyncio.TimerHandle | None] = {}
        """By its connection: a call whose answer is still to come, or its effect, which then has a timer."""

    def drop_unfinished(self) -> None:
        """Drop every call under way, so that none lands on what comes after."""
        for transport, landing in self._unfinished.items():
            if landing is not None:
                landing.cancel()
            reset(transport)
        self._unfinished.clear()

    async def take(
        self, request: Request, method: Method | None = None, group: str | None = None
    ) -> Response:
        """Carry out one request as chance and the rules have it; without a method it is of its kind."""
        try:
            raw = await request.body()
        except ClientDisconnect:
            return NOBODY_THERE
        body: GroupBody | PlayedCall = {}
        sent: JsonValue = None
        if method is None:
            assert self.node.things is not None
            path, query = request.scope["raw_path"].decode("ascii"), request.url.query
            call = PlayedCall(request.method, path, query, raw.decode("utf-8", "replace"))
            thing, writes = self.node.things.about(call)
            method = Method.GET if not writes else Method.DELETE if call.method == "DELETE" else Method.POST
            group, body, sent = thing or path, call, call.body[:1000] or None
        elif method is not Method.GET:
            sent, parsed = parse(raw)
            if parsed is not None:
                body, group = parsed, str(parsed["groupId"])
        draw = self.node.plan.draw(method, group)
        attempt = request.headers.get("x-lockstep-attempt")
        fault = draw.rule.kind.value if draw.rule else None
        asked = Record(self.node.name, method, group, body=sent, attempt=attempt, fault=fault)
        record = self._history.open(asked)
        land = partial(self._land, record, method, body)
        if draw.rule is None and not draw.delay:
            answer = land()
            self._history.close(record, CallEnd.ANSWERED, answer.status)
            return rendered(answer)
        return await self._play(request, record, land, draw)

    async def _play(
        self, request: Request, record: Record, land: Callable[[], Answer], draw: Draw
    ) -> Response:
        course, loop = script(draw.rule), asyncio.get_running_loop()
        transport: asyncio.Transport = request.state.transport
        self._unfinished[transport] = None
        landed: asyncio.Future[Answer] = loop.create_future()

        def take_effect() -> None:
            self._unfinished[transport] = None
            landed.set_result(land())
            if record.end is not None:
                del self._unfinished[transport]

        due = draw.delay + course.lands_after
        if not course.lands:
            landed.set_result(problem(course.status, "fault"))
        elif due == 0:
            take_effect()
        else:
            # A timer of the loop, no part of this handler: it lands although the client is gone.
            self._unfinished[transport] = loop.call_later(due, take_effect)
        try:
            left = await left_within(request, due)
            answer = None if left else await landed
            if answer is None or await left_within(request, course.answers_after):
                self._history.close(record, CallEnd.LEFT)
                return NOBODY_THERE
        finally:
            if self._unfinished.get(transport) is None:
                self._unfinished.pop(transport, None)
        if course.form is Form.RESET:
            self._history.close(record, CallEnd.RESET)
            reset(transport)
            await asyncio.sleep(0)
            return NOBODY_THERE
        response = shaped(answer, course, draw.rule, record)
        if course.form is Form.BYTES and not await dribbled(request, response, record.seq, course.pause):
            self._history.close(record, CallEnd.LEFT)
            return NOBODY_THERE
        self._history.close(record, CallEnd.ANSWERED, response.status_code)
        return response

    def _land(self, record: Record, method: Method, body: GroupBody | PlayedCall) -> Answer:
        if record.group is None or (method is not Method.GET and not body):
            return problem(400, MALFORMED)
        try:
            return self.node.land(record, method, body)
        except OSError as error:
            logger.error("%s could not save its groups: %s", self.node.name, error)
            return problem(500, "The group could not be saved; nothing was changed.")


async def left_within(request: Request, seconds: float | None) -> bool:
    """Wait `seconds`, None for ever, or less if the client leaves; tell whether it left."""
    transport: asyncio.Transport = request.state.transport
    if seconds != 0:
        try:
            async with asyncio.timeout(seconds):
                while (await request.receive())["type"] != "http.disconnect":
                    pass
            return True
        except TimeoutError:
            pass
    return transport.is_closing()


async def dribbled(request: Request, response: Response, number: int, pause: float) -> bool:
    """Send a response byte by byte, and close the connection; tell whether the client stayed for all of it.

    The number of the call says before which byte there is a pause.
    """
    transport: asyncio.Transport = request.state.transport
    head = [f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}", "connection: close"]
    head += [f"{name.decode()}: {value.decode()}" for name, value in response.raw_headers]
    raw = "\r\n".join([*head, "", ""]).encode() + bytes(response.body)
    for place in range(len(raw)):
        if await left_within(request, pause if place == number % len(raw) else BETWEEN_BYTES):
            return False
        transport.write(raw[place : place + 1])
    transport.close()
    await asyncio.sleep(0)
    return True


def parse(raw: bytes) -> tuple[JsonValue, GroupBody | None]:
    """Return what was sent, for the history, and the group if it is one."""
    try:
        sent: JsonValue = json.loads(raw)
    except (ValueError, RecursionError):
        return raw[:1000].decode("utf-8", "replace"), None
    if isinstance(sent, dict) and isinstance(sent.get("groupId"), str) and sent["groupId"]:
        return sent, sent
    return sent, None


def shaped(answer: Answer, course: Script, rule: Rule | None, record: Record) -> Response:
    """Give an answer the form its fault asks for, with the headers that go with its kind."""
    if course.form is Form.WRONG_ID:
        return rendered(Answer(SUCCESS[record.method], {"groupId": f"{record.group}-other"}))
    if course.form is Form.HTML and rule is not None:
        return rendered(Answer(SUCCESS[record.method], HTML if rule.body is None else rule.body))
    if course.form is not Form.STATUS or rule is None:
        return rendered(answer)
    status = course.status
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Fault"
    own = rule.kind is FaultKind.ANSWER
    response = rendered(Answer(status, rule.body) if own else problem(status, f"{phrase} ({rule.kind})"))
    if rule.kind is FaultKind.THROTTLE:
        response.headers["retry-after"] = str(1 if rule.retry_after is None else rule.retry_after)
    if rule.kind is FaultKind.REDIRECT:
        response.headers["location"] = rule.location or "/elsewhere/"
    return response


def rendered(answer: Answer) -> Response:
    """Make the HTTP response: JSON, HTML for a string, or nothing for `None`."""
    if answer.body is None or answer.status in BODILESS:
        return Response(status_code=answer.status)
    if isinstance(answer.body, str):
        return Response(answer.body, answer.status, media_type="text/html")
    return Response(json.dumps(answer.body), answer.status, media_type="application/json")
