"""Whole folders of runs: ``run_states``, how far what was asked for is; ``merging``, several that become one."""
