"""Code tasks: HumanEval, MBPP and ReCode, by running what the model wrote.

=============  =====================================================================
tasks.py       problems from JSONL files, and which perturbation they belong to
completions.py what the model writes for each problem; a half-done run goes on
sandbox.py     running a program without time, memory, files or network to spare
confined.py    that program's process, and what it gives up
pass_at_k.py   pass@k, robust pass@k, drop
=============  =====================================================================
"""
