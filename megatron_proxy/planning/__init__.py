"""From (seed, draw number, progress) to the ids of each sample, in plain numpy.

======================  ======================================================================
:mod:`.draws`           which document appears next, in which form
:mod:`.spans`           the same for interleaved draws, whose loops are in :mod:`.kernels`
:mod:`.plan`            what a plan is: its specification, and its arrays
:mod:`.planner`         the work of planning
:mod:`.cache`           plans on disk, keyed by all that determines them
:mod:`.windows`         the ids of one sample, put together from the views
:mod:`.masks`           its loss mask, positions and document borders
======================  ======================================================================
"""
