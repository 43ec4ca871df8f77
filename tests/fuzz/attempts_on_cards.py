"""Cards, as bench and users write them, and templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import samples
import yaml
from attempts import attempt, put
from hypothesis import strategies as st
from mutations import Schema, as_json, encoded, mutated_texts, mutated_values, texts_as_bytes


@attempt("reporting.card.card_lint.lint_card")
def _() -> Any:
    matters = [
        yaml.safe_load(card.replace("\r\n", "\n").split("---\n")[1]) for card in samples.CARDS if card[:3] == "---"
    ]
    values = mutated_values(matters, Schema(), finite=False).map(
        lambda found: f"---\n{yaml.safe_dump(found, allow_unicode=True)}---\n# A card\n"
    )
    return st.one_of(values, mutated_texts(samples.CARDS)), lambda read, folder, text: [
        one.encode("utf-8", "replace") for one in read(text)
    ]


@attempt("reporting.card.card_edits.edits", "reporting.card.card_edits.changed_by_hand", "publishing.card_lines.blocks")
def _() -> Any:
    from hubtools.reporting.card.card_edits import sign

    signed = sign(samples.CARDS[0])
    texts = [*samples.CARDS, signed, signed.replace("<!-- /bench:edit -->", "")]
    return mutated_texts(texts), lambda read, folder, text: read(text)


@attempt("reporting.card.card_edits.keep_edits", "publishing.earlier.merged_card")
def _() -> Any:
    from hubtools.reporting.card.card_edits import sign

    new = sign(samples.CARDS[0])

    def call(read: Any, folder: Path, text: str) -> Any:
        return (
            read(new, text) if read.__name__ == "keep_edits" else [read(new, text, ours=ours) for ours in (False, True)]
        )

    return mutated_texts([*samples.CARDS, new]), call


@attempt("publishing.earlier._published")
def _() -> Any:
    record = {"run_id": "a" * 12, "outputs": [{"path": "model/config.json"}]}
    values = mutated_values([record], Schema()).map(as_json)
    return st.one_of(values, mutated_texts([as_json(record)])), lambda read, folder, text: read(text)


@attempt("reporting.templates.render")
def _() -> Any:
    texts = [
        "# {{ title|cell }}\n{% for row in rows %}\n- {{ row.name }}: {{ row.value|number }}\n{% endfor %}\n",
        "{% macro a(x) %}{{ x|code }}{% endmacro %}{{ a(title) }}{% if rows|length > 1 %}x{% endif %}{{ '%d' % 3 }}\n",
    ]
    tricks = [
        *("{{ 1 / 0 }}", "{{ rows[5] }}", "{{ title + 1 }}", "{{ rows|sort }}", "{{ ''.join(rows) }}", "{{ title.x }}"),
        *(
            "{{ title|number }}",
            "{% import 'a' as b %}",
            "{{ range(10**9)|list }}",
            "{{ 'a'.__class__ }}",
            "{{ title|nope }}",
        ),
        *("{% include 'own.md.j2' %}", "{{ '%s' % () }}", "{{ title|int(base='x') }}", "{{ [1]|batch(0)|list }}"),
        *("{{ title() }}", "{{ caller() }}", "{{ self }}", "{% include 'x.md.j2' %}"),
    ]

    def call(read: Any, folder: Path, content: bytes) -> Any:
        from hubtools.reporting.templates import templates_of

        put(folder, "own.md.j2", content)
        with templates_of(folder):
            return read("own.md.j2", title="A", rows=[{"name": "x|y", "value": 0.5}])

    return st.one_of(texts_as_bytes(texts), st.sampled_from(tricks).map(encoded)), call
