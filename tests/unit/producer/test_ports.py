import os
import subprocess
import sys

from lockstep.producer.stack.ports import free_port


def test_a_port_is_given_once() -> None:
    ports = [free_port() for _ in range(2000)]
    assert len(set(ports)) == len(ports)


def test_no_outgoing_connection_takes_a_port_before_it_is_bound() -> None:
    assert max(free_port() for _ in range(200)) < 32_768, "the first of Linux' ephemeral ports"


def test_a_port_that_is_asked_for_is_given_again() -> None:
    port = free_port()
    assert free_port(port) == port


def elsewhere(what: str) -> set[int]:
    code = f"from {free_port.__module__} import free_port; print(*{what})"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return {int(port) for port in told.split()}


def test_no_two_processes_draw_the_same_port() -> None:
    """One whose server takes seconds to bind its port finds that it still has it."""
    ours = {free_port() for _ in range(500)}
    assert not ours & elsewhere("(free_port() for _ in range(500))")


def test_no_other_process_draws_a_port_that_was_asked_for() -> None:
    """Two stacks that start at once would both have Flower on its usual port, and one of them could not."""
    port = free_port(free_port())
    assert elsewhere(f"[free_port({port})]") != {port}


def test_no_forked_process_draws_a_port_of_its_parent() -> None:
    free_port()
    (reads, writes), (waits, ends) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(ends)
        os.write(writes, str([free_port() for _ in range(100)]).encode())
        os.close(writes)
        os.read(waits, 1)  # once it has ended, its ports are anybody's
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as told:
        theirs = told.read()
    ours = {free_port() for _ in range(100)}
    os.close(ends)
    os.close(waits)
    os.waitpid(child, 0)
    assert not ours & {int(port) for port in theirs.strip("[]").split(",")}
