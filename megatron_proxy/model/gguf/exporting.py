"""The GGUF file, and a Modelfile for Ollama beside it.

They are written into a folder beside the wanted one, which takes its name at the end: a folder that is there is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from ...common.extras import missing
from ...common.storage.files import replacing, require_free
from ...errors import UnsupportedError
from ...vocab import EOS, PAD, RAW_CLOSE, RAW_OPEN, SYMBOL_OFFSET, UNK
from ..hf import families
from ..hf.families import Family
from ..hf.hf_weights import HfWeights
from ..hf.views import raw_view
from ..network import Architecture
from .tensors import reordered, rope_factors
from .tokens import tokens

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint

MODEL: Final = "model.gguf"
_ROPE_FACTORS: Final = "rope_freqs.weight"


def export(checkpoint: Checkpoint, folder: Path, *, dtype: torch.dtype | None = None, overwrite: bool = False) -> None:
    """Write a checkpoint as ``model.gguf`` and ``Modelfile`` into a folder.

    The weights are gone through twice: their sizes stand in front of them in the file. One of Megatron's tensors is in
    memory at a time.

    Parameters
    ----------
    checkpoint
        What to export.
    folder
        Where to.
    dtype
        What to store matrices in: float32, float16 or bfloat16; by default what the checkpoint stores.
    overwrite
        Whether an existing folder is replaced, with all that is in it.

    Raises
    ------
    UnsupportedError
        If Llama cannot express the model.
    ConfigurationError
        If the folder exists, or the package gguf is not installed.
    """
    gguf = _package()
    require_free(folder, overwrite=overwrite)
    shape = Architecture.from_args(checkpoint.args)
    # Rounded once, when they are stored: what is stored in float32 keeps all its bits.
    weights = HfWeights(checkpoint.tensors, shape, _family(shape), raw_view(checkpoint.sentinels), torch.float32)
    dtype = dtype or checkpoint.dtype
    with replacing(folder) as beside:
        writer = gguf.GGUFWriter(beside / MODEL, "llama")
        _describe(writer, folder.resolve().name, checkpoint, shape, getattr(gguf.LlamaFileType, _FILE_TYPES[dtype]))
        _tokenizer(writer, gguf.TokenType, sentinels=checkpoint.sentinels)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, shape.layers)
        for name, tensor in _tensors(weights, names, dtype):
            kind = getattr(gguf.GGMLQuantizationType, _KINDS[tensor.dtype])
            writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), tensor.nbytes, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, tensor in _tensors(weights, names, dtype):
            writer.write_tensor_data(_numpy(tensor))
        writer.close()
        (beside / "Modelfile").write_text(modelfile(shape.context), encoding="utf-8")


def _family(shape: Architecture) -> Family:
    """The model's family, if llama.cpp's Llama has a place for it; biases of queries, keys and values it has."""
    family = families.of_shape(shape)
    for flag, given in {"--qk-layernorm": shape.qk_norm, "--window-size": shape.window is not None}.items():
        if given:
            raise UnsupportedError(
                "the model was trained so, and the Llama of llama.cpp cannot express it",
                where=flag,
                fix="export it with --format hf",
            )
    return family


_KINDS: Final = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_FILE_TYPES: Final = {torch.float32: "ALL_F32", torch.float16: "MOSTLY_F16", torch.bfloat16: "MOSTLY_BF16"}


def _package() -> Any:
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise missing("gguf", "--format gguf") from error
    return gguf


def _describe(writer: Any, name: str, checkpoint: Checkpoint, shape: Architecture, file_type: int) -> None:
    writer.add_name(name)
    writer.add_description(
        f"a model of raw bytes, trained with proxy compression ({checkpoint.args.proxy_compression}), "
        "written by megatron-proxy export"
    )
    writer.add_file_type(file_type)
    writer.add_vocab_size(SYMBOL_OFFSET)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.groups)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_dim)
    if shape.rope is not None:
        writer.add_rope_freq_base(shape.rope.base)


def _tokenizer(writer: Any, kinds: Any, *, sentinels: bool) -> None:
    listed = tokens()
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(listed))
    writer.add_token_scores([0.0] * len(listed))
    writer.add_token_types([kinds[kind] for kind in listed.values()])
    writer.add_bos_token_id(RAW_OPEN if sentinels else EOS)
    writer.add_eos_token_id(RAW_CLOSE if sentinels else EOS)
    # A text may end with either.
    writer.add_eot_token_id(EOS)
    writer.add_unk_token_id(UNK)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_remove_extra_whitespaces(False)


def _tensors(weights: HfWeights, names: Any, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor as they are stored: llama.cpp wants vectors, norms and biases, in float32."""
    if (factors := rope_factors(weights.shape)) is not None:
        yield _ROPE_FACTORS, factors
    for name, tensor in weights:
        kind = torch.float32 if tensor.ndim == 1 else dtype
        yield names.get_name(name, (".weight", ".bias")), reordered(name, tensor, weights.shape).to(kind).contiguous()


def _numpy(tensor: Tensor) -> Any:
    """The tensor's bytes; numpy knows no bfloat16."""
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def modelfile(context: int) -> str:
    """What ``ollama create NAME -f Modelfile`` reads: the prompt as it is, in the context of the training."""
    return f'FROM ./{MODEL}\nTEMPLATE "{{{{ .Prompt }}}}"\nPARAMETER num_ctx {context}\n'
