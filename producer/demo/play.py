"""The demo: a stack starts, nodes break, groups come and go, and each node is asked what it holds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lockstep.mock_api.admin import AdminError, ClusterAdmin, Json
from lockstep.producer.cli.commands import watch
from lockstep.producer.cli.output import COLOURS, Cell, note
from lockstep.producer.cli.report import came_to
from lockstep.producer.cli.text import NOTHING, event_row, host_table
from lockstep.producer.client.client import ClusterClient
from lockstep.producer.client.operation import Operation, Reading
from lockstep.producer.operators.history import timeline
from lockstep.producer.process import UNWRITTEN, Stopped, outlets, stoppable
from lockstep.producer.stack import Stack, StackError
from lockstep.producer.stack.command import complain, end_at_once, out, warn
from lockstep.worker.operation.errors import LockstepError, WaitTimeout
from lockstep.worker.operation.model import State, Status
from lockstep.worker.settings import PREFIX, load_settings

SETTINGS = {
    "connect_timeout": "1",
    "read_timeout": "1",
    "call_timeout": "2",
    "send_within": "1",
    "settle_seconds": "2",
    "patience": "3",
}
"""Seconds. Shorter than the defaults, for these nodes are near, and so are you."""


def main() -> int:
    """Play the demo: 0 if every promise was kept, 1 if not, 74 if stdout fails; 128 + a signal's number."""
    with outlets() as shown:
        code = begin()
        if shown.lost is None:
            return code
        note(f"stdout could not be written to ({shown.lost}); the demo ended with {code}")
        return UNWRITTEN


def begin() -> int:
    # The demo is about itself alone: whatever cluster this shell is set up for, it must not be that.
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    env = {PREFIX + name.upper(): value for name, value in SETTINGS.items()}
    try:
        stack = Stack(env=env, seed=SEED, say=warn)
        with stoppable(lambda: end_at_once(stack)):
            return play(stack, out)
    except Stopped as stopped:
        note("Stopped; nothing is left running.")
        return stopped.exit_status
    except (LockstepError, StackError, AdminError, OSError) as error:
        return complain(error, 1)


def play(stack: Stack, out: Console) -> int:
    """Start the stack, play every act on it, and say whether all promises were kept."""
    began = time.monotonic()
    out.print("[bold]Lockstep: all hosts or none.[/]\n")
    out.print("Redis, two workers, beat and a cluster of five nodes start on this machine,")
    out.print("with shorter times than usual, for they are all near:\n")
    for name, value in SETTINGS.items():
        out.print(f"   [cyan]{PREFIX}{name.upper()}={value}[/]")
    out.print()
    try:
        with out.status("Starting"):
            stack.start()
        with ClusterClient(load_settings(**stack.settings), created_by="demo") as client:
            demo = Demo(out, client, ClusterAdmin(stack.admin_url))
            demo.run()
    finally:
        with out.status("Stopping"):
            stack.stop()
    for promise in demo.broken:
        out.print(f"[bold red]Broken:[/] {escape(promise)}")
    if demo.broken:
        return 1
    seconds = time.monotonic() - began
    out.print("[bold green]All five ended as promised, on every node.[/]")
    out.print(f"That took {seconds:.0f} s, and nothing is left running.")
    out.print("Next: [cyan]make up[/] keeps such a cluster running for you to command.")
    return 0


Body = Mapping[str, Json]

SEED = 5481
"""Of the faults: the n-th call of a node has the same fate in every run. Here six writes fail, three of them
having taken effect, and node3 needs three attempts."""

UNSTABLE: list[Body] = [
    {"kind": "error_before", "probability": 0.15},
    {"kind": "error_after", "probability": 0.15},
    {"kind": "hang_before", "probability": 0.05},
    {"kind": "hang_after", "probability": 0.05},
]
REFUSING: list[Body] = [{"kind": "refuse", "group": "team-b"}]
SLOW = 400
"""Milliseconds: node4 refuses when the others have created the group, so that there is something to undo."""
THEIRS: Body = {"groupId": "team-b", "owner": "somebody else"}

LONGEST = 40.0
"""Seconds for one operation to end; it takes 10 at most."""
INDENT = (0, 0, 0, 3)
WORTH_TELLING = 500
"""Milliseconds between the answer to the caller and the release of the lock."""
HEADER = ("HOST", "BEFORE", "WHAT HAPPENED", "WRITES", "NOW")

Expected = dict[str, Body | None]
"""Node -> the body of the group that it must hold at the end; None for no group."""


class Demo:
    """The acts, in order; `broken` names every promise that was not kept."""

    def __init__(self, console: Console, client: ClusterClient, nodes: ClusterAdmin) -> None:
        self._console = console
        self._client = client
        self._nodes = nodes
        self.broken: list[str] = []

    def run(self) -> None:
        self.unstable()
        self.refused()
        self.down()
        self.unwell()

    def unstable(self) -> None:
        self._act(
            "1. Create team-a on unstable nodes",
            "Each answers 500 to 3 calls in 10 and nothing at all to 1 in 10, "
            "half of them after doing as asked.",
        )
        self._nodes.set_faults(*UNSTABLE)
        created = self._client.create_group("team-a")
        self._follow(created, State.COMMITTED, self._everywhere("team-a"), then=self._mend)
        calls = [call for call in self._nodes.history() if call.actor != "admin"]
        failed = [call for call in calls if call.fault]
        landed = sum(call.effect_at is not None for call in failed)
        self._say(
            f"{len(failed)} of {len(calls)} calls failed; {landed} of those were writes that took effect."
        )

    def refused(self) -> None:
        self._act(
            "2. Create team-b, which node4 refuses for good",
            "node2 has one already, somebody else's: undoing must not take it away.",
        )
        self._nodes.plant("node2", "team-b", THEIRS)
        self._nodes.set_faults(*REFUSING, node="node4")
        self._nodes.set_latency(SLOW, "node4")
        expected = {**self._nowhere(), "node2": THEIRS}
        created = self._client.create_group("team-b")
        self._follow(created, State.ROLLED_BACK, expected, then=self._mend)

    def down(self) -> None:
        self._act(
            "3. Delete team-a while node5 is down",
            "All nodes lose it or none does, so the others must get it back.",
        )
        self._nodes.down("node5")
        deleted = self._client.delete_group("team-a")
        expected = self._everywhere("team-a")
        self._follow(deleted, State.ROLLED_BACK, expected, then=lambda: self._nodes.up("node5"))
        self._say("node5 is up again; what it holds now is what it says itself.")
        self._act("4. Delete team-a again, now that node5 is up", "")
        self._follow(self._client.delete_group("team-a"), State.COMMITTED, self._nowhere())

    def unwell(self) -> None:
        self._act(
            "5. Create team-c in waves, one node first",
            "node1 answers 503 at /health while it has team-c, which is seen before any other node is asked.",
        )
        self._nodes.set_manners("node1", unwell_with="team-c")
        created = self._client.create_group("team-c", waves="1,100%", bake=1, health="/health")
        self._follow(created, State.ROLLED_BACK, self._nowhere())
        status = created.status()
        course = Table(box=None, show_header=False, padding=(0, 3, 0, 0), style="dim")
        for event in timeline(status, created.steps()):  # as `lockstep show` does
            course.add_row(*(Text(cell) for cell in event_row(status, event)[:4]))
        self._console.print(Padding(course, INDENT, expand=False))
        self._console.print()
        writes = [call.node for call in self._nodes.history(group="team-c") if call.method != "GET"]
        self._say(f"In the nodes' own histories: {len(writes)} writes, all of them to node1.")
        if set(writes) != {"node1"}:
            self.broken.append(f"create team-c wrote to {', '.join(sorted(set(writes)))}, not to node1 alone")

    def _mend(self) -> None:
        self._nodes.set_faults()
        self._nodes.set_latency(None)

    def _act(self, title: str, about: str) -> None:
        self._console.print(f"[bold]{title}[/]")
        if about:
            self._say(about)

    def _say(self, words: str) -> None:
        self._console.print(Padding(Text(f"{words}\n", "dim"), INDENT, expand=False))

    def _follow(
        self,
        operation: Operation,
        promised: State,
        expected: Expected,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Show an operation until its lock is released, do `then`, and hold each node against the promise."""
        title = f"{operation.action} {operation.group}"
        seen = _in_time(operation, title)
        watch.follow(seen, watch.hosts_table, watch.host_lines, transient=True)
        operation.wait_end(LONGEST)  # whoever watched may have left
        then()
        status, steps = operation.status(), operation.steps()
        if status.state is not promised:
            self.broken.append(f"{title} ended {status.state}, not {promised}")
        head = Text(f"{title}  ").append_text(verdict(status))
        if status.reason:
            head.append(f"\nbecause {status.reason}", style="dim")
        rows = [
            (
                step.host,
                step.before.presence if step.before else NOTHING,
                came_to(status, step),
                str(len(step.attempts)),
                self._compare(title, step.host, operation.group, expected),
            )
            for step in steps
        ]
        shown = Group(head, Text(), watch.table(*host_table(status, HEADER, rows, steps)), Text())
        self._console.print(Padding(shown, INDENT, expand=False))

    def _compare(self, title: str, node: str, group: str, expected: Expected) -> Cell:
        """Ask a node what it holds now; note it if that is not as promised."""
        held, promised = self._nodes.groups(node).get(group), expected[node]
        now = "absent" if held is None else "present"
        if promised is not None and held == promised and len(promised) > 1:
            now += ", untouched"
        if held == promised:
            return f"{now} ✓", "green"
        wanted = "absent" if promised is None else f"{promised}"
        self.broken.append(f"after {title}, {node} holds {held}, not {wanted}")
        return f"{now} ✗", "red"

    def _everywhere(self, group: str) -> Expected:
        return {node: {"groupId": group} for node in self._nodes.nodes()}

    def _nowhere(self) -> Expected:
        return dict.fromkeys(self._nodes.nodes())


def _in_time(operation: Operation, title: str) -> Iterator[Reading]:
    """Yield what is seen of an operation until its lock is released. Raises WaitTimeout after `LONGEST`."""
    ends = time.monotonic() + LONGEST
    for reading in operation.watch_hosts():
        yield reading
        if time.monotonic() > ends:
            raise WaitTimeout(f"{title} has not ended within {LONGEST:g} s")


def verdict(operation: Status) -> Text:
    """Say how an operation ended, and how long that took by the record's own clock."""
    began = operation.created_at
    ended = operation.ended_at or began
    answered = operation.decided_at or ended if operation.state is State.COMMITTED else ended
    words = Text(operation.state, f"bold {COLOURS[operation.state]}")
    words.append(f" in {(answered - began) / 1000:.1f} s", "default")
    if ended - answered > WORTH_TELLING:
        words.append(f"; lost writes settled after {(ended - began) / 1000:.1f} s", "dim")
    return words
