"""One module per command of ``megatron-proxy``; see :mod:`megatron_proxy.cli`."""
