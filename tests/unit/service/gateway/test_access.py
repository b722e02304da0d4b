"""API keys, limits and the names of callers, each without a server."""

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contracts.access import Role
from lean_tracing import SettingsError
from service.common.access import Caller, digest, from_headers, to_headers
from service.gateway.access.keys import ApiKey, ApiKeys
from service.gateway.access.limits import Concurrency, Rate
from service.gateway.access.refused import Refused
from service.gateway.config import GatewaySettings
from service.task_manager.config import TaskManagerSettings

KEYS = ("wct_first", "wct_second", "wct_third")
API_KEYS = ApiKeys(
    [
        ApiKey("shop", Role.USER, digest(KEYS[0])),
        ApiKey("shop", Role.USER, digest(KEYS[1])),
        ApiKey("on-call", Role.OPERATOR, digest(KEYS[2])),
    ]
)


def test_two_keys_of_one_name_are_the_same_caller() -> None:
    first, second, third = (API_KEYS.caller(key) for key in KEYS)
    assert first == second == Caller(owner="key:shop", role=Role.USER)
    assert third == Caller(owner="key:on-call", role=Role.OPERATOR)


@given(st.one_of(st.text(), st.sampled_from(KEYS).flatmap(lambda key: st.sampled_from(_near(key)))))
def test_no_other_text_is_a_key(text: str) -> None:
    assert text in KEYS or API_KEYS.caller(text) is None


def _near(key: str) -> list[str]:
    return [key[:-1], f"{key} ", f" {key}", key.upper(), key * 2, digest(key), f"{key}\x00", key[::-1]]


@given(st.text(min_size=1, max_size=300), st.sampled_from(Role))
def test_the_task_manager_reads_the_caller_that_the_gateway_wrote(owner: str, role: Role) -> None:
    caller = Caller(owner=owner, role=role)
    headers = to_headers(caller)
    assert all(set(value) <= set(string.printable) - set(string.whitespace) for value in headers.values())
    assert from_headers(headers) == caller


@pytest.mark.parametrize(
    "headers", [{}, {"x-caller": "a"}, {"x-caller": "a", "x-caller-role": "root"}, {"x-caller-role": "support"}]
)
def test_headers_without_a_caller_or_a_role_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        from_headers(headers)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 6000), st.integers(1, 50), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_window_has_more_requests_than_the_limit_allows(per_minute: int, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    rate = Rate(per_minute, burst, clock)
    admitted: list[float] = []
    for pause in pauses:
        clock.now += pause
        try:
            rate.take("a")
        except Refused as refusal:
            clock.now += (refusal.retry_seconds or 0) + 1e-6
            rate.take("a")  # the time that it names is long enough
        admitted.append(clock.now)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + (admitted[last] - start) * per_minute / 60 + 1e-6


def test_the_limits_of_one_caller_do_not_touch_another() -> None:
    rate, concurrency = Rate(1, 1, Clock()), Concurrency(1)
    rate.take("a")
    rate.take("b")
    with concurrency.entered("a"), concurrency.entered("b"):
        for limit in (rate.take, _enter(concurrency)):
            with pytest.raises(Refused):
                limit("a")
    with concurrency.entered("a"):
        pass


def _enter(concurrency: Concurrency) -> Callable[[str], None]:
    def enter(caller: str) -> None:
        with concurrency.entered(caller):
            pass

    return enter


def test_the_memory_of_callers_is_bounded() -> None:
    clock = Clock()
    rate = Rate(60, 2, clock)
    for number in range(10_000):
        rate.take(str(number))
    with pytest.raises(Refused):
        rate.take("one more")
    clock.now += 2
    rate.take("one more")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SERVICE_TOKEN": "t"},
        {"STACK_KEY": "k"},
        {"SERVICE_TOKEN": "t", "ACCESS_API_KEYS": "shop:user:abc"},
        {"SERVICE_TOKEN": "t", "ACCESS_API_KEYS": f"stack:user:{'0' * 64}"},
        {"SERVICE_TOKEN": "t", "ACCESS_ISSUER": "https://issuer.example"},
    ],
)
def test_a_gateway_with_access_control_does_not_start_without_callers(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        GatewaySettings.from_env({"ACCESS_CONTROL": "true"} | variables)


def test_a_task_manager_with_access_control_does_not_start_without_a_token() -> None:
    variables = {"ACCESS_CONTROL": "true", "DATABASE_URL": "sqlite:///tasks.db"}
    with pytest.raises(SettingsError):
        TaskManagerSettings.from_env(variables)
    settings = TaskManagerSettings.from_env(variables | {"SERVICE_TOKEN": "new", "SERVICE_TOKEN_OTHER": "old"})
    assert settings.service_tokens == ["new", "old"]


def test_settings_are_read_as_they_are_written() -> None:
    settings = GatewaySettings(
        access_control=True,
        api_keys=(ApiKey("shop", Role.USER, "0" * 64), ApiKey("ops", Role.SUPPORT, "f" * 64)),
        service_token=SecretStr("t"),
    )
    assert GatewaySettings.from_env(settings.to_env()) == settings
