"""Where and how is computed: device, precision, processes, memory, speed.

``device`` chooses, ``machine`` is what there is of cores and memory, ``threads`` counts the cores that are free, ``engine`` makes a model faster, ``proof`` that it computes the same,
``together`` that real proteins in a batch are read as they are alone, ``context`` what a residue sees of its protein, ``measured`` keeps what was tried
on this machine; ``distributed`` and ``sharding`` are several processes; ``memory`` asks again in smaller pieces; ``operations``,
``process_memory`` and ``speed`` tell what will be needed.
"""
