"""When two configurations are the same experiment: one notion for runs, studies and results.

Compared are the settings that a number depends on. Paths, machine, memory and label are left out:
what lies in the files is compared by the fingerprints of data set, split and features.
"""

import hashlib
import json

from graphrec.config import Json, RunConfig


def experiment_settings(config: RunConfig, *, searched: bool = False) -> dict[str, Json]:
    """Return the settings that make an experiment, without those at their first default.

    Args:
        searched: the experiment is a search: ``[search]`` and ``[tune]`` belong to it as well, but
            for the budget of the search, which may grow.
    """
    settings = config.identity()
    if searched:
        settings["search"] = {key: span.identity() for key, span in config.search.items()}
        settings["tune"] = config.tune.identity()
    return settings


def experiment_identity(config: RunConfig, *, searched: bool = False) -> str:
    """sha256 of ``experiment_settings``, the same on every machine."""
    canonical = json.dumps(experiment_settings(config, searched=searched), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
