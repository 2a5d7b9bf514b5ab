"""Which hosts there are: their URLs, TLS, tokens and labels."""

from lockstep.worker.inventory.file import Inventory, load_inventory
from lockstep.worker.inventory.live import LiveInventory

__all__ = ["Inventory", "LiveInventory", "load_inventory"]
