"""`python -m lockstep.mock_api`: serve the nodes until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from typing import TYPE_CHECKING

from lockstep.extras import complaint

if TYPE_CHECKING:
    from lockstep.mock_api.cluster import Spec


async def serve(spec: Spec) -> None:
    """Serve until SIGTERM or SIGINT, then leave at once, hanging calls and all."""
    from lockstep.mock_api.admin_app import admin_app
    from lockstep.mock_api.cluster import Cluster, Listener, served

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    cluster = Cluster(spec)
    admin = Listener(spec.host, spec.admin_port, served(admin_app(cluster)), {})
    await cluster.open()
    await admin.open()
    nodes = {name: member.listener.url for name, member in cluster.members.items()}
    print(json.dumps({"ready": True, "nodes": nodes, "admin": admin.url}), flush=True)
    await stop.wait()
    # Calls under way are cut off, not answered; that they end as cancelled is no news to anybody now.
    logging.disable()
    cluster.close()
    admin.close()
    await asyncio.sleep(0)


def main() -> int:
    """Run the command; 1 when its packages are not here, 2 when what was given is wrong."""
    if lacks := complaint("demo", "mock_api"):
        print(f"mock_api: {lacks}", file=sys.stderr)
        return 1
    from lockstep.mock_api.faults import InputError
    from lockstep.mock_api.options import read

    try:
        asyncio.run(serve(read()))
    except InputError as error:
        print(f"mock_api: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
