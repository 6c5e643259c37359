"""A corpus in parts: put together, or prepared by many machines."""
