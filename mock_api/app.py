"""The node API as a FastAPI application. One serves every node: the port a call came in on tells which."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Final

from fastapi import FastAPI, Path, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from lockstep.mock_api.calls import CallHandler
from lockstep.mock_api.faults import Method

DOCS: Final = (files("lockstep.mock_api") / "docs.html").read_text("utf-8")


class Group(BaseModel):
    """A group. Fields beside the id are kept as they were given."""

    model_config = ConfigDict(extra="allow")

    groupId: str = Field(min_length=1, examples=["team-a"])  # noqa: N815 - the wire says so


class Problem(BaseModel):
    """Why a call was turned down."""

    detail: str = Field(examples=["Bad request. Perhaps the object exists."])


ATTEMPT: Final = {
    "name": "X-Lockstep-Attempt",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Noted in the history; no effect on the node.",
}
# Body and header are described here and read by hand: what is malformed must answer 400 and be in the history
# too, and a parameter that FastAPI must work out costs every call some time.
WRITES: Final = {
    "parameters": [ATTEMPT],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Group"}}},
    },
}


def documented(title: str, description: str) -> FastAPI:
    """Build an application whose /docs need no internet: FastAPI's own load their scripts from a CDN."""
    app = FastAPI(title=title, version="1", description=description, docs_url=None, redoc_url=None)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(DOCS)

    return app


def node_app(*, plays: bool = False) -> FastAPI:
    """Build the application; `request.state.desk` must be the `CallHandler` of the node that was called.

    If nodes play a kind beside groups, whatever else comes is the kind's.
    """
    app = documented(
        "Cluster node",
        "Keeps groups. Unstable on purpose: any call may fail, hang or be cut off, before or "
        "after it took effect, as the admin API of the cluster has been told.",
    )

    @app.post(
        "/v1/group/",
        status_code=201,
        summary="Create a group",
        operation_id="create_group",
        response_model=None,
        openapi_extra=WRITES,
        responses={
            201: {
                "model": Group,
                "description": "Created. The body is the group, or empty, by the node's setting.",
            },
            400: {"model": Problem, "description": "The group exists, or the body is malformed."},
        },
    )
    async def create_group(request: Request) -> Response:
        desk: CallHandler = request.state.desk
        return await desk.take(request, Method.POST)

    @app.delete(
        "/v1/group/",
        summary="Delete a group",
        operation_id="delete_group",
        response_class=Response,
        openapi_extra=WRITES,
        responses={
            200: {"description": "Deleted; the body is empty."},
            400: {
                "model": Problem,
                "description": "The body is malformed; or the group is absent, on some nodes.",
            },
            404: {"model": Problem, "description": "The group is absent, on the other nodes."},
        },
    )
    async def delete_group(request: Request) -> Response:
        desk: CallHandler = request.state.desk
        return await desk.take(request, Method.DELETE)

    @app.get(
        "/v1/group/{groupId:path}/",
        summary="Read a group",
        operation_id="get_group",
        response_model=None,
        openapi_extra={"parameters": [ATTEMPT]},
        responses={
            200: {"model": Group, "description": "The group, with every field it was given."},
            404: {"model": Problem, "description": "The group is absent."},
        },
    )
    async def get_group(
        request: Request,
        group: Annotated[str, Path(alias="groupId", description="The group's id, percent-encoded.")],
    ) -> Response:
        desk: CallHandler = request.state.desk
        return await desk.take(request, Method.GET, group)

    @app.get("/health", summary="Tell whether the node is well", operation_id="get_health")
    async def get_health(request: Request) -> Response:
        node = request.state.desk.node
        return Response(status_code=503 if node.manners.unwell_with in node.groups else 200)

    if plays:

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], response_model=None)
        async def call(request: Request) -> Response:
            desk: CallHandler = request.state.desk
            return await desk.take(request)

    return app
