"""How the minutes of a fine-tuning are shared."""

import pytest

from magpie_core.training.finetuning.time_plan import TimePlan


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def _spend(plan, clock, what, minutes):
    with plan.spend(what):
        clock.now_s += 60 * minutes


def test_everything_together_takes_the_minutes(tmp_path, clock):
    plan = TimePlan(tmp_path, 60.0, 6, clock)
    _spend(plan, clock, "reading", 2)
    for _ in range(5):
        _spend(plan, clock, "scoring", 1)
    _spend(plan, clock, "synthetic studies", 8)
    plan.share(5)
    assert 6 * plan.training_minutes == pytest.approx(60 - 2 - 5 - 8 - 5)
    assert plan.minutes_left() == pytest.approx(45)
    _spend(plan, clock, "training", 40)
    said = "Time: reading 2 min, scoring 5 min, synthetic studies 8 min, training 40 min."
    assert plan.findings(steps=1000) == [said]


def test_synthetic_studies_take_a_fifth_at_most(tmp_path, clock):
    plan = TimePlan(tmp_path, 10.0, 6, clock)
    clock.now_s = 500
    is_time = plan.time_for_synthetic_studies()
    clock.now_s += 119
    assert is_time()
    clock.now_s += 2
    assert not is_time()
    assert TimePlan(tmp_path, None, 6, clock).time_for_synthetic_studies()()


def test_training_has_a_fifth_at_least_and_a_resumed_run_what_it_had(tmp_path, clock):
    plan = TimePlan(tmp_path, 3.0, 6, clock)
    _spend(plan, clock, "scoring", 5)
    plan.share(20)
    assert plan.training_minutes == pytest.approx(0.1)
    resumed = TimePlan(tmp_path, 3.0, 6, clock)
    _spend(resumed, clock, "scoring", 1)
    resumed.share(3)
    assert resumed.training_minutes == pytest.approx(0.1)


def test_a_short_time_is_said_to_be_too_short(tmp_path, clock):
    plan = TimePlan(tmp_path, 3.0, 6, clock)
    _spend(plan, clock, "training", 3)
    said = plan.findings(steps=40)[-1]
    assert said.startswith("The time was enough for 40 steps of each training") and "about 15 minutes" in said
    assert "enough for 1 step of" in plan.findings(steps=1)[-1]


def test_without_minutes_there_is_nothing_to_share(tmp_path, clock):
    plan = TimePlan(tmp_path, None, 6, clock)
    plan.share(10)
    assert plan.training_minutes is None and plan.minutes_left() is None
    assert len(plan.findings(steps=3)) == 1


def test_less_than_a_minute_is_said_in_seconds(tmp_path, clock):
    plan = TimePlan(tmp_path, None, 6, clock)
    _spend(plan, clock, "reading", 0.2)
    _spend(plan, clock, "training", 61 / 60)
    assert plan.findings(steps=3) == ["Time: reading 12 s, training 1 min."]
