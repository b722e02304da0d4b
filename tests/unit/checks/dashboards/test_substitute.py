"""Variables are replaced as Grafana does, and what is none is not sent to a store."""

import pytest

from checks.dashboards.substitute import UnknownVariable, Window, built_in, substitute


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('up{job=~"$service"}', 'up{job=~"a|b"}'),
        ('up{job=~"${service}"}', 'up{job=~"a|b"}'),
        ('up{job=~"${service:regex}"}', 'up{job=~"a|b"}'),
        ('up{job=~"[[service]]"}', 'up{job=~"a|b"}'),
        ("rate(x[$__rate_interval])", "rate(x[60s])"),
        ('label_replace(x, "id", "$1", "a", "(.*)")', 'label_replace(x, "id", "$1", "a", "(.*)")'),
        ('x{y=~"a$"}', 'x{y=~"a$"}'),
    ],
)
def test_variables_are_replaced(text: str, expected: str) -> None:
    values = {"service": "a|b"} | built_in(Window(start=0, end=900, step=15), 15)
    assert substitute(text, values) == expected


@pytest.mark.parametrize("text", ["$unknown", "${unknown}", "[[unknown]]", "${service:regex"])
def test_an_unknown_variable_is_an_error(text: str) -> None:
    with pytest.raises(UnknownVariable):
        substitute(text, {"service": "a"})


def test_grafanas_own_variables() -> None:
    values = built_in(Window(start=1000, end=1900, step=30), 15)
    assert values["__rate_interval"] == "60s"
    assert values["__interval"] == "30s"
    assert values["__range"] == "900s"
    assert (values["__from"], values["__to"]) == ("1000000", "1900000")
    assert built_in(Window(start=0, end=9000, step=120), 15)["__rate_interval"] == "135s"
