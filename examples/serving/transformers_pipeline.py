"""An export in transformers' pipeline.

    pip install transformers torch
    python examples/serving/transformers_pipeline.py build/hf 'def read(' [--max-bytes 60]

Nothing of megatron_proxy is needed.
"""

import argparse

from transformers import pipeline

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("prompt")
parser.add_argument("--max-bytes", type=int, default=60)
args = parser.parse_args()

write = pipeline("text-generation", model=args.folder, device="cpu")
(answer,) = write(args.prompt, max_new_tokens=args.max_bytes, do_sample=False, return_full_text=False)
print(answer["generated_text"])
