"""The languages of passages."""

from aegis_dagster.chunking.languages import languages_of


def test_each_passage_counts_for_its_language_and_short_ones_for_none() -> None:
    texts = [
        "Die Kündigungsfrist beträgt drei Monate zum Ende des Quartals.",
        "The pump is inspected every month and the result is written down.",
        "Le manomètre est contrôlé chaque mois et le résultat est noté.",
        "圧力計の校正は毎月行う。結果は管理台帳に記録する。",
        "Манометры поверяются ежемесячно, результаты заносятся в журнал.",
        "Die Pumpe wird jeden Monat geprüft, das Ergebnis wird notiert.",
        "OK",
        "lorem-marker " * 50,
        "| 12 | 13 | 4711 | 0.5 | 12 | 13 | 4711 | 0.5 | total | 12 | 13 | 4711 | 0.5 | 12 | 13 |",
    ]
    assert languages_of(texts) == {"de": 2, "en": 1, "fr": 1, "ja": 1, "ru": 1}
