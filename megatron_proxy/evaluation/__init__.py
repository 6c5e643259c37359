"""Judging a trained model on raw bytes.

===============  ==============================================================
windows.py       which ids a model reads at once, and which it is scored on
scoring.py       nats of many windows, over batches and processes
bits.py          bits per byte of a corpus, by file and by domain
translation.py   one view given the other: bits per byte and exact match
robustness.py    bits per byte behind perturbed prompts
code/            code tasks: HumanEval, MBPP, ReCode
===============  ==============================================================
"""
