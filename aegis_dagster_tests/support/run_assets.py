"""Materializes assets of a job in a process of its own, which reads the settings of its environment anew.

`python -m aegis_dagster_tests.support.run_assets JOB PARTITION ASSET...` prints the id of the run.
"""

import sys
from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository

from aegis_dagster.defs.ingestion.config import collections


def main(job: str, partition: str, assets: Sequence[str]) -> None:
    """Run it."""
    repository = ReconstructableRepository.for_module("aegis_dagster.definitions", "defs")
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(collections.name), [partition])
        keys = [dg.AssetKey(name) for name in assets]
        selected = repository.get_reconstructable_job(job).get_subset(asset_selection=frozenset(keys))
        tags = {"dagster/partition": partition}
        print(dg.execute_job(selected, instance, asset_selection=keys, tags=tags).run_id)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
