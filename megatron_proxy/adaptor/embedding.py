"""The format embedding: one learned vector per format, added to the word embeddings of all ids in such a view.

The format of an id is told by the specials before it
(:func:`megatron_proxy.adaptor.measures.formats.opened_format`), so a
literal byte in a compressed view counts as compressed. The vectors are zero at the start: training begins from the very
model that it would begin from without them.

They use the place that Megatron has for BERT's token types, where they are whole on every tensor-parallel rank, are
added before dropout and before the sequence is scattered, and are saved and resharded like any replicated weight.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from . import run
from .measures import context, formats

FORMATS: Final = 3
"""Outside any view (always zero), raw, compressed."""


def swap_embedding(stock: type[Any]) -> Callable[..., Any]:
    """A stand-in for ``LanguageModelEmbedding``: the stock class, or with the flag one with formats."""
    formatted = with_formats(stock)

    @functools.wraps(stock, updated=())
    def language_model_embedding(*args: Any, **kwargs: Any) -> Any:
        active = run.active()
        if active is None or not active.settings.format_embedding:
            return stock(*args, **kwargs)
        return formatted(*args, **kwargs)

    return language_model_embedding


def with_formats(stock: type[Any]) -> type[Any]:
    """The subclass of Megatron's embedding that adds the vectors of the formats."""

    class FormatEmbedding(stock):  # type: ignore[misc]
        """Word embeddings plus the vector of each id's format."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            words = self.word_embeddings.weight
            zeros = torch.zeros(FORMATS, words.shape[1], dtype=words.dtype, device=words.device)
            # Given weights draw no random numbers: all other weights stay what they would be without the formats.
            self.tokentype_embeddings = torch.nn.Embedding(FORMATS, words.shape[1], padding_idx=0, _weight=zeros)
            self.num_tokentypes = FORMATS
            # The vectors are added to whole sequences, so the words must not be scattered before.
            self.reduce_scatter_embeddings = self.word_embeddings.reduce_scatter_embeddings = False

        def forward(self, input_ids: Tensor, position_ids: Tensor, tokentype_ids: Tensor | None = None) -> Tensor:
            """Embeddings of ``input_ids``, shape (windows, length): shape (length, windows, hidden)."""
            if tokentype_ids is None:
                tokentype_ids = context.whole_windows(formats.opened_format, input_ids)
            return super().forward(input_ids, position_ids, tokentype_ids=tokentype_ids)

    FormatEmbedding.__qualname__ = FormatEmbedding.__name__
    return FormatEmbedding


def is_swapped(module: torch.nn.Module) -> bool:
    """Whether a model holds an embedding with formats, be it in a class derived from it, as FSDP2 makes them."""
    return any(kind.__name__ == "FormatEmbedding" for part in module.modules() for kind in type(part).__mro__)
