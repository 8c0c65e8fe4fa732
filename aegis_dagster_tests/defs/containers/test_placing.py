"""Which steps ask for a GPU, by tags that Docker's and Kubernetes' executors read; and what settings refuse."""

import json
import subprocess
import sys
from typing import Any

import dagster as dg
import pytest
from dagster_k8s.job import get_user_defined_k8s_config
from dagster_k8s.models import k8s_model_from_dict
from kubernetes.client.models import V1Container

from aegis_dagster.composition.identities import EMBED_VERSION
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.containers.given import environment, mounts
from aegis_dagster.defs.containers.placing import IMAGE, KUBERNETES, KWARGS, VARIABLES
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.dagster_runs import STEPS

MORE = ("AWS_PROFILE", "AEGIS_QDRANT_API_KEY", "RAY_AUTH_TOKEN")
GPU = [{"driver": "nvidia", "count": 1, "capabilities": [["gpu"]]}]


def ops(job: str) -> dict[str, Any]:
    nodes = build_definitions().resolve_job_def(job).nodes
    return {node.name: node.definition for node in nodes}


@pytest.fixture(autouse=True)
def containers(home: object) -> None:
    """Containers are switched on."""


def test_parse_enrich_and_embed_ask_for_a_gpu_and_no_other_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_CONTAINERS__STEPS", '{"embed": {"gpus": 2, "image": "big:1"}, "enrich": {"gpus": 0}}')
    found = ops("ingest_in_containers")
    kwargs = {name: json.loads(op.tags.get("dagster-docker/container_kwargs", "{}")) for name, op in found.items()}
    asking = {name: one["device_requests"] for name, one in kwargs.items() if "device_requests" in one}
    assert asking == {"parsed_documents": GPU, "embeddings": [{**GPU[0], "count": 2}]}
    assert {name for name, op in found.items() if op.pool == "gpu"} == asking.keys()
    assert found["embeddings"].tags["dagster-docker/image"] == "big:1"
    graph = build_definitions().resolve_asset_graph()
    assert graph.get(dg.AssetKey("embeddings")).code_version == EMBED_VERSION  # all else is as without containers
    keys = {name: op.tags.get("dagster-docker/env_vars") for name, op in found.items()}
    assert {name for name, value in keys.items() if value} == {"enriched_images", "knowledge_graph"}


def test_kubernetes_takes_the_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_CONTAINERS__STEPS", '{"embed": {"gpus": 2, "image": "big:1"}}')
    found = {}
    for name, op in ops("ingest_in_containers").items():
        if "dagster-k8s/config" in op.tags:
            config = get_user_defined_k8s_config(op.tags).container_config
            assert k8s_model_from_dict(V1Container, {**config, "name": "step"}).resources.limits
            found[name] = config
    assert found == {
        "parsed_documents": {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
        "enriched_images": {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
        "embeddings": {"image": "big:1", "resources": {"limits": {"nvidia.com/gpu": "2"}}},
    }


def test_without_an_image_nothing_is_different_and_docker_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AEGIS_CONTAINERS__IMAGE")
    jobs = {job.name for job in build_definitions().resolve_all_job_defs()}
    assert "ingest_in_containers" not in jobs
    plain = [op for name, op in ops("ingest").items() if name in STEPS]
    assert not any(op.pool for op in plain) and not {IMAGE, KWARGS, VARIABLES, KUBERNETES} & {
        t for op in plain for t in op.tags
    }
    script = "import sys, aegis_dagster.definitions\nprint('docker' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CONTAINER_KWARGS", '{"image": "x"}', "containers.image"),
        ("CONTAINER_KWARGS", '{"network": "host"}', "containers.networks"),
        ("CONTAINER_KWARGS", '{"auto_remove": true}', "set by the executor itself"),
        ("STEPS", '{"embed": {"container_kwargs": {"environment": {}}}}', "containers.environment"),
        ("STEPS", '{"embedding": {"gpus": 1}}', "containers.steps"),
        ("GPUS", "-1", "containers.gpus"),
        ("ENVIRONMENT", '["KEY=value"]', "containers.environment"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"AEGIS_CONTAINERS__{variable}", value)
    with pytest.raises(ConfigurationError, match=told):
        load_settings()


def test_what_dagster_yaml_refers_to_is_given_and_folders_once(
    instance: dg.DagsterInstance, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "dagster" / "dagster.yaml").write_text(
        "storage: {postgres: {postgres_url: {env: OUR_STORAGE}}}\n# env: NOT\n"
    )
    for name in ("OUR_STORAGE", "NOT", "OPENAI_API_KEY", "OLLAMA_HOST", "AEGIS_NEO4J_PASSWORD", *MORE):
        monkeypatch.setenv(name, f"value of {name}")
    settings = load_settings()
    given = environment(settings, instance, [])
    assert given["OUR_STORAGE"] == "value of OUR_STORAGE" and given["OLLAMA_HOST"] == "value of OLLAMA_HOST"
    assert given["OPENAI_API_KEY"].startswith("withheld")
    assert not {"NOT", "AEGIS_NEO4J_PASSWORD", *MORE} & given.keys()
    assert environment(settings, instance, ["OPENAI_API_KEY"])["OPENAI_API_KEY"] == "value of OPENAI_API_KEY"
    monkeypatch.setenv("AEGIS_ROOT", "s3://bucket/documents")
    monkeypatch.setenv("AEGIS_QDRANT__URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AEGIS_WORKERS__ENGINE", "ray")
    remote = environment(load_settings(), instance, [])
    assert [remote[name] for name in MORE] == [f"value of {name}" for name in MORE]
    places = {mount["Target"]: mount["ReadOnly"] for mount in mounts(settings, instance)}
    assert places[str(home)] is False and places[str(settings.root)] is True
    assert str(home / "dagster") not in places  # it lies in the home
    assert [stage for stage in Stage if settings.containers.gpus_of(stage)] == [Stage.PARSE, Stage.ENRICH, Stage.EMBED]
