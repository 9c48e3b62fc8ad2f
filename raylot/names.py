"""Names that the library, the sweeps and the analysis share; imports nothing."""

#: The ``layer`` of a value that is about the whole network.
WHOLE_NETWORK = "all"

#: Plasticity seen as performance on the snapshot's task: columns of ``snapshots``, and values of
#: ``metric`` in ``plasticity``.
PERFORMANCE = ("test_accuracy", "online_accuracy", "learning_speed", "trainability_gap")

#: With fewer seeds than this, the unit of replication, a figure is given together with a warning.
ENOUGH_SEEDS = 3
