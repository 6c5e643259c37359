"""From (seed, draw number, progress) to the ids of each sample, in numpy.

======================  ======================================================================
:mod:`.schedule`        rate and mode at each point of progress
:mod:`.draws`           which document appears next, in which form
:mod:`.spans`           the spans of interleaved draws, and what they measure
:mod:`.plan`            what a plan is: its specification, and its arrays
:mod:`.layouts`         what draws take up, of whole views or of spans
:mod:`.planner`         the work of planning
:mod:`.cache`           plans on disk, keyed by all that determines them
:mod:`.windows`         the ids of one sample, put together from the views
:mod:`.interleaved`     those of interleaved draws
:mod:`.masks`           its loss mask, positions and document borders
:mod:`.kernels`         compiled loops over spans
======================  ======================================================================
"""
