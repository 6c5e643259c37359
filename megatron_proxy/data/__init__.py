"""From a corpus to the windows of a run, in numpy: no torch, no Megatron."""
