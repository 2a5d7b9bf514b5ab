"""The examples in the docstrings of the client and the handle do what they say."""

from __future__ import annotations

import doctest
import threading
from types import ModuleType

import pytest

from lockstep import ClusterClient
from lockstep.producer.client import client
from lockstep.producer.client import operation as handle
from tests.contract.producer.hand import Hand


@pytest.mark.parametrize("module", [client, handle])
def test_the_examples_of_the_docstrings(cluster: ClusterClient, hand: Hand, module: ModuleType) -> None:
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.01):
            for operation in cluster.operations():
                if operation.decision is None:
                    hand.commit(cluster.operation(operation.id))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        ran = doctest.testmod(
            module, extraglobs={"cluster": cluster, "settings": cluster.settings}, report=True
        )
    finally:
        over.set()
        worker.join()
    assert ran.attempted > 0
    assert ran.failed == 0
