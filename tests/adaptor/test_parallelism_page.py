"""docs/parallelism.md names every flag that is refused."""

from pathlib import Path

import pytest

pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from megatron_proxy.adaptor.checks import support

PAGE = (Path(__file__).parents[2] / "docs" / "parallelism.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("flag", [refusal.flag for refusal in support.REFUSALS])
def test_every_refusal_is_on_the_page(flag):
    assert flag in PAGE
