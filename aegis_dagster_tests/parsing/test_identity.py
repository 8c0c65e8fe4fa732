"""The route is chosen by the weights on this machine, and the identity names what decides the output."""

from pathlib import Path

import pytest

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.parsing.identity import choose_pdf_route, parse_identity
from aegis_dagster.parsing.ocr_weights import shipped_ocr_weights
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support import bad_files as samples


def with_weights(folder: Path) -> Path:
    """A folder as `docling-tools models download -o` lays it out."""
    layout = folder / "docling-project--docling-layout-heron"
    tables = folder / "docling-project--docling-models" / "model_artifacts" / "tableformer" / "accurate"
    for path in (layout / "model.safetensors", tables / "tm_config.json"):
        path.parent.mkdir(parents=True)
        path.touch()
    return folder


def test_auto_takes_the_models_where_their_weights_are(tmp_path: Path) -> None:
    assert choose_pdf_route("auto", with_weights(tmp_path)) == "models"


def test_auto_takes_the_rules_where_weights_are_missing(tmp_path: Path) -> None:
    (tmp_path / "docling-project--docling-layout-heron").mkdir()
    assert choose_pdf_route("auto", tmp_path) == "rules"


def test_rules_are_taken_even_where_weights_are(tmp_path: Path) -> None:
    assert choose_pdf_route("rules", with_weights(tmp_path)) == "rules"


def test_models_without_weights_are_refused_with_the_command_that_gets_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="docling-tools models download") as caught:
        choose_pdf_route("models", tmp_path)
    assert str(tmp_path) in caught.value.remedy


def test_the_identity_differs_by_route_and_ocr_and_names_versions() -> None:
    identities = {parse_identity(route, ocr) for route in ("models", "rules") for ocr in (True, False)}
    assert len(identities) == 4
    assert all("docling 2." in identity and "rules " in identity for identity in identities)
    assert "rapidocr 3." in parse_identity("rules", True)


def test_the_ocr_weights_are_on_this_machine() -> None:
    weights = shipped_ocr_weights()
    for path in (weights.detection, weights.recognition, weights.orientation):
        assert path is not None and Path(path).stat().st_size > 100_000


def test_weights_that_cannot_be_loaded_are_not_blamed_on_the_document(parse: Parse, tmp_path: Path) -> None:
    folder = with_weights(tmp_path / "models")
    with pytest.raises(ConfigurationError, match="models cannot be loaded"):
        parse(samples.one_page_pdf(), "a.pdf", pdf_route="models", docling_models=str(folder))
