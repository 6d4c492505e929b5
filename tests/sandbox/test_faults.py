"""Faults as they are drawn; what they do to calls and deliveries is tried with those."""

from colonnade_sandbox.faults import ApiFault, Faults, Wanted


def test_a_spread_makes_each_delay_another_and_the_same_request_draws_the_same_again() -> None:
    first, again = delays(spread=0.5), delays(spread=0.5)
    assert first == again
    assert len(set(first)) == 200
    assert 0.15 <= min(first) < 0.17
    assert 0.43 < max(first) <= 0.45


def test_without_a_spread_each_delay_is_the_one_that_was_asked_for() -> None:
    assert set(delays(spread=0)) == {0.3}


def delays(spread: float) -> list[float]:
    faults = Faults()
    faults.want(Wanted(api=ApiFault(next=200, status=0, delay=0.3, spread=spread)))
    found = [faults.of_call("/v1/customers", "") for _ in range(200)]
    assert faults.of_call("/v1/customers", "") is None
    return [fault.delay for fault in found if fault is not None]
