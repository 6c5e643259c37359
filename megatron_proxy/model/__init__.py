"""A trained checkpoint without Megatron: reading, running and writing with it, to Hugging Face and back."""
