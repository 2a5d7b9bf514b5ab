"""Which hosts there are: their URLs, TLS, tokens and labels."""

from lockstep.worker.inventory.known import Inventory
from lockstep.worker.inventory.live import LiveInventory
from lockstep.worker.inventory.reading import load_inventory
from lockstep.worker.inventory.urls import parse_url

__all__ = ["Inventory", "LiveInventory", "load_inventory", "parse_url"]
