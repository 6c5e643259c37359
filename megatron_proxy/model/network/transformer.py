"""Ids to logits, with or without a cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ...errors import ConfigurationError
from ...vocab import COMPRESSED_OPEN, NUM_SPECIALS, RAW_OPEN, SYMBOL_OFFSET
from ..checkpoint import Tensors
from .architecture import Architecture, Rope
from .cache import Cache
from .weights import Ahead, Layer, Norm, WeightReader

_ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "squared_relu": lambda x: F.relu(x).square(),
}


LLAMA3_SCALING: Final = (1.0, 4.0, 8192)
"""Low and high frequency factor, trained context: Megatron has no others."""


# On a CPU 16 MiB of logits: what is larger the allocator gets from the system and gives back, page by page, every time.
_LOGITS_AT_ONCE: Final = {"cpu": 1 << 22}
_LOGITS_AT_ONCE_ELSEWHERE: Final = 1 << 25


class Scores(NamedTuple):
    """How well each target was predicted; float64 on the CPU, of the targets' shape.

    Parameters
    ----------
    nats
        Under the whole vocabulary.
    byte_nats
        Under the specials and the bytes alone; meaningless where the target is a symbol.
    correct
        1 where the target was the first choice, else 0.
    """

    nats: Tensor
    byte_nats: Tensor
    correct: Tensor


class _Attention(NamedTuple):
    """What all layers share in one pass: positions, mask (None: causal), cache, and where in it the new ids go."""

    rope: tuple[Tensor, Tensor] | None
    mask: Tensor | None
    cache: Cache | None
    begin: tuple[int | None, int]


class ByteModel:
    """A trained model.

    Parameters
    ----------
    architecture
        Its shape.
    source
        Its weights, by Megatron's names.
    device, dtype
        Where and in what it computes.

    Raises
    ------
    CheckpointError
        If the checkpoint lacks one of the weights.
    """

    def __init__(
        self,
        architecture: Architecture,
        source: Tensors,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.architecture = architecture
        self.device, self.dtype = torch.device(device), dtype
        reader = WeightReader(source, architecture, device, dtype)
        self._words = reader.tensor("embedding.word_embeddings.weight")
        self._positions = (
            reader.tensor("embedding.position_embeddings.weight") if architecture.learned_positions else None
        )
        self._formats = reader.tensor("embedding.tokentype_embeddings.weight") if architecture.formats else None
        self._layers = [reader.layer(f"decoder.layers.{number}.") for number in range(architecture.layers)]
        self._final_norm = reader.norm("decoder.final_layernorm.")
        self._output = self._words if architecture.tied else reader.tensor("output_layer.weight")
        self._ahead = reader.ahead() if architecture.looks_ahead else None
        self._frequencies = None if architecture.rope is None else _frequencies(architecture.rope).to(device)

    def cache(self, rows: int, capacity: int) -> Cache:
        """An empty cache for ``rows`` sequences of at most ``capacity`` ids."""
        cache = self._cache(rows, capacity, len(self._layers))
        if self._ahead is not None:
            shape = (rows, 1, capacity, self.architecture.hidden)
            cache.outputs = torch.zeros(shape, device=self.device, dtype=self.dtype)
            cache.ahead = self._cache(rows, capacity, 1)
        return cache

    def _cache(self, rows: int, capacity: int, layers: int) -> Cache:
        shape = (rows, self.architecture.groups, capacity, self.architecture.head_dim)
        # Zeros, not arbitrary bits: what is masked is still multiplied by zero, and zero times NaN is NaN.
        keys = [torch.zeros(shape, device=self.device, dtype=self.dtype) for _ in range(layers)]
        lengths = torch.zeros(rows, dtype=torch.int64, device=self.device)
        return Cache(keys, [torch.zeros_like(memory) for memory in keys], lengths, lengths.clone())

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:
        """Logits of the id after each id, in the model's dtype, shape (rows, length, vocabulary).

        ``ids`` are int64, shape (rows, length). Rows may be padded on the right with any ids: nothing depends on what
        follows.
        """
        return F.linear(self._hidden(ids, None), self._output)

    @torch.inference_mode()
    def scores(self, ids: Tensor, targets: Tensor, counts: Tensor | None = None) -> Scores:
        """How well each id's successor is predicted, without holding all logits at once.

        Parameters
        ----------
        ids, targets
            int64, shape (rows, length): what is read, and what follows each id.
        counts
            bool, of that shape: where to look; all by default. Elsewhere the scores are 0, and cost nothing.
        """
        hidden = self._hidden(ids, None)
        counts = torch.ones_like(targets, dtype=torch.bool) if counts is None else counts
        hidden, wanted = hidden[counts.to(self.device)], targets[counts].to(self.device)
        step = max(1, _LOGITS_AT_ONCE.get(self.device.type, _LOGITS_AT_ONCE_ELSEWHERE) // self.architecture.vocabulary)
        parts = [self._scores(hidden[at : at + step], wanted[at : at + step]) for at in range(0, len(wanted), step)]
        scores = Scores(*(torch.zeros(targets.shape, dtype=torch.float64) for _ in Scores._fields))
        for values, part in zip(scores, zip(*parts, strict=True), strict=False):
            values[counts] = torch.cat(part).cpu()
        return scores

    def _scores(self, hidden: Tensor, targets: Tensor) -> Scores:
        logits = F.linear(hidden, self._output).float()
        chosen = logits.gather(1, targets[:, None])[:, 0].double()
        return Scores(
            logits.logsumexp(dim=1).double() - chosen,
            logits[:, :SYMBOL_OFFSET].logsumexp(dim=1).double() - chosen,
            (logits.argmax(dim=1) == targets).double(),
        )

    @torch.inference_mode()
    def extend(self, ids: Tensor, cache: Cache | None, lengths: Tensor | None = None, last: int = 1) -> Tensor:
        """Read further ids, into a cache; logits of the id after each of the last ones of each row.

        Parameters
        ----------
        ids
            int64, shape (rows, new).
        cache
            What the rows have read; changed in place. None: they have read nothing, and nothing is kept.
        lengths
            int64, shape (rows,): how many of the new ids count in each row (at least 1), the rest being padding; all
            by default.
        last
            How many of them logits are wanted of. What a row of fewer ids has in front of them means nothing.

        Returns
        -------
        Tensor of the model's dtype, shape (rows, last, vocabulary).
        """
        if lengths is None:
            lengths = torch.full((ids.shape[0],), ids.shape[1], dtype=torch.int64, device=self.device)
        hidden = self._hidden(ids, cache)
        if cache is not None:
            if self._formats is not None:
                rows = torch.arange(ids.shape[0], device=self.device)
                cache.formats = _formats(ids, cache.formats)[rows, lengths - 1]
            # What padding left in the cache lies behind the row's length, is masked, and will be written over.
            cache.lengths = cache.lengths + lengths
        places = lengths[:, None] - last + torch.arange(last, device=self.device)
        return F.linear(_at(hidden, places.clamp(min=0)), self._output)

    @torch.inference_mode()
    def ahead(self, ids: Tensor, cache: Cache, lengths: Tensor, most: int, least: float = 0.0) -> tuple[Tensor, Tensor]:
        """Guess what follows, by the layer of multi-token prediction, which goes on from its own guesses.

        Megatron trains it to predict the id after the next one, from the decoder's output for an id and from the next
        one. Behind the last id that the decoder has read, its own output takes the place of the decoder's, as in EAGLE
        (arXiv 2401.15077).

        Parameters
        ----------
        ids
            int64, shape (rows, new): what follows each id that the decoder has read and the layer has not, up to one id
            that the decoder has not read.
        cache
            What the rows have read; the layer's part is changed in place.
        lengths
            int64, shape (rows,): how many ids count in each row, the rest being padding.
        most
            How many ids to guess.
        least
            Guessing ends where no row's guess is as probable as this.

        Returns
        -------
        ids, probabilities
            int64 and float, shape (rows, at most ``most``): specials and bytes, the likeliest each, and how probable it
            is among them.

        Raises
        ------
        ConfigurationError
            There is no such layer.
        """
        layer, memory = self.layer_ahead(), cache.ahead
        assert memory is not None  # noqa: S101  (caches of a model with such a layer have these)
        assert cache.outputs is not None  # noqa: S101
        known = memory.lengths + lengths
        places = memory.lengths[:, None] + torch.arange(ids.shape[1], device=self.device)
        outputs = _at(cache.outputs[:, 0], places.clamp(max=cache.capacity - 1))
        memory.formats = cache.formats
        found: list[tuple[Tensor, Tensor]] = []
        while len(found) < most and (not found or (found[-1][1] >= least).any()):
            outputs = _at(self._look_ahead(layer, outputs, ids.to(self.device), memory), lengths[:, None] - 1)
            logits = F.linear(outputs[:, 0], self._output[:SYMBOL_OFFSET])
            probabilities, ids = logits.softmax(dim=1).max(dim=1, keepdim=True)
            memory.lengths = memory.lengths + lengths
            lengths = torch.ones_like(lengths)
            found.append((ids, probabilities))
        memory.rewind(known)
        guessed, probable = zip(*found, strict=True)
        return torch.cat(guessed, dim=1), torch.cat(probable, dim=1)

    def layer_ahead(self) -> Ahead:
        """The layer of multi-token prediction.

        Raises
        ------
        ConfigurationError
            There is none.
        """
        if self._ahead is None:
            raise ConfigurationError(
                "the model was trained without a layer that looks ahead",
                where="--draft mtp",
                fix="train with --mtp-num-layers 1, or use another draft: --draft lookup",
            )
        return self._ahead

    def _look_ahead(self, ahead: Ahead, outputs: Tensor, ids: Tensor, cache: Cache) -> Tensor:
        """The layer's normalised output, shape (rows, new, hidden), from the decoder's and from the ids after."""
        embedded = self._embed(ids, cache)
        both = torch.cat([self._norm(embedded, ahead.id_norm), self._norm(outputs, ahead.output_norm)], dim=-1)
        return self._norm(self._through([ahead.layer], ahead.projection(both), cache), ahead.final_norm)

    def _hidden(self, ids: Tensor, cache: Cache | None) -> Tensor:
        """The last layer's normalised output, shape (rows, new, hidden)."""
        ids = ids.to(self.device)
        x = self._through(self._layers, self._embed(ids, cache), cache)
        hidden = self._norm(x, self._final_norm)
        if cache is not None:
            cache.store_outputs(hidden, cache.begin(ids.shape[1]))
        return hidden

    def _places(self, ids: Tensor, cache: Cache | None) -> Tensor:
        """Where new ids, or what is made of them, stand in their rows: int64, shape (rows, new)."""
        places = torch.arange(ids.shape[1], device=self.device)
        return places.expand(ids.shape[:2]) if cache is None else cache.lengths[:, None] + places

    def _through(self, layers: list[Layer], x: Tensor, cache: Cache | None) -> Tensor:
        """What layers make of new embeddings, shape (rows, new, hidden)."""
        new = x.shape[1]
        places = self._places(x, cache)
        begin = (0, new) if cache is None else cache.begin(new)
        # One new id sees all; several at the very start see themselves and what is before.
        window = self.architecture.window
        all_seen = window is None or begin[1] <= window
        plain = all_seen and (begin[0] == 0 or (new == 1 and begin[0] is not None))
        mask = None if plain else _mask(places, begin[1], window)
        attention = _Attention(self._rope(places), mask, cache, begin)
        for number, layer in enumerate(layers):
            x = x + self._attend(layer, number, self._norm(x, layer.attention_norm), attention)
            x = x + self._feed_forward(layer, self._norm(x, layer.mlp_norm))
        return x

    def _embed(self, ids: Tensor, cache: Cache | None) -> Tensor:
        x = F.embedding(ids, self._words)
        if self._positions is not None:
            x = x + F.embedding(self._places(ids, cache), self._positions)
        if self._formats is not None:
            before = torch.zeros_like(ids[:, 0]) if cache is None else cache.formats
            x = x + F.embedding(_formats(ids, before), self._formats)
        return x

    def _rope(self, places: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines at some places, shape (rows, 1, new, dimensions)."""
        if self._frequencies is None:
            return None
        angles = places[:, None, :, None] * self._frequencies
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def _attend(self, layer: Layer, number: int, x: Tensor, attention: _Attention) -> Tensor:
        shape = self.architecture
        rows, new, _ = x.shape
        heads = layer.qkv(x).view(rows, new, -1, shape.head_dim).transpose(1, 2)
        query, key, value = torch.split(heads, [shape.heads, shape.groups, shape.groups], dim=1)
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = self._norm(query, layer.query_norm), self._norm(key, layer.key_norm)
        if attention.rope is not None and shape.rope is not None:
            query, key = _rotate(query, attention.rope, shape.rope), _rotate(key, attention.rope, shape.rope)
        if attention.cache is not None:
            key, value = attention.cache.store(number, key, value, attention.begin)
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention.mask,
            is_causal=attention.mask is None and new > 1,
            enable_gqa=shape.groups < shape.heads,
        )
        return layer.projection(attended.transpose(1, 2).reshape(rows, new, -1))

    def _feed_forward(self, layer: Layer, x: Tensor) -> Tensor:
        activation = _ACTIVATIONS[self.architecture.activation]
        x = layer.up(x)
        if not self.architecture.gated:
            return layer.down(activation(x))
        gate, rest = x.chunk(2, dim=-1)
        return layer.down(activation(gate) * rest)

    def _norm(self, x: Tensor, norm: Norm) -> Tensor:
        epsilon, size = self.architecture.norm_epsilon, (x.shape[-1],)
        if self.architecture.norm == "LayerNorm":
            return F.layer_norm(x, size, norm.scale, norm.shift, epsilon)
        return F.rms_norm(x, size, norm.scale, epsilon)


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    """What stands at some places of each row, shape (rows, places, hidden)."""
    return hidden[torch.arange(len(hidden), device=hidden.device)[:, None], places.to(hidden.device)]


def _mask(places: Tensor, longest: int, window: int | None) -> Tensor:
    """Which keys each query may see, shape (rows, 1, new, longest): its own and before, in its window."""
    behind = places[:, None, :, None] - torch.arange(longest, device=places.device)
    return behind >= 0 if window is None else (behind >= 0) & (behind < window)


def _formats(ids: Tensor, before: Tensor) -> Tensor:
    """The format that the specials up to and including each id have opened, given the one in force before."""
    opened = (ids == RAW_OPEN).long() + 2 * (ids == COMPRESSED_OPEN).long()
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    last = torch.where(ids < NUM_SPECIALS, places, -1).cummax(dim=1).values
    return torch.where(last < 0, before[:, None], opened.gather(1, last.clamp(min=0)))


def _frequencies(rope: Rope) -> Tensor:
    """By how much each rotated dimension turns from one place to the next: float32, shape (dimensions,)."""
    frequencies = rope.base ** -(torch.arange(0, rope.dimensions, 2, dtype=torch.float32) / rope.dimensions)
    if rope.stretch is not None:
        frequencies = stretched(frequencies, rope.stretch)
    return frequencies.repeat_interleave(2) if rope.interleaved else frequencies.repeat(2)


def stretched(frequencies: Tensor, factor: float) -> Tensor:
    """Llama 3's scaling: long wavelengths are stretched by a factor, short ones kept, those between blended."""
    low, high, trained = LLAMA3_SCALING
    wavelengths = 2 * math.pi / frequencies
    blend = ((trained / wavelengths - low) / (high - low)).clamp(0.0, 1.0)
    return (1 - blend) * frequencies / factor + blend * frequencies


def _rotate(x: Tensor, table: tuple[Tensor, Tensor], rope: Rope) -> Tensor:
    """Rotate the first ``rope.dimensions`` of each head, shape (rows, heads, new, head_dim)."""
    turned, rest = x[..., : rope.dimensions], x[..., rope.dimensions :]
    if rope.interleaved:
        other = torch.stack([-turned[..., 1::2], turned[..., ::2]], dim=-1).flatten(-2)
    else:
        first, second = turned.chunk(2, dim=-1)
        other = torch.cat([-second, first], dim=-1)
    return torch.cat([turned * table[0] + other * table[1], rest], dim=-1)
