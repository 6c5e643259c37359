"""Write docs/reference.md, every command and flag, from the parsers themselves: ``make docs``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from megatron_proxy import cli
from megatron_proxy.adaptor import arguments

PAGE: Final = Path(__file__).with_name("reference.md")
OPTIONS_OF: Final = "options of "
"""How the groups of compressors' options are titled."""
MOST_CHOICES: Final = 5
"""More choices than these are told below a table."""

_HEAD: Final = """# Every command and flag

Written from the parsers by `make docs`; `megatron-proxy COMMAND --help` tells the same.

What all commands have in common:

* **Standard output** holds what was asked for and nothing else: figures, text, findings; where only files were asked
  for, their names. With `--json` that is one JSON object, and nothing after an error.
* **Standard error** holds the talk: progress, remarks, warnings, errors. Progress is a bar on a terminal; elsewhere
  commands that take `--log-interval` write lines, the others nothing.
* **JSON** is UTF-8 and keeps letters as they are; `--json` prints what `--output` writes, for commands that have both.
* **Exit code** 0: done, and where a question was asked (`verify`, `doctor`) the answer is yes. 1: refused or failed,
  with a message that says what to do; or the answer is no. 2: the command line is not understood (an unknown command,
  flag or choice, a value that is missing or of another type), and nothing was begun. 130: interrupted. 141: nobody
  reads standard output any more. 143: `prepare` was told to end (SIGTERM), and cleared away.
"""
_ANSWERS: Final = """## What `--json` prints

* `prepare`: `datasets`, of each `prefix`, `documents`, `bytes`, `skipped_lines`, and `views`: by compressor `codes`,
  `symbols`, `ids`, `bytes_per_code`; `train_with`: flags for training, or null.
* `verify`: `prefix`, `well` (true or false); `files` and `bytes` compared with checksums; `plans`: cached ones that
  were read; `decoded`, `encoded` (again): documents by compressor; `problems`, `notes`: messages.
* `doctor`: `would_train` (true or false); `findings`, of each `status` (`ok`, `note`, `FAIL`), `subject`, `text`,
  `fix`; `next`: the next command, or null.
* `evaluate`: `checkpoint`, `iteration`, `context`, `stride`, `concatenated`, `view`; `documents`, `bytes`, `targets`,
  `nats`, `bpb`, `bpb_of_bytes_alone`, `accuracy`, and the same by name in `files` and `domains`; with `--translate`,
  `translation`: by direction `pieces`, `bytes`, `bpb`, `exact_match`.
* `robustness`: `checkpoint`, `context`, `stride`, `rate`, `seed`, `bytes_behind_prompts`; `prompts`: by perturbation,
  `clean` first, `documents`, `documents_changed`, `bytes` (scored), `bpb`, `bpb_added`, `accuracy`, `accuracy_lost`.
* `inspect`: a list, one object for each view.

Later versions may add keys.
"""
_OPTIONS: Final = """Of `prepare` and of `train-compressor`; what they do: [compressors](compressors.md)."""
_TRAINING: Final = """Of a pretraining script that imports `megatron_proxy.adaptor`, beside Megatron's own.
What they do to the data: [how it works](how-it-works.md)."""


def reference() -> str:
    """The page."""
    parsers = {name: cli.parser_of(name) for name in cli.COMMANDS}
    blocks = [_HEAD.rstrip(), _contents(), _ANSWERS.rstrip(), "## Flags of the training script", _TRAINING]
    training = arguments.add_arguments(argparse.ArgumentParser(prog="pretrain_gpt.py", add_help=False))
    blocks += _groups(training, titled=False)
    for name, parser in parsers.items():
        blocks += [f"## megatron-proxy {name}", *_description(parser.description or "")]
        blocks += _groups(parser, titled=True)
    blocks += ["## Options of the compressors", _OPTIONS]
    for group in parsers["prepare"]._action_groups:
        title = group.title or ""
        if title.startswith(OPTIONS_OF):
            blocks += [f"### {title.removeprefix(OPTIONS_OF)}", _table(group._group_actions)]
    return "\n\n".join(blocks) + "\n"


def _contents() -> str:
    heads = [
        "What `--json` prints",
        "Flags of the training script",
        *(f"megatron-proxy {name}" for name in cli.COMMANDS),
        "Options of the compressors",
    ]
    return "\n".join(f"* [{head}](#{head.lower().replace(' ', '-').replace('`', '')})" for head in heads)


def _groups(parser: argparse.ArgumentParser, *, titled: bool) -> Iterator[str]:
    """A table for each group of flags that has any, but compressors' options."""
    plain = [action for group in parser._action_groups[:2] for action in group._group_actions]
    for title, group in [("options", plain), *((str(g.title), g._group_actions) for g in parser._action_groups[2:])]:
        shown = (action for action in group if action.help != argparse.SUPPRESS)
        actions = [action for action in shown if not isinstance(action, argparse._HelpAction)]
        if not actions or title.startswith(OPTIONS_OF):
            continue
        if titled and title != "options":
            yield f"**{title}**"
        yield _table(actions)
        yield from _long_choices(actions)


def _table(actions: list[argparse.Action]) -> str:
    rows = [f"| {_names(action)} | {_meaning(action)} |" for action in actions]
    return "\n".join(["| flag | meaning |", "| --- | --- |", *rows])


def _long_choices(actions: list[argparse.Action]) -> Iterator[str]:
    """What the values stand for that are too long for a table's cell."""
    lists = {_value(action): action.choices for action in actions if len(list(action.choices or ())) > MOST_CHOICES}
    for name, choices in lists.items():
        yield f"{name} is one of {', '.join(f'`{choice}`' for choice in choices or ())}."


def _names(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return f"`{value}`"
    names = ", ".join(f"`{name}`" for name in action.option_strings[:-1])
    last = f"`{f'{action.option_strings[-1]} {value}'.strip()}`"
    needed = " (required)" if action.required else ""
    return f"{names}, {last}{needed}" if names else f"{last}{needed}"


def _value(action: argparse.Action) -> str:
    """The value as it is written behind the flag."""
    if action.nargs == 0:
        return ""
    if action.choices and not action.metavar and len(list(action.choices)) <= MOST_CHOICES:
        return "{" + ",".join(map(str, action.choices)) + "}"
    value = str(action.metavar or action.dest.upper().rpartition("_")[2])
    return f"{value} …" if action.nargs in ("+", "*") else value


def _meaning(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default}
    if "default" not in text and action.default not in (None, False, argparse.SUPPRESS, []):
        text = f"{text} (default: {action.default})".strip()
    return _escaped(text)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in "|<*":
        text = text.replace(sign, f"\\{sign}")
    return text


def _description(text: str) -> Iterator[str]:
    """The paragraphs of a command's docstring, those that are indented as code."""
    for paragraph in text.strip().split("\n\n"):
        yield f"```\n{paragraph}\n```".replace("\n  ", "\n") if paragraph.startswith("  ") else _escaped(paragraph)


def main() -> None:
    """Write the page."""
    PAGE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
