"""Proxy compression as a flag on Megatron pretraining scripts.

Importing this package imports neither torch nor megatron. A training script imports
:mod:`megatron_proxy.adaptor`; everything below the adaptor is plain numpy.
"""

__version__ = "0.1.0"
