"""The content of a collection that is local_only reaches no model that is not local, however it is spelt or linked."""

import json
import unicodedata
from pathlib import Path

import pytest
import yaml

from aegis_dagster.domain.llm import AskedFor, LLMTask, Message, TaskType
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.retry_policy import CallFailed
from aegis_dagster.settings import load_settings
from aegis_dagster.sources.local_folder import WatchedFolder
from aegis_dagster.sources.remote_folder import RemoteFolder
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.dagster_instance import quick_instance
from aegis_dagster_tests.support.dagster_runs import run, why_failed
from aegis_dagster_tests.support.llm_server import LLMServer
from aegis_dagster_tests.support.projects import bring_up, make_project, scan, write_documents
from aegis_dagster_tests.support.projects_with_models import llm_settings, project_with_models
from aegis_dagster_tests.support.servers.webhook import Webhook

WITHOUT_VECTORS = (Stage.PARSE, Stage.ENRICH, Stage.CHUNK, Stage.GRAPH)
VERTRAEGE = "Verträge"
NEARLY = [  # folder, name in the settings
    ("Contracts", "contracts"),
    ("Contracts", "Contracts "),
    ("Contracts", "Contracts/"),
    ("Contracts", "Con\u200btracts"),
    ("Contracts", "C\u043entracts"),  # a Cyrillic o
    ("Contracts", "Ｃontracts"),
    ("Our Contracts", "Our\u00a0Contracts"),
    ("Our Contracts", "OurContracts"),
    (unicodedata.normalize("NFD", VERTRAEGE), unicodedata.normalize("NFC", VERTRAEGE)),
    ("STRASSE", "straße"),
]


@pytest.fixture
def aegis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    return InProcess(tmp_path / "home", monkeypatch)


def configure(folder: Path, server: LLMServer, **settings: object) -> None:
    (folder / "aegis.yaml").write_text(yaml.safe_dump({"llm": llm_settings(server), **settings}, allow_unicode=True))


@pytest.mark.parametrize(("folder", "named"), NEARLY)
def test_a_policy_that_nearly_names_a_folder_stops_everything_before_anything_is_sent(
    aegis: InProcess, tmp_path: Path, server: LLMServer, folder: str, named: str
) -> None:
    write_documents(tmp_path / "root", [f"{folder}/lease.txt", "open/a.txt"])
    configure(tmp_path, server, collections={named: {"local_only": True}})
    refused = aegis.refusal("ingest")
    assert f"write {_to_write(folder)} in `collections`" in refused["remedy"]
    assert server.records() == []
    for command in (["ingest", str(tmp_path / "root" / "open")], ["status"], ["search", "lease"], ["costs"], ["retry"]):
        assert aegis.refusal(*command) == refused
    for command in (["audit"], ["audit", "--repair"], ["cache", "forget", "--document", f"{folder}/lease.txt"]):
        assert aegis.refusal(*command) == refused
    assert aegis("backup", str(tmp_path / "copy")).exit_code == 0  # it sends nothing
    configure(tmp_path, server, collections={folder: {"local_only": True}})
    assert aegis("status").exit_code == 0


def _to_write(folder: str) -> str:
    """As aegis.yaml takes it: with escapes where the eye cannot tell."""
    return folder if unicodedata.is_normalized("NFC", folder) else json.dumps(folder)


def test_what_is_told_to_write_is_taken(aegis: InProcess, tmp_path: Path, server: LLMServer) -> None:
    folder = unicodedata.normalize("NFD", VERTRAEGE)
    write_documents(tmp_path / "root", [f"{folder}/lease.txt"])
    configure(tmp_path, server, collections={VERTRAEGE: {"local_only": True}})
    told = aegis.refusal("ingest")["remedy"].split("`")[0].removeprefix("write ").removesuffix(" in ")
    (tmp_path / "aegis.yaml").write_text(f"collections: {{{told}: {{local_only: true}}}}", "utf-8")
    assert load_settings().policy(folder).local_only


def test_a_budget_that_nearly_names_a_folder_stops_everything(
    aegis: InProcess, tmp_path: Path, server: LLMServer
) -> None:
    write_documents(tmp_path / "root", ["Contracts/lease.txt"])
    configure(tmp_path, server)
    values = yaml.safe_load((tmp_path / "aegis.yaml").read_text())
    values["llm"]["budgets"]["collections"] = {"contracts": 1}
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(values))
    assert "write Contracts in `llm.budgets.collections`" in aegis.refusal("ingest")["remedy"]
    assert server.records() == []


def test_a_policy_without_a_folder_is_warned_of_at_each_ingest(
    aegis: InProcess, tmp_path: Path, server: LLMServer
) -> None:
    (tmp_path / "root" / "Empty").mkdir(parents=True)
    configure(tmp_path, server, collections={"Contract": {}, "Empty": {}, "default": {}})
    for _ in range(2):
        done = aegis("ingest")
        assert done.exit_code == 0
        assert [line for line in done.stderr.splitlines() if "warning" in line] == [
            "warning: The settings name a collection Contract; no folder has this name."
        ]


def test_a_run_of_dagster_stops_with_the_name_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("HOME", "home"), ("ROOT", "root")):
        monkeypatch.setenv(f"AEGIS_{name}", str(tmp_path / value))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    write_documents(tmp_path / "root", ["Contracts/lease.txt"])
    configure(tmp_path, server, collections={"contracts": {"local_only": True}})
    with quick_instance(tmp_path) as instance:
        done = run(instance, partition="Contracts", only=["parsed_documents"])
        assert not done.success and "write Contracts in `collections`" in why_failed(done)
    assert server.records() == []


async def test_all_collections_are_confidential_but_those_that_are_opened(tmp_path: Path, server: LLMServer) -> None:
    project = project_with_models(
        tmp_path,
        server,
        default_policy="local_only",
        collections={"Public": {"local_only": False}, "Stated": {"graph": True}},
    )
    write_documents(project.root, ["Public/a.txt", "Stated/b.txt", "new/c.txt", "d.txt"], paragraphs=1)
    await bring_up(project, stages=WITHOUT_VECTORS)
    sent = [json.dumps(record.body) for record in server.records()]
    assert sent and all("Public/a.txt" in body for body in sent)
    assert {policy: project.settings.policy(policy).words for policy in ("Public", "Stated", "new")} == {
        "Public": "open",
        "Stated": "local_only",
        "new": "local_only",
    }


def test_one_collection_that_may_be_confidential_forbids_to_embed_elsewhere(tmp_path: Path, server: LLMServer) -> None:
    project = project_with_models(
        tmp_path,
        server,
        default_policy="local_only",
        collections={"Public": {"local_only": False}},
        embed={"model": "openai/embeds"},
    )
    with pytest.raises(ConfigurationError, match="local_only: all but Public"):  # all vectors are of one model
        _ = project.choices.embedder


async def test_the_gateway_knows_a_confidential_collection_also_when_the_caller_does_not_say_so(
    tmp_path: Path, server: LLMServer
) -> None:
    project = project_with_models(tmp_path, server, collections={"Contracts": {"local_only": True}})
    models = project.models()
    for collection in ("Contracts", "contracts"):
        task = LLMTask(
            TaskType.SUMMARY,
            messages=(Message("user", "Sum it up."),),
            max_tokens=10,
            asked_for=AskedFor(collection, f"{collection}/lease.txt"),
        )
        with pytest.raises(ConfigurationError, match=r"local_only|write contracts"):
            await models.gateway.ask(task)
    await models.aclose()
    assert server.records() == []


@pytest.mark.parametrize("variable", ["AEGIS_COLLECTION", "AEGIS_DEFAULT_POLICIES", "aegis_colections"])
def test_a_variable_that_nearly_names_a_policy_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, '{"Contracts": {"local_only": true}}')
    with pytest.raises(ConfigurationError, match=r"write it as AEGIS_(COLLECTIONS|DEFAULT_POLICY)"):
        load_settings()


def watched(root: Path) -> WatchedFolder:
    return WatchedFolder(root, ignore=(), settle_seconds=0, clock=SetClock(), max_megabytes=200)


def test_a_link_leads_into_no_other_collection(tmp_path: Path) -> None:
    own = {"Contracts/lease.txt", "Contracts/old/deed.txt", "Public/p.txt", "d.txt"}
    write_documents(tmp_path, [*own, ".hidden/x.txt"])
    links = {
        "Public/lease.txt": "../Contracts/lease.txt",
        "Public/deep/lease.txt": "../../Contracts/old/deed.txt",
        "Public/contracts": "../Contracts",
        "Public/old": "../Contracts/old",
        "Public/hidden.txt": "../.hidden/x.txt",
        "Public/of_root.txt": "../d.txt",
        "lease.txt": "Contracts/lease.txt",
        "Contracts again": "Contracts",
        "Contracts/same.txt": "old/deed.txt",
        "Public/chain.txt": "contracts/lease.txt",
    }
    for name, target in links.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(target)
    found = watched(tmp_path).scan({})
    assert found.files.keys() == {*own, "Contracts/same.txt"}
    reasons = {item.path: item.reason for item in found.passed_over}
    assert reasons == dict.fromkeys(links.keys() - {"Contracts/same.txt"}, "link_leaves_collection")
    assert watched(tmp_path).scan({}, "Public/contracts").files == {}


def test_a_link_on_a_server_is_not_followed(tmp_path: Path) -> None:
    write_documents(tmp_path, ["Contracts/lease.txt", "Public/p.txt"])
    (tmp_path / "Public" / "lease.txt").symlink_to("../Contracts/lease.txt")
    server = RemoteFolder(
        f"file://{tmp_path}",
        options={},
        ignore=(),
        settle_seconds=0,
        clock=SetClock(),
        downloads=tmp_path / "downloads",
        max_megabytes=200,
    )
    found = server.scan({})
    assert sorted(found.files) == ["Contracts/lease.txt", "Public/p.txt"]
    assert [(item.path, item.reason) for item in found.passed_over] == [("Public/lease.txt", "link_not_followed")]


def test_doctor_shows_the_policy_of_each_collection(aegis: InProcess, tmp_path: Path, server: LLMServer) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["Public/a.txt", "new/c.txt"])
    configure(
        tmp_path, server, default_policy="local_only", collections={"Public": {"local_only": False, "graph": False}}
    )
    scan(project)
    found = {each["component"]: each for each in json.loads(aegis("doctor", "--json").stdout)["findings"]}
    assert "by default local_only: Public (open, no graph), new (local_only)" in found["collections"]["state"]


@pytest.mark.parametrize(
    "written",
    [
        "collections:\n  Contracts: {local_only: true}\n  Contracts: {graph: false}\n",
        "collections:\n  Contracts: {local_only: true}\nllm: {}\ncollections:\n  Open: {graph: false}\n",
        "default_policy: local_only\ndefault_policy: open\n",
        "collections:\n  Contracts: {local_only: true, local_only: false}\n",
    ],
)
def test_a_policy_that_a_second_one_of_its_name_would_replace_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aegis.yaml").write_text(written)
    with pytest.raises(ConfigurationError, match="stands twice"):
        load_settings(tmp_path / "home")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AEGIS_POLICY", "local_only", "AEGIS_DEFAULT_POLICY"),
        ("AEGIS_LOCAL_ONLY", "Contracts", "AEGIS_COLLECTIONS"),
        ("aegis_policies", "local_only", "AEGIS_DEFAULT_POLICY"),
        ("AEGIS_COLLECTIONS", '{"A": {"local_only": true}, "A": {"graph": false}}', "A stands twice"),
        ("AEGIS_COLLECTIONS", '{"A": {"local_only": true, "local_only": false}}', "local_only stands twice"),
        ("AEGIS_LLM__BUDGETS", '{"collections": {"A": 1, "A": 5}}', "A stands twice"),
        ("AEGIS_COLLECTIONS", '{"Contracts": {"local_only": null}}', "local_only is null"),
    ],
)
def test_a_variable_that_would_silently_protect_nothing_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aegis.yaml").write_text("collections:\n  Contracts: {local_only: true}\n")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=says):
        load_settings(tmp_path / "home")


@pytest.mark.parametrize(
    "task",
    [
        LLMTask(TaskType.EMBEDDING, texts=("Our salaries.",)),
        LLMTask(TaskType.SUMMARY, (Message("user", "Our salaries."),), max_tokens=5),
    ],
    ids=["embedding", "chat"],
)
async def test_no_proxy_of_the_environment_reads_what_only_a_local_model_may_see(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch, task: LLMTask
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, webhook.url)
        monkeypatch.setenv(name.lower(), webhook.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    webhook.answer = 500
    wire, model = Wire(), Model("any", frozenset({task.task_type}))
    for local, seen in ((True, 0), (False, 1)):
        with pytest.raises(CallFailed):
            await wire.call(Provider("here", "http://127.0.0.1:9/v1", "", local=local), model, task)
        assert len(webhook.bodies) == seen
    await wire.aclose()
