"""An export in CTranslate2: converted once, then without torch.

    pip install ctranslate2 transformers torch
    python examples/serving/ctranslate2_generate.py build/hf 'def read(' [--max-bytes 60]

CTranslate2 takes the width of a head to be that of the model over the number of heads, Megatron's default.
"""

import argparse
import json
from pathlib import Path

import ctranslate2

BYTE_OFFSET = 64

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("prompt")
parser.add_argument("--max-bytes", type=int, default=60)
args = parser.parse_args()

converted = args.folder / "ctranslate2"
if not converted.exists():
    ctranslate2.converters.TransformersConverter(str(args.folder)).convert(str(converted))
names = json.loads((converted / "vocabulary.json").read_text(encoding="utf-8"))
settings = json.loads((args.folder / "config.json").read_text(encoding="utf-8"))
ids = [settings["bos_token_id"], *(byte + BYTE_OFFSET for byte in args.prompt.encode())]
(answer,) = ctranslate2.Generator(str(converted)).generate_batch(
    [[names[id_] for id_ in ids]],
    max_length=args.max_bytes,
    sampling_topk=1,
    include_prompt_in_result=False,
    end_token=["</raw>", "<eos>"],
)
written = bytes(id_ - BYTE_OFFSET for id_ in answer.sequences_ids[0] if id_ >= BYTE_OFFSET)
print(written.decode(errors="replace"))
