"""An API that accepts operations and shows their status: `uvicorn fastapi_app:app`.

curl -X PUT localhost:8000/groups/team-a -H 'Idempotency-Key: order-4711'
curl localhost:8000/operations/order-4711
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException

from lockstep import ClusterClient, GroupBusy, InvalidInput, LockstepError, UnknownOperation

app = FastAPI()
cluster = ClusterClient(created_by="api")  # shared by all threads; it connects when it is first used


@contextmanager
def as_http() -> Iterator[None]:
    """Turn what Lockstep refuses into an answer; the text is one line for people."""
    try:
        yield
    except UnknownOperation as error:
        raise HTTPException(404, str(error)) from None
    except GroupBusy as error:
        raise HTTPException(409, str(error)) from None
    except InvalidInput as error:
        raise HTTPException(422, str(error)) from None
    except LockstepError as error:  # Redis is away or full: nothing is known to be wrong with the request
        raise HTTPException(503, str(error)) from None


# Not `async def`: FastAPI runs these in threads, where a call to Redis holds up nobody.
@app.put("/groups/{group}", status_code=202)
def create(group: str, idempotency_key: Annotated[str, Header()]) -> dict[str, str]:
    """Accept, and answer at once. The same key again is the same operation, not a second one."""
    with as_http():
        operation = cluster.create_group(group, operation_id=idempotency_key)
    return {"operation": operation.id, "status": f"/operations/{operation.id}"}


@app.get("/operations/{operation}")
def show(operation: str) -> dict[str, object]:
    """Tell how far it is. It has ended once `state` is committed, rolled_back or abandoned."""
    with as_http():
        status = cluster.operation(operation).status()
    return {"group": status.group, "state": status.state, "reason": status.reason}
