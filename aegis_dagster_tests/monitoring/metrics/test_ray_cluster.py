"""What a Ray cluster tells Prometheus by itself, as dashboards/prometheus/prometheus.yml has it scraped."""

import json
import re
import urllib.request
from contextlib import suppress

import yaml

from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.servers.ray import RayCluster
from aegis_dagster_tests.support.waiting import until


def test_the_head_writes_the_file_by_which_every_node_is_scraped(ray_of_the_run: RayCluster) -> None:
    configuration = yaml.safe_load((REPOSITORY / "dashboards/prometheus/prometheus.yml").read_text("utf-8"))
    (job,) = [each for each in configuration["scrape_configs"] if each["job_name"] == "ray"]
    name = job["file_sd_configs"][0]["files"][0].removeprefix("/tmp/ray/")  # Ray's folder, which a test has elsewhere
    file = ray_of_the_run.folder / name

    def targets() -> list[str]:
        return [target for group in json.loads(file.read_text("utf-8")) for target in group["targets"]]

    addresses = {node.address for node in ray_of_the_run.nodes[:2]}
    until(lambda: file.exists() and addresses <= {target.partition(":")[0] for target in targets()}, "all nodes")

    def told() -> str:
        return "".join(page(f"http://{target}/metrics") for target in targets())

    def measured() -> set[str]:
        return {each for each in addresses if re.search(f'ray_node_mem_used{{.*"{each}"', told())}

    until(lambda: measured() == addresses, "figures of all nodes")
    assert measured() == {"127.0.0.2", "127.0.0.3"}


def page(url: str) -> str:
    """What is served there; "" while nobody listens: the head also names a port of its autoscaler."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=30) as response:
        return str(response.read().decode())
    return ""
