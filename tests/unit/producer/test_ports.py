from lockstep.producer.stack.child import free_port


def test_a_port_is_given_once() -> None:
    ports = [free_port() for _ in range(2000)]
    assert len(set(ports)) == len(ports)


def test_no_outgoing_connection_takes_a_port_before_it_is_bound() -> None:
    assert max(free_port() for _ in range(200)) < 32_768, "the first of Linux' ephemeral ports"


def test_a_port_that_is_asked_for_is_given_again() -> None:
    port = free_port()
    assert free_port(port) == port
