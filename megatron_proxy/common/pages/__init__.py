"""Self-contained HTML pages and SVG plots, written by hand: no scripts, no fonts, nothing to load."""

from __future__ import annotations

import re
from typing import Final

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; } tr + tr td, tr + tr th { border-top: 1px solid #8884; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
figure { margin: 0; } figcaption { font-size: .9rem; }
.key { margin-right: 1rem; } .key i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; }
small { opacity: .75; }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A whole page around ``body``; ``title`` and ``body`` are HTML, ``style`` is CSS on top of the shared one.

    Lone surrogates, as bytes that are no UTF-8 leave behind in names and texts, become U+FFFD: no file can hold them.
    """
    return _SURROGATE.sub(
        "\N{REPLACEMENT CHARACTER}",
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}{style}</style></head>\n'
        f"<body>{body}</body></html>\n",
    )
