"""The scripts that write pages are importable in these tests."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[2] / "docs"), str(Path(__file__).parent)]
