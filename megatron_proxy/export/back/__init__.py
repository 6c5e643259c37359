"""Back from an exported Hugging Face folder to a Megatron checkpoint, to train on.

The folder holds specials and bytes alone. The rows of the compressed symbols are made anew for the prepared dataset
that training goes on with; everything else is copied exactly.

============  ==================================================================================
folder.py     the folder's files, checked: is it one of ours, and is it whole?
shape.py      ``config.json`` → architecture → Megatron's flags
weights.py    Llama's weights under Megatron's names, and rows for the symbols
run.py        the checkpoint, written beside and renamed; Megatron runs in a process of its own
save.py       that process
============  ==================================================================================
"""

from __future__ import annotations

from .run import Imported, import_folder

__all__ = ["Imported", "import_folder"]
