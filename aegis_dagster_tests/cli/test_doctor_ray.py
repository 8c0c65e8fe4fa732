"""`aegis doctor` on the Ray cluster."""

import json
from pathlib import Path
from typing import Any

from aegis_dagster.workers.ray.probes import Place, Question, answer
from aegis_dagster.workers.ray.versions import versions
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.ray import RayCluster, need_ray


def ray_findings(folder: Path, workers: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines about Ray, by component."""
    (folder / "aegis.yaml").write_text(json.dumps({"workers": {"engine": "ray", **workers}}), "utf-8")
    found = Aegis(folder / "home", folder / "root")("doctor", "--json").json["findings"]
    return {item["component"]: item for item in found if item["component"].startswith("Ray")}


def test_each_node_answers_and_reaches_home_artifacts_and_root_and_a_share_that_fits_nowhere_is_told(
    ray_of_the_run: RayCluster, tmp_path: Path
) -> None:
    (tmp_path / "root" / "c").mkdir(parents=True)
    found = ray_findings(tmp_path, {"address": ray_of_the_run.address, "ocr": {"num_gpus": 8}})
    nodes = {name: item for name, item in found.items() if name.startswith("Ray node 127.0.0.")}
    assert len(nodes) >= 2
    for item in nodes.values():
        assert item["ok"] and item["state"].endswith("reaches home, artifacts, root"), item
    assert found["Ray"]["ok"] and "with a token" in found["Ray"]["state"]
    assert not found["Ray seats"]["ok"] and "ocr asks for 1 CPU, 8 GPU" in found["Ray seats"]["state"]
    assert not list(tmp_path.rglob("probe-*"))


def test_without_a_cluster_one_line_says_so_and_what_to_do(tmp_path: Path) -> None:
    need_ray()
    (found,) = ray_findings(tmp_path, {"address": f"127.0.0.1:{free_port()}"}).values()
    assert found["component"] == "Ray" and not found["ok"]
    assert "ray start" in found["move_up"]


def test_a_node_says_what_it_does_not_reach_and_what_it_has_in_another_version(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("text")
    places = [
        (Place("same", str(tmp_path)), "there"),
        (Place("elsewhere", str(tmp_path)), "not there"),
        (Place("root", str(tmp_path), only_read=True), "9\nother\nfiles"),
        (Place("gone", str(tmp_path / "gone"), only_read=True), "1\nfile"),
    ]
    told = answer(Question({**versions(), "docling-core": "0"}, places, "text"))
    assert "docling-core" in told.other
    assert told.places["same"].startswith("written as probe-")
    assert told.places["elsewhere"] == "what is written here is not there"
    assert told.places["root"] == "it shows other files than here"
    assert "FileNotFoundError" in told.places["gone"]
