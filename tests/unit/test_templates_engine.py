"""What templates may do, and what they reach for in vain."""

from typing import Any

import pytest
from mailproxy_server.templates.engine import read, render
from mailproxy_server.templates.template import RENDERED_LIMIT, Flaw, Sources

GIVEN: dict[str, Any] = {
    "name": "<b>Ann</b>",
    "order": {"id": 17, "items": [{"title": "one"}, {"title": "two"}], "total": 1.5},
    "lines": ["a", "b"],
    "nothing": None,
}


def made(text: str, part: str = "text_body") -> str:
    return str(getattr(render(Sources(**{part: text}), GIVEN), part))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain\n", "plain\n"),
        ("{{ order.id }} {{ order['total'] }}", "17 1.5"),
        ("{% for i in order['items'] %}{{ i.title|upper }}{% endfor %}", "ONETWO"),
        ("{{ order.items|map(attribute='title')|join(', ') }}", "one, two"),
        ("{% if nothing is none %}x{% endif %}", "x"),
        ("{{ missing|default('d') }}", "d"),
        ("{% if missing is defined %}x{% endif %}", ""),
        ("{{ lines|join('-') }} {{ lines|length }} {{ '%.2f'|format(order.total) }}", "a-b 2 1.50"),
        ("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(1) }}", "[1]"),
        ("{% set x = 1 %}{{ x + order.id }}", "18"),
        ("{{ name.upper() }} {{ name|replace('b', 'i') }}", "<B>ANN</B> <i>Ann</i>"),
    ],
)
def test_it_says_what_was_meant(source: str, text: str) -> None:
    assert made(source) == text


def test_html_is_escaped_and_text_is_not() -> None:
    assert made("{{ name }}", "html_body") == "&lt;b&gt;Ann&lt;/b&gt;"
    assert made('<a title="{{ q }}">'.replace("q", "name"), "html_body").count("<") == 1
    assert made("{{ name }}", "subject") == "<b>Ann</b>"
    assert made("{{ name|safe }}", "html_body") == "<b>Ann</b>"


def test_a_subject_is_one_line() -> None:
    assert made("  a\r\n b\t\u2028c {{ lines[0] }} ", "subject") == "a b c a"


REACHING = [
    "{{ ''.__class__ }}",
    "{{ name.__class__.__mro__ }}",
    "{{ name['__class__'] }}",
    "{{ name|attr('__class__') }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ '{a.__class__}'.format_map({'a': name}) }}",
    "{{ order.__init__ }}",
    "{{ order.clear() }}",
    "{{ lines.append(1) }}",
    "{{ self.__init__ }}",
    "{{ (1).__class__ }}",
    "{{ ().__class__.__bases__ }}",
    "{% macro m() %}{{ m.__code__ }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ loop.__init__ }}",
    "{% for a in lines %}{{ loop.__class__ }}{% endfor %}",
    "{{ range(3) }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler }}",
    "{{ dict() }}",
    "{{ namespace() }}",
    "{{ joiner() }}",
    "{{ config }}",
    "{{ request }}",
    "{{ name|pprint }}",
    "{{ lines|random }}",
    "{{ name|urlize }}",
    "{{ name() }}",
    "{% include 'x' %}",
    "{% import 'os' as os %}",
    "{% extends 'x' %}",
    "{% block a %}{{ super() }}{% endblock %}",
    "{{ 1/0 }}",
    "{{ name + 1 }}",
    "{{ lines|wordwrap(0) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% for",
    "{{ x",
    "{{ missing }}",
    "{{ order.missing }}",
    "{{ lines[9] }}",
]


@pytest.mark.parametrize("source", REACHING, ids=range(len(REACHING)))
@pytest.mark.parametrize("part", ["text_body", "html_body", "subject"])
def test_what_it_may_not_reach_is_a_flaw_of_the_part(source: str, part: str) -> None:
    with pytest.raises(Flaw) as raised:
        made(source, part)
    assert raised.value.part == part


def test_the_variables_given_are_as_they_were() -> None:
    with pytest.raises(Flaw):
        made("{{ order.update({'id': 1}) }}")
    assert GIVEN["order"]["id"] == 17


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Flaw) as raised:
        made("{{ missing.deep }}")
    assert raised.value.variable == "missing"


def test_too_much_text_is_a_flaw() -> None:
    body = "x" * 100_000
    with pytest.raises(Flaw, match=str(RENDERED_LIMIT)):
        made(
            "{% for a in lines %}{% for b in 'abcdefghijkl' %}" + body + "{% endfor %}{% endfor %}"
        )


def test_reading_gives_what_is_used() -> None:
    sources = Sources("{{ a }}", "{% for b in c.d %}{{ b }}{% endfor %}", "{% if e %}{% endif %}")
    assert read(sources) == ("a", "c", "e")
    for part in ("subject", "text_body", "html_body"):
        for source in ("{% if", "{% include 'x' %}", "{% import x as y %}", "{{ a|nofilter }}"):
            with pytest.raises(Flaw) as raised:
                read(Sources(**{part: source}))
            assert raised.value.part == part
