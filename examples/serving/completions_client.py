"""A client of /v1/completions, as llama.cpp's, vLLM's and SGLang's servers have it; nothing but the standard library.

    python examples/serving/completions_client.py http://127.0.0.1:8080 'def read(' [--max-bytes 60]

A token is a byte: ``max_tokens`` counts bytes. There is no chat: the model goes on with the text that it is given.
"""

import argparse
import json
import urllib.request
from collections.abc import Iterator


def complete(server: str, prompt: str, max_bytes: int) -> Iterator[str]:
    """The pieces of a greedy completion, as the server streams them."""
    body = {"model": "default", "prompt": prompt, "max_tokens": max_bytes, "temperature": 0, "stream": True}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}/v1/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                yield from (choice["text"] for choice in json.loads(line[6:])["choices"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("prompt")
    parser.add_argument("--max-bytes", type=int, default=60)
    args = parser.parse_args()
    for piece in complete(args.server, args.prompt, args.max_bytes):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
