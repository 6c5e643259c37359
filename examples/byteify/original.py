"""A model over tokens to begin from, where none is at hand, by ``tokenizers`` and the Trainer of transformers; its BPB.

    python examples/byteify/original.py tokenizer corpus/train.jsonl original --vocabulary 2048
    python examples/byteify/original.py model corpus/train.jsonl original --layers 3 --hidden 96 --steps 1500 --seed 1
    python examples/byteify/original.py bpb corpus/held_out.jsonl original --max-documents 12

The first command writes ``original/tokenizer.json`` (byte-level BPE), the second a Llama over its tokens into
``original``; with ``--tokenizer DIR`` the tokenizer is that of another folder. The third prints the bits per byte of
documents under a model over tokens, any one: what a model that has gone on from it is compared with. Nothing of
megatron_proxy is used.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

BEGIN, END = "<s>", "</s>"


def texts(corpus: Path) -> Iterator[str]:
    """The documents of a JSONL file."""
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def make_tokenizer(args: argparse.Namespace) -> None:
    """Train a byte-level BPE, and write it as transformers does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=args.vocabulary,
        show_progress=False,
        special_tokens=[BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(texts(args.corpus), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=BEGIN, eos_token=END)
    fast.save_pretrained(args.folder)


def make_model(args: argparse.Namespace) -> None:
    """Train a Llama over windows of the corpus, each document between ``<s>`` and ``</s>``."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(args.tokenizer or args.folder)
    begin, end = (tokenizer.convert_tokens_to_ids(token) for token in (BEGIN, END))
    documents = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts(args.corpus))
    ids = torch.tensor(list(chain.from_iterable([begin, *document, end] for document in documents)))
    windows = ids[: len(ids) // args.context * args.context].view(-1, args.context)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=math.ceil(args.hidden * 8 / 3 / 32) * 32,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads,
        max_position_embeddings=args.context,
        initializer_range=0.05,
        bos_token_id=begin,
        eos_token_id=end,
    )
    transformers.set_seed(args.seed)
    trainer = transformers.Trainer(
        transformers.AutoModelForCausalLM.from_config(config).float(),
        transformers.TrainingArguments(
            output_dir=str(args.folder / "training"),
            max_steps=args.steps,
            per_device_train_batch_size=args.batch,
            learning_rate=args.lr,
            lr_scheduler_type="cosine",
            warmup_steps=args.steps // 20,
            weight_decay=0.1,
            adam_beta2=0.95,
            seed=args.seed,
            logging_steps=max(1, args.steps // 10),
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=[{"input_ids": window, "labels": window} for window in windows],
    )
    trainer.train()
    trainer.save_model(str(args.folder))
    tokenizer.save_pretrained(args.folder)


def tell_bpb(args: argparse.Namespace) -> None:
    """Print the bits per byte of documents as JSON."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(args.folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(args.folder).float().eval()
    context = args.context or model.config.max_position_embeddings
    begin = model.config.bos_token_id
    nats, size = 0.0, 0
    for text in islice(texts(args.corpus), args.max_documents):
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        nats += nats_of(model, torch.tensor([begin, *tokens]), context)
        size += len(text.encode())
    print(json.dumps({"bpb": nats / math.log(2) / size, "bytes": size}))


def nats_of(model: PreTrainedModel, ids: Tensor, context: int) -> float:
    """What a model finds in all ids but the first, int64, 1-D: each once, behind half a context where there is one."""
    import torch

    nats, done = 0.0, 0
    while done < len(ids) - 1:
        first = max(0, done - context // 2)
        part = ids[first : first + context + 1]
        with torch.inference_mode():
            losses = torch.nn.functional.cross_entropy(model(part[None, :-1]).logits[0], part[1:], reduction="none")
        nats += float(losses[done - first :].double().sum())
        done = first + len(part) - 1
    return nats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    tokenizer = commands.add_parser("tokenizer")
    tokenizer.set_defaults(run=make_tokenizer)
    tokenizer.add_argument("--vocabulary", type=int, default=2048)
    bpb = commands.add_parser("bpb")
    bpb.set_defaults(run=tell_bpb)
    bpb.add_argument("--context", type=int, help="most tokens in a window (default: all that the model takes)")
    bpb.add_argument("--max-documents", type=int, help="only the first so many")
    model = commands.add_parser("model")
    model.set_defaults(run=make_model)
    for name, default in (("layers", 3), ("hidden", 96), ("heads", 4), ("context", 256), ("batch", 8), ("steps", 1500)):
        model.add_argument(f"--{name}", type=int, default=default)
    model.add_argument("--seed", type=int, default=1)
    model.add_argument("--lr", type=float, default=3e-3)
    model.add_argument("--tokenizer", type=Path, help="folder of the tokenizer, if not the model's own")
    for command in (tokenizer, model, bpb):
        command.add_argument("corpus", type=Path)
        command.add_argument("folder", type=Path)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
