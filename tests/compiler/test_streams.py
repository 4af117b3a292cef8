"""Recorded events and images: their places in time, in float Nengo and on the engines alike."""

import nengo
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import spikeloom
from spikeloom import Present, Recording, SpikeStream
from spikeloom.compiler.errors import InputError
from spikeloom.compiler.streams import Events, read_events

DT = 1e-3
EVENTS = [(0.0, 2), (0.0009, 0), (0.001, 1), (0.0035, 1), (0.0032, 1), (0.006, 0)]
ROWS = np.zeros((7, 3))
for _row, _address in [(0, 2), (0, 0), (1, 1), (3, 1), (3, 1), (6, 0)]:
    ROWS[_row, _address] += 1


def shown(process, steps, size, make=nengo.Simulator, dt=DT):
    """What a node with the process shows, and what neurons that only pass it on do."""
    with nengo.Network(seed=1) as network:
        node = nengo.Node(process)
        neurons = nengo.Ensemble(
            size,
            1,
            neuron_type=nengo.SpikingRectifiedLinear(initial_state={"voltage": np.zeros(size)}),
            gain=np.ones(size),
            bias=np.zeros(size),
        ).neurons
        nengo.Connection(node, neurons, synapse=None, transform=1 / dt)
        probes = nengo.Probe(node), nengo.Probe(neurons)
    with make(network, dt=dt, progress_bar=False) as sim:
        sim.run_steps(steps, progress_bar=False)
    return [np.array(sim.data[probe]) for probe in probes]


@pytest.mark.parametrize("make", [nengo.Simulator, spikeloom.Simulator])
def test_an_event_appears_in_the_step_that_holds_its_time(make):
    stream = SpikeStream(EVENTS, size=3)
    values, counts = shown(stream, 9, 3, make)
    assert_array_equal(values, np.vstack([ROWS, np.zeros((2, 3))]))
    assert_array_equal(counts * DT, np.vstack([ROWS, np.zeros((2, 3))]))


def test_events_at_another_step_and_of_another_worth():
    (values, _) = shown(SpikeStream(EVENTS, size=3, value=0.5), 4, 3, dt=2e-3)
    wanted = 0.5 * np.array([[1, 1, 1], [0, 2, 0], [0, 0, 0], [1, 0, 0]])
    assert_array_equal(values, wanted)
    (values, _) = shown(SpikeStream([(0.0, 1, 3.0), (0.0, 1, -1.0)], size=2), 2, 2)
    assert_array_equal(values, [[0, 2], [0, 0]])


def test_times_that_are_whole_steps_are_not_rounded_down():
    times = np.arange(1000) * DT
    assert_array_equal(Events.of(np.stack([times, times * 0], axis=1)).steps(DT), np.arange(1000))


@pytest.mark.parametrize("make", [nengo.Simulator, spikeloom.Simulator])
def test_images_are_held(make):
    images = np.arange(12.0).reshape(3, 2, 2)
    values, _ = shown(Present(images, steps=2), 8, 4, make)
    assert_array_equal(values, images.reshape(3, 4)[[0, 0, 1, 1, 2, 2, 0, 0]])
    values, _ = shown(Present(images, steps=1, gap=2), 4, 4, make)
    assert_array_equal(values, [[0, 1, 2, 3], [0] * 4, [0] * 4, [4, 5, 6, 7]])


def test_rows_once_or_again_and_again():
    rows = [[1.0, 2], [3, 4]]
    assert_array_equal(shown(Recording(rows), 3, 2)[0], [[1, 2], [3, 4], [0, 0]])
    assert_array_equal(shown(Recording(rows, repeat=True), 3, 2)[0], [[1, 2], [3, 4], [1, 2]])
    assert not shown(Recording(np.zeros((0, 2))), 3, 2)[0].any()


def test_files_of_events(tmp_path):
    time, address = np.transpose(EVENTS)
    np.savez(tmp_path / "a.npz", time=time, address=address.astype(np.uint16))
    (tmp_path / "b.csv").write_text(
        "address, time\n" + "".join(f"{int(a)},{t}\n" for t, a in EVENTS)
    )
    np.savez(tmp_path / "c.npz", time=time, address=address, value=2 * np.ones(6))
    for name, worth in (("a.npz", 1), ("b.csv", 1), ("c.npz", 2)):
        assert_array_equal(read_events(tmp_path / name).rows(3, DT), worth * ROWS)
    values, _ = shown(SpikeStream(tmp_path / "b.csv", size=3), 7, 3)
    assert_array_equal(values, ROWS)


def test_rows_are_cut_and_filled_up():
    events = Events.of(EVENTS)
    assert_array_equal(events.rows(3, DT, 2), ROWS[:2])
    assert events.rows(4, DT, 20).shape == (20, 4)
    assert Events.of([]).rows(3, DT).shape == (0, 3)


WRONG_EVENTS = {
    "addresses count from 0 to 2": [(0, 3)],
    "event 1 is [-1.0, 0.0]; times must be seconds from 0": [(0, 0), (-1, 0)],
    "event 0 is [0.0, 0.5]": [(0, 0.5)],
    "event 0 is [nan, 0.0]": [(np.nan, 0)],
    "give rows of (time, address)": [0, 1, 2],
    "not made of numbers": [("now", 1)],
}


@pytest.mark.parametrize("message", WRONG_EVENTS)
def test_events_that_are_none(message):
    with pytest.raises(InputError) as caught:
        SpikeStream(WRONG_EVENTS[message], size=3)
    assert message in str(caught.value)


def test_files_that_hold_no_events(tmp_path):
    for name, text, message in (
        ("none.csv", None, "no such file; give a .npz or .csv file of events"),
        ("header.csv", "t,a\n0,1\n", "must name the columns time,address"),
        ("cells.csv", "time,address\n0,1\n1\n", "cells.csv:3: has 1 cells, not 2"),
        ("words.csv", "time,address\n0,one\n", "cells must be numbers"),
        ("text.npz", "hello", "not an .npz file of plain arrays"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(InputError) as caught:
            read_events(tmp_path / name)
        assert message in str(caught.value)
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    with pytest.raises(InputError, match="has values; events need 'time' and 'address'"):
        read_events(tmp_path / "other.npz")
    np.savez(tmp_path / "odd.npz", time=np.zeros(3), address=np.zeros(2))
    with pytest.raises(InputError, match="not equally long"):
        read_events(tmp_path / "odd.npz")


def test_images_and_rows_that_are_none():
    for make, message in (
        (lambda: Recording([1.0, 2.0]), "one row a step"),
        (lambda: Recording([[np.inf]]), "not finite"),
        (lambda: Present([1.0, 2.0], 3), r"image\[np.newaxis\]"),
        (lambda: Present([[np.nan]], 3), "not finite"),
        (lambda: Present([[1.0]], 0), "steps is 0; give at least 1"),
        (lambda: Present([[1.0]], 1, gap=-1), "gap is -1; give at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            make()
