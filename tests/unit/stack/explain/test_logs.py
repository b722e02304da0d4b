"""The fatal error of a dependency, without the line that each readiness probe causes."""

from stack.explain.logs import last_fatal

NOISE = 'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "postgres", database "tasks", no encryption'
CAUSE = "FATAL:  remaining connection slots are reserved for non-replication superuser connections"


def test_the_last_fatal_line_is_that_of_a_fault() -> None:
    log = "\n".join(["FATAL:  an earlier one", f"12:00:01 {CAUSE}", f"12:00:02 {NOISE}", "LOG:  checkpoint complete"])
    assert last_fatal(log) == f"12:00:01 {CAUSE}"


def test_a_healthy_server_has_none() -> None:
    assert (
        last_fatal(f"{NOISE}\n{NOISE.replace('127.0.0.1', '[local]')}\nLOG:  the last operation was not FATALITY\n")
        is None
    )


def test_a_client_of_another_host_that_is_refused_is_a_fault() -> None:
    refused = NOISE.replace("127.0.0.1", "10.244.0.9")
    assert last_fatal(refused) == refused
