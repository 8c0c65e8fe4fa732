"""The languages of passages."""

import numpy as np
import py3langid
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_dagster.chunking import languages
from aegis_dagster.chunking.languages import languages_of, load_identifier

PASSAGES = [
    "Die Kündigungsfrist beträgt drei Monate zum Ende des Quartals.",
    "The pump is inspected every month and the result is written down.",
    "Le manomètre est contrôlé chaque mois et le résultat est noté.",
    "圧力計の校正は毎月行う。結果は管理台帳に記録する。",
    "Манометры поверяются ежемесячно, результаты заносятся в журнал.",
    "Die Pumpe wird jeden Monat geprüft, das Ergebnis wird notiert.",
]


def test_each_passage_counts_for_its_language_and_short_ones_for_none() -> None:
    texts = [
        *PASSAGES,
        "OK",
        "lorem-marker " * 50,
        "| 12 | 13 | 4711 | 0.5 | 12 | 13 | 4711 | 0.5 | total | 12 | 13 | 4711 | 0.5 | 12 | 13 |",
    ]
    assert languages_of(texts) == {"de": 2, "en": 1, "fr": 1, "ja": 1, "ru": 1}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.sampled_from(PASSAGES), st.text(max_size=40)), max_size=8).map(" ".join))
def test_any_text_has_the_language_that_py3langid_finds(text: str) -> None:
    assert load_identifier().language_of(text) == py3langid.classify(text)[0]


def test_no_feature_of_the_model_is_longer_than_the_steps_that_are_taken() -> None:
    model = load_identifier().model
    rows = np.asarray(model.tk_nextmove).reshape(-1, 256)
    reached = np.zeros(len(model.tk_output), dtype=bool)
    reached[0], front, depth = True, np.array([0]), 0
    while len(front):
        further = np.zeros_like(reached)
        further[rows[np.asarray(model.tk_row)[front]]] = True
        front = np.flatnonzero(further & ~reached)
        reached |= further
        depth += bool(len(front))
    assert (len(model.tk_output), depth) == (languages._STATES, languages._LONGEST_FEATURE)
