"""Which hosts there are: their URLs, TLS, tokens and labels."""

from lockstep.worker.inventory.live import Inventory, LiveInventory, load_inventory

__all__ = ["Inventory", "LiveInventory", "load_inventory"]
