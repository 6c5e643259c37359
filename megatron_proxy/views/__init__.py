"""Views on disk: the ``.bin`` and ``.idx`` files of Megatron's IndexedDataset, read and written through numpy."""

from .reader import DTYPES, HEADER, MAGIC, ViewReader, check_views, compressed_path, open_view, raw_path, spans_path

__all__ = [
    "DTYPES",
    "HEADER",
    "MAGIC",
    "ViewReader",
    "check_views",
    "compressed_path",
    "open_view",
    "raw_path",
    "spans_path",
]
