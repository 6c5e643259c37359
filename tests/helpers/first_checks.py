"""Parses and validates command lines as a pretraining script does, one after the other, and says how each ended.

``python -m megatron_proxy.adaptor.cpu first_checks.py COMMANDS.json COMMON…``: the file holds a list of command lines,
which are added to the common flags. Prints one line of JSON for all: of each the error, and whether Megatron had
printed its arguments.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

import megatron_proxy.adaptor  # noqa: F401
from megatron_proxy.errors import ProxyError

# isort: split
from megatron.training import arguments


def outcome(command: str, common: list[str]) -> tuple[str, bool]:
    sys.argv = [sys.argv[0], *common, *command.split()]
    printed = io.StringIO()
    error = ""
    with contextlib.redirect_stdout(printed):
        try:
            arguments.validate_args(arguments.parse_args(), {"tokenizer_type": "NullTokenizer"})
        except ProxyError as raised:
            error = str(raised)
    return error, "end of arguments" in printed.getvalue()


if __name__ == "__main__":
    commands, *common = sys.argv[1:]
    found = [outcome(command, common) for command in json.loads(Path(commands).read_text(encoding="utf-8"))]
    print(f"OUTCOMES {json.dumps(found)}")
