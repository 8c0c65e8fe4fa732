"""Which MiniLM the settings choose: its device, its identity, and what is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from aegis_dagster.composition.minilm import device_of
from aegis_dagster.domain.stages import Stage
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.on_card import CardEmbedder
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import Settings
from aegis_dagster.stores.vectors.points import physical_name
from aegis_dagster_tests.support.projects import make_project


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_card_onnxruntime_embeds(tmp_path: Path, device: str) -> None:
    embedder = make_project(tmp_path, device=device).choices.embedder
    assert isinstance(embedder, MiniLmEmbedder) and embedder.device == "cpu"


def test_a_card_that_is_not_there_stops_only_what_embeds(tmp_path: Path) -> None:
    embedder = make_project(tmp_path, device="cuda:3").choices.embedder
    assert isinstance(embedder, CardEmbedder) and embedder.model == MiniLmEmbedder.model
    with pytest.raises(ConfigurationError, match=r"is to be cuda:3, but .*AEGIS_DEVICE"):
        embedder.embed_now(["text"])


def test_fp16_has_vectors_of_its_own_and_the_same_passages(tmp_path: Path) -> None:
    half, full = make_project(tmp_path, embed={"precision": "fp16"}), make_project(tmp_path)
    assert half.choices.embedder.model == half.choices.embedding_shape[0] != full.choices.embedder.model
    names = {physical_name("alias", one.choices.embedding_shape[0]) for one in (half, full)}
    assert len(names) == 2
    assert half.identities.by_stage[Stage.EMBED] != full.identities.by_stage[Stage.EMBED]
    assert half.identities.by_stage[Stage.CHUNK] == full.identities.by_stage[Stage.CHUNK]


def test_fp16_without_a_card_is_refused_with_what_helps(tmp_path: Path) -> None:
    one = make_project(tmp_path, device="cpu", embed={"precision": "fp16"})
    embedder = one.choices.embedder
    assert isinstance(embedder, CardEmbedder)
    for refuses in (lambda: device_of(one.settings), lambda: embedder.embed_now(["text"])):
        with pytest.raises(ConfigurationError, match=r"fp16, which only a card computes.*set embed\.precision to fp32"):
            refuses()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_question_is_embedded_on_the_cpu_whatever_made_the_stored_vectors(tmp_path: Path, precision: str) -> None:
    one = make_project(tmp_path, device="cuda", embed={"precision": precision})
    collection = physical_name("alias", one.choices.embedding_shape[0])
    assert isinstance(one.choices.embedder_of(collection, "alias"), MiniLmEmbedder)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:a", "CPU", "mps", ""])
def test_other_devices_are_no_setting(device: str) -> None:
    with pytest.raises(ValidationError):
        Settings(device=device)
