"""The findings of `aegis doctor` on the Ray cluster: who answers, what there is, and what each node reaches."""

import asyncio
from collections.abc import Mapping

from aegis_dagster.cli.doctor_models import Finding
from aegis_dagster.composition.project import Project
from aegis_dagster.composition.workbench import shares_of
from aegis_dagster.workers.ray.cluster import Node, Share, connect, disconnect, has_token, nodes, there_is
from aegis_dagster.workers.ray.probes import Answer, Place, ask
from aegis_dagster.workers.ray.versions import versions

_RESTART = "look at it with `ray status`, and start the node again (docs/guides/RAY.md)."
_SAME = "install the versions of constraints.txt there; no seat works on it until then."
_THROUGH_RAY = (
    "Seats there get files through Ray's object store, which is slower, and no step of `ingest_on_ray` can work there. "
    "Mount a folder at the same path; set the keys of a URL where `ray start` runs."
)


def ray_findings(project: Project) -> list[Finding]:
    """Raises as `connect`."""
    workers = project.settings.workers
    connect(workers.address)
    try:
        found = asyncio.run(nodes())
        answers = ask(found, _places(project), versions())
    finally:
        disconnect()
    shares = shares_of(project.settings)
    return [_cluster(workers.address, found), _seats(shares, found), *(_node(node, answers[node.id]) for node in found)]


def _cluster(address: str, found: list[Node]) -> Finding:
    token = "with a token" if has_token() else "without a token, on loopback"
    move_up = "" if has_token() else "Every user of this machine may run programs in it: RAY_AUTH_MODE=token."
    return Finding("Ray", True, f"{address} answers {token}; {len(found)} nodes", move_up)


def _seats(shares: Mapping[str, Share], found: list[Node]) -> Finding:
    """Whether the empty cluster has room for a seat of each task."""
    without = [f"{task} asks for {share}" for task, share in shares.items() if not any(n.holds(share) for n in found)]
    if without:
        state = f"no node has room: {'; '.join(without)}; there is {there_is(found)}"
        return Finding("Ray seats", False, state, "add a node, or lower what a seat takes in the group `workers`.")
    return Finding("Ray seats", True, "; ".join(f"{task}: {share}" for task, share in shares.items()), "")


def _node(node: Node, answer: Answer) -> Finding:
    name = f"Ray node {node.address}"
    if answer.silent:
        return Finding(name, False, f"{node}: {answer.silent}", _RESTART)
    if answer.other:
        return Finding(name, False, f"{node}: {answer.other}", _SAME)
    amiss = {place: why for place, why in answer.places.items() if why}
    fine = ", ".join(place for place in answer.places if place not in amiss)
    said = [*([f"reaches {fine}"] if fine else []), *(f"not {place}: {why}" for place, why in amiss.items())]
    return Finding(name, True, f"{node}; {'; '.join(said)}", _THROUGH_RAY if amiss else "")


def _places(project: Project) -> list[Place]:
    settings = project.settings
    artifacts = Place("artifacts", str(settings.artifacts_dir / "staging"))
    if settings.artifacts.url is not None:
        artifacts = Place("artifacts", settings.artifacts.url, settings.artifacts.options)
    places = [Place("home", str(settings.home)), artifacts]
    if settings.root is not None:
        options = settings.root_options if isinstance(settings.root, str) else {}
        places.append(Place("root", str(settings.root), options, only_read=True))
    return places
