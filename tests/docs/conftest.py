"""The scripts that write pages are importable in these tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "docs"))
