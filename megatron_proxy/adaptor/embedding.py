"""The format embedding: one learned vector per format, added to the word embeddings of all ids in such a view.

The format of an id is told by the specials before it
(:func:`megatron_proxy.adaptor.measures.formats.opened_format`), so a
literal byte in a compressed view counts as compressed. The vectors are zero at the start: training begins from the very
model that it would begin from without them.

They use the place that Megatron has for BERT's token types, where they are whole on every tensor-parallel rank, are
added before dropout, and are saved and resharded like any replicated weight. Under sequence parallelism Megatron
scatters the words as it would without them: each rank adds the vectors of its own part, and Megatron sums their
gradients over the ranks beside those of the layer norms.
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


class FormatVectors(torch.nn.Embedding):
    """Vectors of a few formats, whose gradient is a product with the one-hot formats.

    An embedding's own would add the gradients of all ids of a micro-batch to three rows: on a GPU they wait for each
    other, and come in no fixed order.
    """

    def forward(self, formats: Tensor) -> Tensor:
        """The vectors of ``formats``, shape (windows, length): shape (windows, length, hidden)."""
        vectors: Tensor = _Vectors.apply(self.weight, formats)
        return vectors


class _Vectors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, formats: Tensor) -> Tensor:
        ctx.save_for_backward(formats)
        ctx.formats = len(weight)
        return torch.nn.functional.embedding(formats, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (formats,) = ctx.saved_tensors
        # Megatron adds the vectors with the sequence first: in that order the gradient need not be copied.
        rows = gradient.transpose(0, 1).flatten(0, 1)
        # Row 0, outside any view, stays what it is.
        trained = torch.arange(1, ctx.formats, device=formats.device)
        one_hot = (formats.t().flatten() == trained[:, None]).to(gradient.dtype)
        return torch.nn.functional.pad(one_hot @ rows, (0, 0, 1, 0)), None


def swap_embedding(stock: type[Any]) -> Callable[..., Any]:
    """A stand-in for ``LanguageModelEmbedding``: the stock class, or with the flag one with formats."""
    formatted = with_formats(stock)

    @functools.wraps(stock, updated=())
    def language_model_embedding(*args: Any, **kwargs: Any) -> Any:
        active = run.active()
        kind = formatted if active is not None and active.settings.format_embedding else stock
        return kind(*args, **kwargs)

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
            self.tokentype_embeddings = FormatVectors(FORMATS, words.shape[1], padding_idx=0, _weight=zeros)
            self.num_tokentypes = FORMATS
            vectors: Any = self.tokentype_embeddings.weight
            # Marked like the words: for --decoupled-lr, and since Muon is for maps between hidden states only.
            vectors.is_embedding_or_output_parameter = True
            # Each rank finds the gradient of its own part only: Megatron sums those of weights marked like this.
            vectors.sequence_parallel = self.reduce_scatter_embeddings

        def forward(self, input_ids: Tensor, position_ids: Tensor, tokentype_ids: Tensor | None = None) -> Tensor:
            """Embeddings of ``input_ids``, shape (windows, length): shape (length, windows, hidden).

            Under sequence parallelism the length of what comes back is this rank's part of it.
            """
            if tokentype_ids is None:
                # Multi-token prediction embeds windows that were shifted to the left.
                shifted = bool(getattr(self.config, "mtp_num_layers", None))
                told = functools.partial(formats.opened_format, beheaded=shifted)
                tokentype_ids = context.whole_windows(told, input_ids)
            if self.reduce_scatter_embeddings:
                group = self.tp_group
                tokentype_ids = tokentype_ids.chunk(group.size(), dim=-1)[group.rank()]
            return super().forward(input_ids, position_ids, tokentype_ids=tokentype_ids)

    FormatEmbedding.__qualname__ = FormatEmbedding.__name__
    return FormatEmbedding


def is_swapped(module: torch.nn.Module) -> bool:
    """Whether a model holds an embedding with formats, be it in a class derived from it, as FSDP2 makes them."""
    return any(kind.__name__ == "FormatEmbedding" for part in module.modules() for kind in type(part).__mro__)
