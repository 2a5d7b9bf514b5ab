"""Which hosts there are: their URLs, TLS, tokens and labels."""

from worker.inventory.known import Inventory
from worker.inventory.live import LiveInventory
from worker.inventory.reading import load_inventory
from worker.inventory.urls import parse_url

__all__ = ["Inventory", "LiveInventory", "load_inventory", "parse_url"]
