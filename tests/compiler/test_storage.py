import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from example_program import example_program
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.compiler.errors import ProgramError
from spikeloom.compiler.storage import (
    decode_program,
    encode_program,
    load_program,
    program_hash,
    save_program,
)

FILES = encode_program(example_program())
ARRAYS = ("weight", "value", "state")


def assert_same(a, b):
    """Two Programs are the same to an engine, and to a reader."""
    for field in ARRAYS:
        x, y = getattr(a, field), getattr(b, field)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
    assert a.tables.keys() == b.tables.keys()
    for name in a.tables:
        np.testing.assert_array_equal(a.tables[name], b.tables[name])
    for field in (
        "name machine dt kernels phases accumulator_words event_words event_lists "
        "inputs outputs populations"
    ).split():
        assert getattr(a, field) == getattr(b, field), field


@pytest.mark.parametrize("name", ["program", "program.slp"])
def test_roundtrip(tmp_path, name):
    program = example_program()
    save_program(program, tmp_path / name)
    loaded = load_program(tmp_path / name)
    assert_same(program, loaded)
    assert loaded.notes == {"signals": [{"name": "leaky", "range": [-1.0, 1.0]}], "limit": None}
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_saving_is_deterministic_and_hash_ignores_notes():
    program = example_program()
    assert encode_program(program) == FILES
    assert program_hash(replace(program, notes={})) == program_hash(program)
    other = example_program()
    other.weight[0, 0] += 1
    assert program_hash(other) != program_hash(program)
    assert program_hash(replace(program, dt=0.002)) != program_hash(program)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_roundtrip_of_any_content(data):
    def array(shape, bits, dtype):
        limit = 1 << (bits - 1)
        number = st.integers(-limit, limit - 1)
        size = int(np.prod(shape))
        return np.array(
            data.draw(st.lists(number, min_size=size, max_size=size)), dtype=dtype
        ).reshape(shape)

    program = example_program()
    program.weight = array(program.weight.shape, 18, np.int32)
    program.value = array(program.value.shape, 18, np.int64)
    program.state = array(program.state.shape, 32, np.int64)
    program.name = data.draw(st.text())
    program.dt = data.draw(st.floats(1e-9, 10.0))
    program.notes = data.draw(
        st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.text())
    )
    loaded = decode_program(encode_program(program), "here")
    assert_same(program, loaded)
    assert loaded.notes == program.notes


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    position=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_every_changed_byte_is_found(name, position, flip):
    content = bytearray(FILES[name])
    content[int(position * len(content))] ^= flip
    with pytest.raises(ProgramError, match=r"^here: [^\n]*compile it again") as e:
        decode_program({**FILES, name: bytes(content)}, "here")
    assert "\n" not in str(e.value)


@settings(max_examples=50, deadline=None)
@given(name=st.sampled_from(sorted(FILES)), length=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_found(name, length):
    cut = FILES[name][: int(length * len(FILES[name]))]
    with pytest.raises(ProgramError, match=r"^here: "):
        decode_program({**FILES, name: cut}, "here")


@pytest.mark.parametrize("seed", range(50))
def test_changed_bytes_of_an_archive_are_found_or_do_not_matter(tmp_path, seed):
    path = tmp_path / "program.slp"
    save_program(example_program(), path)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    try:
        loaded = load_program(path)
    except ProgramError as e:
        assert "\n" not in str(e)
    else:
        assert_same(loaded, example_program())


@pytest.mark.parametrize("name", sorted(FILES))
def test_missing_file(tmp_path, name):
    save_program(example_program(), tmp_path / "p")
    (tmp_path / "p" / name).unlink()
    with pytest.raises(ProgramError, match=f"not a Program, it has no {name}; compile it again"):
        load_program(tmp_path / "p")


def test_missing_program(tmp_path):
    with pytest.raises(ProgramError, match="nowhere: no such Program"):
        load_program(tmp_path / "nowhere")


def test_foreign_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    for name in ("other.zip", "text", "folder"):
        with pytest.raises(ProgramError, match="not a Program"):
            load_program(tmp_path / name)
    with pytest.raises(ProgramError, match="not that of a Program"):
        decode_program({**FILES, "manifest.json": b"[]"}, "here")


def rewritten(change):
    """The stored example with its manifest changed, and hashed anew by whoever changed it."""
    from spikeloom.compiler.storage import _encode_manifest

    manifest = json.loads(FILES["manifest.json"])
    del manifest["sha256"]
    change(manifest)
    return {**FILES, "manifest.json": _encode_manifest(manifest)}


def test_other_version():
    files = rewritten(lambda m: m.update(version=3))
    message = "has format version 3, this Spikeloom reads 2; compile it again with"
    with pytest.raises(ProgramError, match=message):
        decode_program(files, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("dt"), "malformed manifest"),
        (lambda m: m.update(dt=-1), "dt must be a positive number"),
        (lambda m: m.update(kernels=3), "malformed manifest"),
        (lambda m: m["machine"].update(lanes=8), "weight memory has 4 lanes, the machine 8"),
        (lambda m: m["machine"].update(lanes=3), "lanes must be a power of two"),
        (lambda m: m["machine"].update(wings=2), "unknown or missing fields"),
        (lambda m: m["machine"].update(weight_bits=6), "weight memory holds numbers wider than 6"),
        (lambda m: m["memories"].update(event_lists=0), "event list is 0, outside"),
        (lambda m: m["memories"].update(accumulator_words=1), r"accumulators: .* of 1 words"),
        (lambda m: m["memories"].update(extra=1), "malformed manifest"),
        (lambda m: m["phases"][0][0].update(opcode="NOP"), "unknown instruction 'NOP'"),
        (
            lambda m: m["phases"][0][0].update(rows=6),
            r"MAC 'stimulus -> leaky'\): weights: .* of 5",
        ),
        (lambda m: m["phases"][0][0].update(weights=-1), "first address is -1"),
        (lambda m: m["phases"][0][0].update(rows=2.0), "rows must be an integer"),
        (lambda m: m["phases"][0][0].update(clear=1), "clear must be true or false"),
        (lambda m: m["phases"][0][1].update(kernel="LIF"), "no kernel 'LIF'"),
        (lambda m: m["phases"][0][1].update(population="sum"), "does not suit population 'sum'"),
        (lambda m: m["phases"][0][1].update(parameters={}), r"missing parameters \['decay'\]"),
        (lambda m: m["phases"][0][1].update(parameters={"decay": [1, 0]}), "shift is 0"),
        (lambda m: m["phases"][0][1].update(table_set=1), "table set is 1, outside 0..0"),
        (lambda m: m["phases"][0][2].update(wait=False), "must wait"),
        (lambda m: m["phases"][0][3].update(state=3), "states: addresses 3..3 of 3 words"),
        (lambda m: m["inputs"][0].update(size=9), "input 'stimulus': addresses 1..9 of 4 words"),
        (lambda m: m["inputs"][0].update(phase=1), "phase is 1, outside 0..0"),
        (lambda m: m["outputs"][0].update(memory="disk"), "no memory 'disk'"),
        (lambda m: m["outputs"][1].update(slot=1), "slot is 1"),
        (lambda m: m["outputs"][2].update(unit=0.0), "unit must be a number other than 0"),
        (lambda m: m["kernels"][0].update(emit=99), "result is 99"),
        (lambda m: m["kernels"][0]["ops"][3].update(args=[4, 0]), "argument is 4, outside 0..2"),
        (lambda m: m["kernels"][0]["ops"][3].update(kind="pow"), "unknown; this Program needs"),
        (lambda m: m["kernels"][0]["ops"][2].update(args=[1, "x"]), "no such name 'x'"),
        (lambda m: m["kernels"][0]["tables"][0].update(hi=299), "leaves its range 0..299"),
        (lambda m: m["kernels"][0].update(emits="smoke"), "emits 'smoke'"),
        (lambda m: m["populations"].pop(), "no population 'sum'"),
        (lambda m: m["populations"][0].update(state_units=[]), "0 units for 1 states"),
    ],
)
def test_illegal_content_with_valid_hashes(change, message):
    with pytest.raises(ProgramError, match=message) as e:
        decode_program(rewritten(change), "here")
    assert "\n" not in str(e.value)
    assert "compile it again" in str(e.value)


@pytest.mark.parametrize("field", ARRAYS)
def test_arrays_of_the_wrong_type_are_not_saved(tmp_path, field):
    program = example_program()
    setattr(program, field, getattr(program, field).astype(float))
    with pytest.raises(ProgramError, match=f"{field} memory must be int"):
        save_program(program, tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def test_missing_array():
    import hashlib
    import io

    tables = io.BytesIO()
    np.savez(tables, weight=example_program().weight)
    content = tables.getvalue()
    files = rewritten(
        lambda m: m["files"].update({"tables.npz": hashlib.sha256(content).hexdigest()})
    )
    with pytest.raises(ProgramError, match="has no 'value'"):
        decode_program({**files, "tables.npz": content}, "here")


def test_pickles_are_refused():
    import hashlib
    import io

    tables = io.BytesIO()
    np.savez(tables, weight=np.array([{}], dtype=object), value=0, state=0, allow_pickle=True)
    content = tables.getvalue()
    files = rewritten(
        lambda m: m["files"].update({"tables.npz": hashlib.sha256(content).hexdigest()})
    )
    with pytest.raises(ProgramError, match=r"tables.npz cannot be read"):
        decode_program({**files, "tables.npz": content}, "here")


def test_replaces_a_program_but_nothing_else(tmp_path):
    place = tmp_path / "p"
    save_program(example_program(), place)
    save_program(replace(example_program(), name="second"), place)
    assert load_program(place).name == "second"
    (place / "mine.txt").write_text("precious")
    with pytest.raises(ProgramError, match="exists and was not written by Spikeloom"):
        save_program(example_program(), place)
    assert (place / "mine.txt").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_a_failed_write_leaves_the_old_program(tmp_path, monkeypatch):
    place = tmp_path / "p"
    save_program(example_program(), place)
    before = {p.name: p.read_bytes() for p in place.iterdir()}

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ProgramError, match=r"cannot write .*: No space left on device; choose"):
        save_program(replace(example_program(), name="second"), place)
    assert {p.name: p.read_bytes() for p in place.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_loading_imports_no_nengo(tmp_path):
    save_program(example_program(), tmp_path / "p")
    code = (
        "import sys; from spikeloom import load_program; load_program(sys.argv[1]);"
        "print(sorted({'nengo', 'networkx', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p")], capture_output=True, text=True
    )
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
