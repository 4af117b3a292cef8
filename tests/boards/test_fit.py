"""Boards by name, and whether a Program fits them."""

from dataclasses import replace

import numpy as np
import pytest
from example_program import example_program
from random_rules import random_learning_program

from spikeloom.boards import BOARDS, fit, get
from spikeloom.boards.board import Board
from spikeloom.compiler.errors import CapacityError, InputError
from spikeloom.compiler.shape import OPTIONAL, Shape, needs


def test_boards_by_name():
    assert get("ulx3s-85f") is BOARDS["ulx3s-85f"]
    with pytest.raises(InputError, match="no board is named 'de10'; there are: ulx3s-85f"):
        get("de10")


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_what_a_board_says_of_itself(board):
    assert board.name in BOARDS and board.title
    assert board.synthesised == bool(board.constraints) == bool(board.bitstream)
    if board.synthesised:
        assert set(board.depths) == set(needs(example_program())) - set(OPTIONAL)
        assert board.capacities()["weights"] == board.depths["weight_words"] * board.machine.lanes
        assert board.top(board.clock_hz).count("module spikeloom_board") == 1


def test_the_shape_of_a_board_does_not_depend_on_numbers():
    program, other = example_program(), example_program()
    other.weight[:] = 1
    other.value = other.value[:3]
    board = get("icebreaker")
    assert board.shape_for(program) == board.shape_for(other)
    assert get("sim").shape_for(program) == Shape.for_program(program)


def test_boards_that_learn_share_their_hardware():
    """Learned memories have a smallest size, and grow with the Program beyond it."""
    board = get("ulx3s-85f")
    small, other = (random_learning_program(s, board.machine, 8) for s in (4, 5))
    other = replace(other, kernels=small.kernels, rules=small.rules)
    shape = board.shape_for(small)
    assert shape == board.shape_for(other)
    assert (shape.plastic_words, shape.post_memories, shape.post_words) == (1024, 2, 256)
    assert not board.shape_for(example_program()).rules
    large = replace(small, residual=np.zeros((1500, board.machine.lanes), np.int32))
    assert board.shape_for(large).plastic_words == 2048


def test_boards_that_convolve_share_their_hardware():
    board = get("ulx3s-85f")
    small, large = (
        replace(example_program(), stencil=np.zeros((words, 2), np.int32)) for words in (3, 1500)
    )
    assert board.shape_for(example_program()).stencil_words == 0
    assert board.shape_for(small).stencil_words == 1024
    assert board.shape_for(large).stencil_words == 2048
    assert not board.shape_for(large).rules


def test_what_is_too_large_and_which_boards_would_do():
    program = example_program()
    fit.check(program, get("icebreaker"))
    program.event_words = 1000
    ice = get("icebreaker")
    there = ice.depths["event_words"]
    assert fit.excess(program, ice) == [f"event words: 1000 needed, {there} there"]
    with pytest.raises(CapacityError, match="event words: 1000 needed") as caught:
        fit.check(program, ice, tuple(BOARDS.values()))
    assert "ulx3s-85f, sim" in str(caught.value) and "\n" not in str(caught.value)


def test_too_large_for_every_board():
    program = example_program()
    program.event_words = 1 << 20
    with pytest.raises(CapacityError, match="it fits no board"):
        fit.check(program, get("ulx3s-85f"), (get("icebreaker"), get("ulx3s-85f")))


def test_words_are_counted_for_the_lanes_of_the_board():
    program = example_program()  # four lanes
    board = Board(
        "tiny",
        "",
        "plain",
        get("ulx3s-85f").machine,
        depths={"weight_words": 2, "accumulator_words": 1},
    )
    assert fit.excess(program, board) == []
    assert program.weight.shape[0] > 2


def test_clocks():
    from spikeloom.boards import icebreaker, ulx3s

    for mhz in (25, 50, 60, 75, 80, 90, 100, 125):
        reference, feedback, output = ulx3s.pll(mhz * 10**6)
        assert 25 * feedback == mhz * reference
        assert 400 <= mhz * output <= 800
    for mhz in (12, 18, 21, 24, 48):
        divf, divq = icebreaker.pll(mhz * 10**6)
        assert 12 * (divf + 1) == mhz << divq
        assert 533 <= mhz << divq <= 1066
    with pytest.raises(ValueError, match="can be made from"):
        ulx3s.pll(80_000_001)


@pytest.mark.hardware
def test_pins_are_those_of_the_boards():
    from amaranth_boards.icebreaker import ICEBreakerPlatform
    from amaranth_boards.ulx3s import ULX3S_85F_Platform

    def pins(platform, name):
        found = next(r for r in platform.resources if r.name == name and r.number == 0)
        parts = [found, *getattr(found, "ios", ())]
        text = " ".join(str(getattr(p, "ios", "")) for p in parts)
        return text

    ice, ulx = get("icebreaker").constraints, get("ulx3s-85f").constraints
    assert "35" in pins(ICEBreakerPlatform, "clk12") and "clk12 35" in ice
    assert "6" in pins(ICEBreakerPlatform, "uart") and "rx 6" in ice
    assert "9" in pins(ICEBreakerPlatform, "uart") and "tx 9" in ice
    assert "G2" in pins(ULX3S_85F_Platform, "clk25") and '"clk_25mhz" SITE "G2"' in ulx
    assert "M1" in pins(ULX3S_85F_Platform, "uart") and '"ftdi_txd" SITE "M1"' in ulx
    assert "L4" in pins(ULX3S_85F_Platform, "uart") and '"ftdi_rxd" SITE "L4"' in ulx
