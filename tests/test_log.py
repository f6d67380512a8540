"""Lesson 11: the log of a training run."""

import json

import pytest
import torch
from small_runs import seeded

from minimagen.log import LossLog, read_log, up_to, write_log
from minimagen.training import TrainStep


def filled() -> LossLog:
    log = LossLog()
    levels = torch.tensor([-15.0, -8.0, -8.0, 0.0, 15.0])
    log.add(TrainStep(9.0, torch.tensor([1.0, 2.0, 4.0, 5.0, 6.0]), levels, 3.0))
    log.add(TrainStep(9.0, torch.tensor([7.0]), torch.tensor([0.5]), 5.0))
    return log


def test_the_log_s_bins_hold_the_levels_between_their_edges():
    log = filled()
    line = log.line()
    assert line["by_level"] == [1.0, 3.0, None, None, 6.0, None, None, None, 6.0]
    assert len(line["by_level"]) == len(LossLog.EDGES) - 1
    assert (line["loss"], line["norm"], line["pictures"]) == (
        pytest.approx(25 / 6, abs=1e-5),
        4.0,
        6,
    )
    log.add(TrainStep(9.0, torch.tensor([7.0]), torch.tensor([20.0]), 5.0))
    assert log.line()["by_level"] == [None] * 8 + [7.0]  # what an earlier line said is gone


def test_a_summary_takes_nothing_away():
    log = filled()
    assert log.summary() == log.summary() == log.line()
    assert log.state_dict() == {}


def test_steps_that_no_line_has_summed_up_go_through_a_state_bit_for_bit():
    steps = [
        TrainStep(0.0, torch.rand(5, generator=seeded(i)), torch.randn(5, generator=seeded(i)), i)
        for i in range(3)
    ]
    whole, stopped, resumed = LossLog(), LossLog(), LossLog()
    for step in steps:
        whole.add(step)
    for step in steps[:2]:
        stopped.add(step)
    resumed.add(steps[2])  # is forgotten
    resumed.load_state_dict(stopped.state_dict())
    resumed.add(steps[2])
    assert resumed.line() == whole.line()
    resumed.load_state_dict(LossLog().state_dict())
    assert resumed.state_dict() == {}


def test_a_log_is_read_as_it_was_written(tmp_path):
    lines = [{"leg": leg, "step": step} for leg in (1, 2) for step in (2, 4)]
    write_log(tmp_path / "log.jsonl", lines)
    assert read_log(tmp_path / "log.jsonl") == lines
    assert read_log(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("damage", ['{"leg": 1, "st', "[]", '{"step": 2}', '{"leg": 0, "step": 2}'])
def test_a_damaged_line_is_named(tmp_path, damage):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"leg": 1, "step": 2}) + "\n" + damage + "\n")
    with pytest.raises(ValueError, match=r"log.jsonl, line 2: must be a JSON object with leg"):
        read_log(path)


def test_cutting_a_log_minds_its_legs():
    """Step 9 of the leg before came before step 3 of this one."""
    lines = [{"leg": 1, "step": 3}, {"leg": 1, "step": 9}, *({"leg": 2, "step": i} for i in (3, 6))]
    assert up_to(lines, leg=2, step=3) == lines[:3]
    assert up_to(lines, leg=2, step=0) == lines[:2]
