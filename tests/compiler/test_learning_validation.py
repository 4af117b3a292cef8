"""Programs that learn on disk, and what makes them illegal."""

import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from example_program import example_program
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_program import LIMIT, learning_program, rule, spike_timing

from spikeloom.compiler.errors import ProgramError
from spikeloom.compiler.instructions import instruction_from_json
from spikeloom.compiler.kernels.code import Parameter, Table
from spikeloom.compiler.kernels.rule_code import RuleCode
from spikeloom.compiler.program import Program
from spikeloom.compiler.storage import (
    _encode_manifest,
    decode_program,
    encode_program,
    load_program,
    program_hash,
    save_program,
)
from spikeloom.compiler.validation import validate


def scaled_by_a_table():
    """A rule with a parameter of each kind and a table."""
    return rule(
        [
            ("weight", (), -LIMIT, LIMIT),
            ("scale", (0, "decay"), -LIMIT, LIMIT),
            ("param", ("offset",), -8, 8),
            ("table", (2, "bend"), -50, 50),
            ("add", (1, 3), -LIMIT - 50, LIMIT + 50),
            ("sat", (4, -LIMIT, LIMIT), -LIMIT, LIMIT),
        ],
        (),
        "always",
        parameters=(Parameter("decay", True, -2048, 2047, 0), Parameter("offset", False, -8, 8, 0)),
        tables=(Table("bend", -8, 17, -50, 50, 0),),
        results=(5,),
    )


def timed():
    return learning_program(spike_timing("either"), ["pre", "post"], {}, 0)


def tabulated():
    entries = {"R.bend": np.arange(-50, 52, 6).reshape(1, 17)}
    parameters = {"decay": (1900, 11), "offset": -3}
    return learning_program(scaled_by_a_table(), ["always"], parameters, 1, entries)


FILES = encode_program(timed())


def assert_same(a: Program, b: Program):
    for name in ("weight", "value", "state", "residual", "synapse"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype and np.array_equal(x, y), name
    for name in ("rules", "projections", "phases", "kernels", "post_memories", "post_words"):
        assert getattr(a, name) == getattr(b, name), name
    for name, content in a.tables.items():
        assert np.array_equal(content, b.tables[name])


@pytest.mark.parametrize("make", [timed, tabulated])
@pytest.mark.parametrize("name", ["program", "program.slp"])
def test_roundtrip(tmp_path, make, name):
    save_program(make(), tmp_path / name)
    loaded = load_program(tmp_path / name)
    assert_same(make(), loaded)
    assert program_hash(loaded) == program_hash(make())
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("make", [timed, tabulated])
def test_instructions_and_rules_survive_json(make):
    program = make()
    for i in program.instructions:
        assert instruction_from_json(json.loads(json.dumps(i.to_json()))) == i
    for code in program.rules.values():
        assert RuleCode.from_json(json.loads(json.dumps(code.to_json()))) == code


def test_the_hash_covers_all_that_learning_needs():
    seen = {program_hash(timed())}

    def differs(program):
        digest = program_hash(program)
        new = digest not in seen
        seen.add(digest)
        return new

    for name in ("residual", "synapse"):
        other = timed()
        getattr(other, name)[..., 0, 0] += 1
        assert differs(other), name
    code, projection = timed().rules["R"], timed().projections["P"]
    assert differs(replace(timed(), rules={"R": replace(code, next_weight=0)}))
    assert differs(replace(timed(), rules={"R": replace(code, gate="always")}))
    assert differs(replace(timed(), projections={"P": replace(projection, unit=0.5)}))
    assert differs(replace(timed(), post_words=4))
    phase = timed().phases[0]
    assert differs(replace(timed(), phases=[[*phase[:-1], replace(phase[-1], skip=-1)]]))
    silent = replace(phase[3], captures=phase[3].captures[:2])
    assert differs(replace(timed(), phases=[[*phase[:3], silent, *phase[4:]]]))
    other = tabulated()
    assert differs(other)
    other.tables["R.bend"][0, 0] += 1
    assert differs(other)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    position=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_every_changed_byte_is_found(name, position, flip):
    content = bytearray(FILES[name])
    content[int(position * len(content))] ^= flip
    with pytest.raises(ProgramError, match=r"^here: [^\n]*compile it again"):
        decode_program({**FILES, name: bytes(content)}, "here")


def rewritten(files, change):
    """A stored Program with its manifest changed, and hashed anew by whoever changed it."""
    manifest = json.loads(files["manifest.json"])
    del manifest["sha256"]
    change(manifest)
    return {**files, "manifest.json": _encode_manifest(manifest)}


def test_the_format_before_learning_is_refused():
    def older(manifest):
        manifest["version"] = 1
        for key in ("rules", "projections"):
            del manifest[key]

    files = rewritten(encode_program(example_program()), older)
    message = "^here: has format version 1, this Spikeloom reads 2; compile it again with"
    with pytest.raises(ProgramError, match=message):
        decode_program(files, "here")


@pytest.mark.parametrize("name", ["residual", "synapse"])
def test_a_missing_memory_is_named(name):
    with np.load(io.BytesIO(FILES["tables.npz"])) as stored:
        arrays = {key: stored[key] for key in stored.files if key != name}
    out = io.BytesIO()
    np.savez(out, **arrays)
    digest = hashlib.sha256(out.getvalue()).hexdigest()
    files = rewritten(FILES, lambda m: m["files"].update({"tables.npz": digest}))
    with pytest.raises(ProgramError, match=f"has no '{name}'"):
        decode_program({**files, "tables.npz": out.getvalue()}, "here")


def upd(number, **fields):
    return lambda m: m["phases"][0][5 + number].update(fields)


def capture(*captures):
    return lambda m: m["phases"][0][3].update(captures=[list(c) for c in captures])


def of_rule(**fields):
    return lambda m: m["rules"][0].update(fields)


def of_projection(**fields):
    return lambda m: m["projections"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("rules"), "malformed manifest"),
        (lambda m: m["rules"].pop(), "rule 'R'"),
        (lambda m: m["rules"][0].pop("gate"), "malformed manifest"),
        (of_rule(gate="both"), "rule 'R': gate 'both', must be one of"),
        (of_rule(name=3), "name must be a text"),
        (of_rule(next_weight=99), "result is 99"),
        (of_rule(next_weight=12), "the new 'weight' has .*: limit it first"),
        (of_rule(next_synapses=[]), "0 results for its synapse's states"),
        (of_rule(next_synapses=[16]), "the new 'changes' has 1..6: limit it first"),
        (lambda m: m["rules"][0]["weight"].update(hi=LIMIT + 1), "its weight leaves"),
        (lambda m: m["rules"][0]["weight"].update(lo=-LIMIT - 1), "its weight leaves"),
        (lambda m: m["rules"][0]["synapses"][0].update(hi=-1), "upper end of 'changes'"),
        (lambda m: m["rules"][0]["variables"][0].update(hi=2048), "'pre_trace' does not fit a v"),
        (lambda m: m["rules"][0]["variables"][0].update(side="up"), "'pre_trace' does not fit"),
        (lambda m: m["rules"][0]["ops"][1].update(args=["post_trace"]), "no such name 'post_tr"),
        (lambda m: m["rules"][0]["ops"][0].update(kind="input"), "0 arguments, must be 1"),
        (lambda m: m["rules"][0]["ops"][12].update(args=[0, 40]), "argument is 40"),
        (lambda m: m["projections"].pop(), "no rule 'R' for projection 'P'"),
        (of_projection(rule="Q"), "rule 'Q'"),
        (of_projection(rows=6), "addresses 0..11 of 10 words"),
        (of_projection(rows=0), "rows is 0"),
        (of_projection(length=9), "2 words for 9 elements"),
        (of_projection(length=6), "does not suit projection 'P'"),
        (of_projection(unit=0.0), "unit must be a number other than 0"),
        (of_projection(synapse_units=[]), "0 units of synapse states"),
        (lambda m: m["machine"].update(residual_bits=5), "residual memory holds numbers wider"),
        (lambda m: m["memories"].update(post_memories=3), r"post memory is 3, outside 0..2"),
        (lambda m: m["memories"].update(post_words=2), "captured words: .* of 2 words"),
        (
            lambda m: m["memories"].pop("post_words"),
            "captured words: first address is 1, outside 0..0",
        ),
        (capture((0, 0, 1), (1, 0, 0)), "two captures go into one post memory"),
        (capture((3, 0, 1)), "captured state is 3"),
        (capture((0, 4, 1)), "post memory is 4"),
        (capture((0, 0, 2)), "captured words: addresses 2..3 of 3 words"),
        (capture((0, 0)), "malformed"),
        (upd(0, rule="Q"), "no rule 'Q' for projection 'P'"),
        (upd(0, projection="Q"), "for projection 'Q'"),
        (upd(0, weights=2), "does not suit projection 'P'"),
        (upd(0, rows=4), "does not suit projection 'P'"),
        (upd(0, gate="either"), "gate 'either', must be 'always', 'pre' or 'post'"),
        (upd(0, list=2), "event list is 2"),
        (upd(1, source=11), "events: addresses 11..17 of 14 words"),
        (upd(1, skip=2), "skip is 2"),
        (upd(0, pre=10), "pre states: addresses 10..14 of 13 words"),
        (upd(0, pre_slots=[0, 3]), "pre state is 3"),
        (upd(0, pre_slots=[0]), "not the variables of rule 'R'"),
        (upd(0, post=[[0, 1]]), "not the variables of rule 'R'"),
        (upd(0, post=[[0, 1], [4, 0]]), "post memory is 4"),
        (upd(0, post=[[0, 2], [1, 0]]), "post words: addresses 2..3 of 3 words"),
        (upd(0, parameters={"rate": 1}), r"unknown or missing parameters \['rate'\]"),
        (upd(0, wait=False), "must wait for the instructions before it"),
        (upd(0, weights="0"), "does not suit projection"),
        (upd(0, pre=1.0), "must be an integer"),
        (lambda m: m["phases"][0][5].pop("skip"), "malformed UPD instruction"),
    ],
)
def test_illegal_content_with_valid_hashes(change, message):
    with pytest.raises(ProgramError, match=message) as e:
        decode_program(rewritten(FILES, change), "here")
    assert "\n" not in str(e.value)
    assert "compile it again" in str(e.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"parameters": {"decay": (2048, 11), "offset": 0}}, "'decay' is 2048, outside"),
        ({"parameters": {"decay": (1, 0), "offset": 0}}, "shift is 0"),
        ({"parameters": {"decay": (1, 1), "offset": 9}}, "'offset' is 9, outside -8..8"),
        ({"parameters": {"decay": (1, 1)}}, r"missing parameters \['offset'\]"),
        ({"table_set": 1}, "table set is 1, outside 0..0"),
    ],
)
def test_parameters_and_tables_of_a_rule(fields, message):
    program = tabulated()
    program.phases[0][-1] = replace(program.phases[0][-1], **fields)
    with pytest.raises(ProgramError, match=message):
        validate(program)


def test_tables_of_a_rule():
    program = tabulated()
    program.tables["R.bend"][0, 3] = 51
    with pytest.raises(ProgramError, match=r"table 'R.bend' leaves its range -50..50"):
        validate(program)
    del program.tables["R.bend"]
    with pytest.raises(ProgramError, match=r"table 'R.bend' is missing"):
        validate(program)


def test_memories_that_do_not_suit_each_other():
    program = timed()
    with pytest.raises(ProgramError, match="residual memory must be int32"):
        validate(replace(program, residual=program.residual.astype(np.int64)))
    with pytest.raises(ProgramError, match="residual memory does not suit the weight memory"):
        validate(replace(program, residual=np.zeros((99, 4), np.int32)))
    with pytest.raises(ProgramError, match="synapse memory does not suit the residual memory"):
        validate(replace(program, synapse=np.zeros((1, 9, 4), np.int64)))


def test_projections_share_no_weights():
    program = timed()
    p = program.projections["P"]
    both = {"P": p, "Q": replace(p, name="Q", weights=2, rows=4)}
    with pytest.raises(ProgramError, match="projections 'P' and 'Q' share weights"):
        validate(replace(program, projections=both))


def test_a_failed_write_leaves_the_old_program(tmp_path, monkeypatch):
    place = tmp_path / "p"
    save_program(timed(), place)
    before = {p.name: p.read_bytes() for p in place.iterdir()}

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ProgramError, match=r"cannot write .*: No space left on device; choose"):
        save_program(tabulated(), place)
    assert {p.name: p.read_bytes() for p in place.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
