"""A GGUF export in llama.cpp's server, inside this process, asked as any OpenAI-compatible server is.

    pip install xllamacpp
    python examples/serving/llama_cpp.py build/gguf 'def read(' [--max-bytes 60]

The package is llama.cpp with its server, built for CPUs; ``llama-server -m build/gguf/model.gguf`` answers the same.
"""

import argparse
from pathlib import Path

import xllamacpp
from completions_client import complete

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("prompt")
parser.add_argument("--max-bytes", type=int, default=60)
args = parser.parse_args()

settings = xllamacpp.CommonParams()
settings.model.path = str(args.folder / "model.gguf")
settings.warmup = False
settings.n_parallel = 1
settings.verbosity = 0
server = xllamacpp.Server(settings)
for piece in complete(server.listening_address, args.prompt, args.max_bytes):
    print(piece, end="", flush=True)
print()
