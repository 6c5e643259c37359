"""The page about the comparison names every configuration."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_names_every_configuration():
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    for path in (ROOT / "examples" / "compare").glob("*.env"):
        size = path.stem.removeprefix("cluster-")
        assert path.stem == "cluster" or size in page, f"docs/compare.md does not mention {path.name}"
