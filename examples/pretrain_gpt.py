"""The launcher ``python -m megatron_proxy.pretrain_gpt`` as a script: its short form, where a path is easier to give.

torchrun --nproc-per-node 8 examples/pretrain_gpt.py --proxy-compression zstd --data-path data/stdlib …
"""

from megatron_proxy.pretrain_gpt import main

if __name__ == "__main__":
    main()
