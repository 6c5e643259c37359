"""What a prepared dataset looks like: both views side by side, figures, and how stable the mapping between them is."""

from .figures import Figures, inspect

__all__ = ["Figures", "inspect"]
