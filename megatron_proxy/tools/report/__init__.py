"""A page about training runs: what their logs, evaluations and generations say, side by side.

:func:`read_run` takes in one run; :func:`final_figures` makes the table of several; :mod:`.page` the HTML.
"""

from __future__ import annotations

from .figures import final_figures
from .runs import RecordedRun, read_run

__all__ = ["RecordedRun", "final_figures", "read_run"]
