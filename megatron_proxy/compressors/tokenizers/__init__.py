"""The symbols of tokenizers: sentencepiece, Hugging Face's, tiktoken."""
