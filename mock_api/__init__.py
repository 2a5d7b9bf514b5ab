"""A cluster of unstable nodes: real HTTP on real ports, seeded faults, and a record of the truth.

Each node keeps groups and speaks the node API (`POST` and `DELETE /v1/group/`, `GET /v1/group/{groupId}/`)
on a port of its own. An admin port breaks nodes, plants groups and tells what really happened:

    python -m lockstep.mock_api --nodes 5 --port 5001                   # node1 on 5001, …; the admin on 5006
    python -m lockstep.mock_api --node node3 --port 5003 --state file   # one alone, to be killed

A killed node that is started again with the same state file holds what it held. One line of JSON on stdout
says when everything serves, and where: `{"ready": true, "nodes": {"node1": "http://…"}, "admin": "…"}`.

**Faults** are rules: JSON objects in a list, from `--faults FILE` or sent to `/faults` (every node) or
`/nodes/{name}/faults` of the admin API, for example

    [{"kind": "reset_after", "methods": ["POST"], "group": "team-*", "probability": 0.2},
     {"kind": "delayed", "seconds": 3, "node": "node2", "after": 1, "times": 1},
     {"kind": "latency", "latency": {"uniform": [5, 50]}}]

| kind | the call takes effect | the client gets |
| --- | --- | --- |
| `error_before`, `error_after` | no; yes | `status` (500) |
| `hang_before` | no | nothing, or `status` (504) after `seconds` |
| `hang_after` | yes, at once | nothing, or the real answer after `seconds` |
| `reset_before`, `reset_after` | no; yes | a TCP reset |
| `malformed` | yes | success, with an HTML page (or `body`) |
| `wrong_id` | yes | success, with another group's id |
| `dribble` | yes | the real answer byte by byte, with a pause of `seconds` at another byte in each call |
| `delayed` | yes, `seconds` later, even if the client left | nothing; if `answers`, then the real answer |
| `ignore` | no | the answer of a call that does |
| `rewrite` | yes, with texts in fields that a kind calls `rewritten` in upper case | the real answer |
| `refuse` | no | `status` (403) |
| `throttle` | no | `status` (429) with Retry-After: `retry_after` (1) |
| `redirect` | no | `status` (307) with Location: `location` |
| `answer` | no | `status` (200) and `body` |
| `down` | the node refuses connections, for `seconds` or until `up` | connection refused |
| `latency` | later: every call of the node, by `latency`: `fixed`, `uniform` or `choices` (ms) | the answer |

Every kind but the last two takes `probability`, `methods`, `group` (exact, or a prefix with `*`), `times`
and `after`; see `faults.Rule`. Chance is seeded per node, see `faults.Plan`. The record is described in
`history`, and `admin.ClusterAdmin` speaks to the admin port from Python.

What the pieces are: `node` (groups, and what calls do to them), `faults` (rules and latencies, and which
strikes), `calls` (one call in time), `app` and `admin_app` (the two APIs), `cluster` (ports that can be shut,
and all of it), `options` (the command line).
"""

if __name__ != "lockstep.mock_api":
    # One file under two names would be two modules: two locks, two kinds of every error.
    raise ImportError(
        "import lockstep.mock_api: the folder mock_api/ is a part of the package lockstep", name=__name__
    )
