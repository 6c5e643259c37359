"""An export in transformers, alone and with its prompt-lookup decoding: the same text, in fewer passes.

    pip install transformers torch
    python examples/serving/transformers_generate.py build/hf 'def read(' [--max-bytes 60] [--prompt-lookup 8]

Nothing of megatron_proxy is needed.
"""

import argparse

from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("prompt")
parser.add_argument("--max-bytes", type=int, default=60)
parser.add_argument("--prompt-lookup", type=int, help="bytes looked up in the text for each pass")
args = parser.parse_args()

model, tokenizer = (kind.from_pretrained(args.folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
inputs = tokenizer(args.prompt, return_tensors="pt")
options = {"prompt_lookup_num_tokens": args.prompt_lookup} if args.prompt_lookup else {}
(written,) = model.generate(**inputs, max_new_tokens=args.max_bytes, do_sample=False, **options)
print(tokenizer.decode(written[inputs.input_ids.shape[1] :], skip_special_tokens=True))
