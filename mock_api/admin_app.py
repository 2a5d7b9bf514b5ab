"""The admin API: the hand that breaks nodes, plants groups and reads the history."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BeforeValidator, JsonValue

from lockstep.mock_api.admin import NodeInfo
from lockstep.mock_api.app import documented
from lockstep.mock_api.cluster import Cluster, Member
from lockstep.mock_api.faults import ArmedRule, Latency, Rule, explain
from lockstep.mock_api.history import CallEnd, Record
from lockstep.mock_api.node import GroupBody, Manners

HISTORY_CHUNK = 500
Rules = Annotated[
    list[Rule],
    BeforeValidator(lambda given: [given] if isinstance(given, dict) else given),
    Body(description="A list of rules; one alone needs no list."),
]
NewLatency = Annotated[Latency | None, Body()]
FORMAT = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}


def admin_app(cluster: Cluster) -> FastAPI:
    """Build the admin application of a cluster. Paths without a node name act on every node."""
    app = documented("Cluster admin", __doc__ or "")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": explain(error.errors()[0])}, 422)

    def chosen(name: str | None) -> list[Member]:
        if name is None:
            return list(cluster.members.values())
        if name not in cluster.members:
            known = ", ".join(cluster.members)
            raise HTTPException(404, f'node "{name}" is not in the cluster; known: {known}')
        return [cluster.members[name]]

    def info(member: Member) -> NodeInfo:
        node = member.node
        return NodeInfo(
            name=member.name,
            url=member.listener.url,
            up=member.listener.up,
            groups=len(node.groups),
            latency=node.plan.latency,
            **dict(node.manners),
        )

    async def arm(name: str | None, rules: list[Rule], *, keep: bool = False) -> dict[str, list[ArmedRule]]:
        members = chosen(name)
        for rule in rules:
            if rule.node is not None and chosen(rule.node)[0] not in members:
                raise HTTPException(422, f'a rule for "{rule.node}" was given to "{name}"; leave "node" out')
        for member in members:
            await member.apply(rules, keep=keep)
        return {member.name: member.node.plan.armed for member in members}

    @app.get("/health", summary="Tell that the cluster serves")
    async def health() -> dict[str, bool]:
        return {"ready": True}

    @app.get("/nodes", summary="List the nodes")
    async def nodes() -> list[NodeInfo]:
        return [info(member) for member in chosen(None)]

    @app.get("/nodes/{name}", summary="Show a node")
    async def node(name: str) -> NodeInfo:
        return info(chosen(name)[0])

    @app.get("/faults", summary="Show the rules, with their counters")
    @app.get("/nodes/{name}/faults", summary="Show a node's rules, with their counters")
    async def faults(name: str | None = None) -> dict[str, list[ArmedRule]]:
        return {member.name: member.node.plan.armed for member in chosen(name)}

    @app.put("/faults", summary="Replace the rules")
    @app.put("/nodes/{name}/faults", summary="Replace a node's rules")
    async def replace_faults(rules: Rules, name: str | None = None) -> dict[str, list[ArmedRule]]:
        return await arm(name, rules)

    @app.post("/faults", summary="Add rules after those there are")
    @app.post("/nodes/{name}/faults", summary="Add rules to a node")
    async def add_faults(rules: Rules, name: str | None = None) -> dict[str, list[ArmedRule]]:
        return await arm(name, rules, keep=True)

    @app.delete("/faults", summary="Remove every rule; latency and nodes that are down stay so")
    @app.delete("/nodes/{name}/faults", summary="Remove a node's rules")
    async def remove_faults(name: str | None = None) -> dict[str, list[ArmedRule]]:
        return await arm(name, [])

    @app.put("/latency", summary="Set the latency of every node; null for none")
    @app.put("/nodes/{name}/latency", summary="Set a node's latency; null for none")
    async def latency(latency: NewLatency = None, name: str | None = None) -> list[NodeInfo]:
        for member in chosen(name):
            member.node.plan.latency = latency
        return [info(member) for member in chosen(name)]

    @app.put("/settings", summary="Set how every node answers; what is left out stays as it is")
    @app.put("/nodes/{name}/settings", summary="Set how a node answers; what is left out stays as it is")
    async def settings(settings: Manners, name: str | None = None) -> list[NodeInfo]:
        for member in chosen(name):
            given = settings.model_dump(exclude_unset=True)
            member.node.manners = member.node.manners.model_copy(update=given)
        return [info(member) for member in chosen(name)]

    @app.post("/nodes/{name}/down", summary="Refuse connections, for ever or some seconds")
    async def down(name: str, seconds: Annotated[float | None, Query(ge=0)] = None) -> NodeInfo:
        member = chosen(name)[0]
        member.down(seconds)
        return info(member)

    @app.post("/nodes/{name}/up", summary="Accept connections again")
    async def up(name: str) -> NodeInfo:
        member = chosen(name)[0]
        await member.up()
        return info(member)

    @app.get("/nodes/{name}/groups", summary="Show what a node holds, by id")
    async def groups(name: str) -> dict[str, GroupBody]:
        return chosen(name)[0].node.groups

    def plant_or_drop(name: str, group: str, method: str, body: GroupBody | None) -> JsonValue:
        node = chosen(name)[0].node
        record = cluster.history.open(Record(name, method, group, actor="admin", body=body))
        answer = node.plant(record, body)
        cluster.history.close(record, CallEnd.ANSWERED, answer.status)
        if answer.status != 200:
            raise HTTPException(answer.status, f'group "{group}" is not on {name}')
        return answer.body

    @app.put("/nodes/{name}/groups/{group:path}", summary="Put a group in place, past every fault")
    async def plant(name: str, group: str, body: Annotated[GroupBody | None, Body()] = None) -> JsonValue:
        return plant_or_drop(name, group, "PUT", {"groupId": group, **(body or {})})

    @app.delete("/nodes/{name}/groups/{group:path}", summary="Remove a group, past every fault")
    async def drop(name: str, group: str) -> JsonValue:
        return plant_or_drop(name, group, "DELETE", None)

    @app.get("/history", summary="Read the requests as JSON lines", response_class=Response, responses=FORMAT)  # type: ignore[arg-type]
    async def history(
        node: str | None = None, group: str | None = None, since: Annotated[int, Query(ge=0)] = 0
    ) -> StreamingResponse:
        return StreamingResponse(
            in_chunks(cluster.history.select(node, group, since)), media_type="application/x-ndjson"
        )

    @app.post("/reset", summary="Clear groups, faults and history; every node comes up")
    async def reset() -> list[NodeInfo]:
        await cluster.reset()
        return [info(member) for member in chosen(None)]

    return app


async def in_chunks(records: Iterator[Record]) -> AsyncIterator[str]:
    """Yield the records' lines, leaving the loop to the nodes now and then."""
    while some := list(islice(records, HISTORY_CHUNK)):
        yield "".join(json.dumps(record.request()) + "\n" for record in some)
        await asyncio.sleep(0)
