"""The updater: streams learned weights through a rule's pipeline, one word per clock cycle.

A word's token finds its row (an event's, or a counted one), the addresses of its weights, of the
pre neuron's states and of the post neurons' variables, what stands there, and enters the rule; the
rule's depth later, and a cycle for dividing the full weight, the word is written.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import POST, PRE, Encoding, bits_for, memories
from ..compiler.kernels.pipeline import multiplier_latency
from ..compiler.shape import Shape
from ..compiler.timing import (
    ADDRESS_STEPS,
    UPD_COUNT,
    UPD_DRAIN,
    UPD_SOURCES,
    UPD_STORE,
    latencies,
)
from .arithmetic import Steps, delay, register
from .host import HostBus, extension_words, pass_on, selected
from .operands import LanesWritePort, WritePort
from .primitives import add_memory, add_multiplier
from .rule import RulePipeline
from .sequencer import UpdateFields

assert UPD_SOURCES == UPD_STORE == UPD_COUNT == UPD_DRAIN == 1


class Updater(wiring.Component):
    """Runs ``UPD`` instructions: all rules of the shape, residuals, states of synapses.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    host : HostBus, in
    fields : UpdateFields, in
    count : unsigned, in
        Events in the list.
    go, load : bool, in; load_index, load_word : in
        From the sequencer.
    end : bool, out
        With the saturations' count, `UPD_DRAIN` cycles before the next handover.
    open : bool, out
        Nothing but the rule is needed of `fields`.
    active : bool, out
        From `go` on until `end`: it drives the operands, the lanes and the states' address.
    source : unsigned, out; event : bool, out; weights : unsigned, out
        A token for them: address of an event, whether its index counts, address of the weights.
    by_word : bool, out; offset : unsigned, out
        An offset takes the place of the event's index, in the cycle in which that would come.
    population : unsigned, out
        Whose saturations these are.
    event_q : unsigned, in
        The event, a memory's latency after its address.
    state_address : unsigned, out; state_K : signed, in
        The state memories, in step with the weights.
    post_address_R : unsigned, out; post_R : unsigned, in
        The post memories.
    weight_address, weight_q : unsigned, in
        Address of the weights as the lanes have it, and the weights.
    write_weight : LanesWritePort, out
    did_weight, did_residual, did_synapse_K : WritePort, out
        What is written; lanes that are left alone show 0.
    saturations : unsigned, out
    memory_q : dict of str -> Signal
        Read data for the host, by memory name.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.encoding = e = Encoding(shape)
        machine = shape.machine
        lanes = machine.lanes
        self.pipelines = [RulePipeline(shape, code) for code in shape.rules]
        members = {
            "host": In(HostBus(shape)),
            "fields": In(UpdateFields(e)),
            "count": In(bits_for(shape.event_words + 1)),
            "go": In(1),
            "load": In(1),
            "load_index": In(bits_for(extension_words(shape) + 1)),
            "load_word": In(e.word_bits),
            "end": Out(1),
            "open": Out(1, init=1),
            "active": Out(1),
            "source": Out(e.multiply["source"].width),
            "event": Out(1),
            "weights": Out(e.multiply["weights"].width),
            "by_word": Out(1),
            "offset": Out(bits_for(shape.weight_words)),
            "population": Out(e.further["population"].width),
            "event_q": In(machine.value_bits + machine.index_bits),
            "state_address": Out(bits_for(shape.state_words)),
            "weight_address": In(bits_for(shape.weight_words)),
            "weight_q": In(lanes * machine.weight_bits),
            "write_weight": Out(LanesWritePort(shape.weight_words, lanes, machine.weight_bits)),
            "did_weight": Out(WritePort(shape.weight_words, lanes * machine.weight_bits)),
            "did_residual": Out(WritePort(shape.plastic_words, lanes * machine.residual_bits)),
            "saturations": Out(max(len(p.saturations) for p in self.pipelines)),
        }
        for k in range(shape.synapse_slots):
            members[f"did_synapse_{k}"] = Out(
                WritePort(shape.plastic_words, lanes * machine.state_bits)
            )
        for k in range(shape.slots):
            members[f"state_{k}"] = In(signed(machine.state_bits))
        for r in range(shape.post_memories):
            members[f"post_address_{r}"] = Out(bits_for(shape.post_words))
            members[f"post_{r}"] = In(lanes * machine.value_bits)
        super().__init__(members)
        rules = {code.name for code in shape.rules}
        self.memory_q = {
            name: Signal(info.bits * info.lanes, name=f"{name.replace('.', '_')}_q")
            for name, info in memories(shape).items()
            if name == "residual" or name.startswith("synapse") or name.split(".")[0] in rules
        }

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        machine = self.shape.machine
        at = latencies(machine)
        self._further(m)
        issued, last_word, word, row, finish = self._issue(m)

        # The row, in step with the lanes' choice between value and event.
        steps = Steps(m, machine.operations_per_stage, ADDRESS_STEPS)
        index = self.event_q[machine.value_bits :]
        counted = delay(m, row, at.memory, "counted")
        (here,) = steps.after({"row_read": Mux(self.event, index, counted)})
        (state_address,) = steps.after(
            {"state_read": (here + self.further["pre"])[: len(self.state_address)]}
        )
        m.d.comb += self.state_address.eq(state_address)
        early = delay(m, word, at.memory + at.address - 1, "word_early")
        for r in range(self.shape.post_memories):
            base = self.further[f"base_{r}"]
            address = register(m, (early + base)[: len(base)], f"post_read_{r}")
            m.d.comb += getattr(self, f"post_address_{r}").eq(address)

        read = at.memory + at.address + at.memory
        valid = delay(m, issued, read, "read")
        last = delay(m, last_word, read, "read_last")
        self._rules(m, valid, last)
        self._write(m, delay(m, self.weight_address, at.memory + UPD_SOURCES, "address"))

        after = read + UPD_SOURCES + UPD_STORE + UPD_DRAIN - 1
        ends = Signal(name="ends")
        # What has come out at one depth must not come out again at another one's.
        m.d.comb += ends.eq(self._by_depth(m, delay(m, finish, after, "finish"), "end", ends))
        m.d.comb += self.end.eq(ends)
        with m.If(self.go):
            m.d.sync += [self.active.eq(1), self.open.eq(0)]
        with m.Else():
            with m.If(ends):
                m.d.sync += self.active.eq(0)
            with m.If(delay(m, finish, at.memory + at.address, "looked_up")):
                m.d.sync += self.open.eq(1)
        return m

    def _further(self, m: Module) -> None:
        """The second instruction word; it is loaded while another update may be running."""
        self.further = {}
        for name, f in self.encoding.further.items():
            loaded, held = Signal(f.width, name=f"{name}_loaded"), Signal(f.width, name=name)
            with m.If(self.load & (self.load_index == 0)):
                m.d.sync += loaded.eq(self.load_word[f.start : f.start + f.width])
            with m.If(self.go):
                m.d.sync += held.eq(loaded)
            self.further[name] = held
        m.d.comb += self.population.eq(self.further["population"])

    def _issue(self, m: Module) -> tuple[Value, Value, Value, Value, Value]:
        """One row of one word per cycle: (valid, of the last word, word, counted row, finish).

        Two loops, over words and rows. With the gate ``"post"`` the words come from `_next_word`.
        `finish` is high in the cycle after the last in which anything was issued or looked for.
        """
        fields = self.fields
        by_events, by_post = fields.gate == PRE, fields.gate == POST
        # The count stands until the sequencer goes on to the next instruction.
        held = Signal(max(len(fields.rows), len(self.count)), name="rows")
        rows = Mux(self.open, Mux(by_events, self.count, fields.rows), held)
        m.d.sync += held.eq(rows)

        running, last_row, last_word = Signal(), Signal(), Signal()
        left, row = Signal.like(held, name="left"), Signal.like(fields.rows)
        word = Signal.like(fields.words)
        source, base = Signal.like(fields.source), Signal.like(self.weights)
        taken = Signal()
        scanning, found, found_word = self._next_word(m, taken)
        m.d.comb += taken.eq(found & (~running | last_row))
        begins = Mux(by_post, taken, self.go | (running & last_row & ~last_word))
        following = Mux(by_post, found_word, Mux(self.go, 0, word + 1)[: len(word)])
        place = Mux(by_post | self.go, fields.weights, base + fields.rows)[: len(base)]
        m.d.sync += running.eq(begins | (running & ~last_row))
        with m.If(begins):
            m.d.sync += [
                word.eq(following),
                last_word.eq(following == fields.words - 1),
                base.eq(place),
                self.weights.eq(place),
                left.eq(rows - 1),
                last_row.eq(rows == 1),
                row.eq(0),
                source.eq(fields.source),
            ]
        with m.Elif(running):
            m.d.sync += [
                self.weights.eq(self.weights + ~by_events),
                left.eq(left - 1),
                last_row.eq(left == 1),
                row.eq(row + 1),
                source.eq(source + 1),
            ]
        busy = running | scanning
        m.d.comb += [
            self.source.eq(Mux(by_post, self._pointer, source)),
            self.event.eq(by_events),
            self.by_word.eq(by_post & self.active),
        ]
        finish = register(m, busy, "was_busy") & ~busy
        return running, last_word, word, row, finish

    def _next_word(self, m: Module, taken: Value) -> tuple[Value, Value, Value]:
        """The next word with an event: (still looking, found, word).

        Events are in ascending order. A word that was found waits until it is `taken`. What lies
        between the matrix and its weights is not known sooner than a memory's latency after its
        first token.
        """
        machine, fields = self.shape.machine, self.fields
        at = latencies(machine)
        lane_bits = machine.lanes.bit_length() - 1
        starts = self.go & (fields.gate == POST)
        scanning, first = Signal(), Signal()
        left = Signal.like(self.count)
        self._pointer = pointer = Signal.like(fields.source, name="pointer")
        word = Signal.like(fields.words, name="found_word")
        latency = multiplier_latency(machine)
        prepare = max(1, latency - at.memory)
        looks, resumes = Signal(), delay(m, taken, max(1, 1 + at.memory - prepare), "resumes")
        decides = delay(m, looks, at.memory, "looked") | (resumes & scanning)
        here = self.event_q[machine.value_bits + lane_bits :][: len(word)]
        another = first | (here != word)
        m.d.sync += looks.eq(starts | (decides & ~another & (left != 1)))
        with m.If(starts):
            m.d.sync += [
                scanning.eq(1),
                first.eq(1),
                left.eq(self.count),
                pointer.eq(fields.source),
            ]
        with m.Elif(decides):
            m.d.sync += [left.eq(left - 1), pointer.eq(pointer + 1), first.eq(0)]
            with m.If(another):
                m.d.sync += word.eq(here)
            with m.Elif(left == 1):
                m.d.sync += scanning.eq(0)
        with m.Elif(taken & (left == 0)):
            m.d.sync += scanning.eq(0)

        factors = [Cat(value, Const(0, 1)).as_signed() for value in (word, fields.rows)]
        product = Signal(signed(sum(map(len, factors))))
        add_multiplier(m, "word_offset", factors[0], factors[1], product, latency)
        held = Signal.like(self.offset, name="held_offset")
        here_first = delay(m, taken, 1 + at.memory, "taken")
        m.d.comb += self.offset.eq(Mux(here_first, product, held))
        m.d.sync += held.eq(self.offset)
        comes = delay(m, decides & another, prepare, "comes")
        waits = Signal()
        found = comes | waits
        m.d.sync += waits.eq(found & ~taken)
        return scanning, found, word

    def _rules(self, m: Module, valid: Value, last: Value) -> None:
        """What was read, in registers, and the rules' pipelines."""
        machine, further, fields = self.shape.machine, self.further, self.fields
        states = [getattr(self, f"state_{k}") for k in range(self.shape.slots)]
        posts = [getattr(self, f"post_{r}") for r in range(self.shape.post_memories)]
        lanes = range(machine.lanes)
        inside = Cat((~last | (further["tail"] >= lane)) & valid for lane in lanes)
        enters = register(m, inside, "enters")
        if states:
            # In a register of its own: the way from the states to here is long already.
            looked_at = _choose(further["skip_slot"], states)
            skipped = register(m, further["skip"] & (looked_at != 0), "skipped")
            enters = Mux(skipped, 0, enters)
        pre = [
            register(m, _choose(further[f"slot_{v}"], states)[: machine.value_bits], f"pre_{v}")
            for v in range(max(len(code.pre) for code in self.shape.rules))
        ]
        post = [
            register(m, _choose(further[f"memory_{v}"], posts), f"post_{v}_words")
            for v in range(max(len(code.post) for code in self.shape.rules))
        ]
        synapses = [
            register(m, self.memory_q[f"synapse{k}"], f"synapse_{k}_words")
            for k in range(self.shape.synapse_slots)
        ]
        full = []
        for lane in lanes:
            upper = self.weight_q.word_select(lane, machine.weight_bits)
            rest = self.memory_q["residual"].word_select(lane, machine.residual_bits)
            whole = Cat(rest, (upper - rest[-1])[: machine.weight_bits])
            full.append(register(m, whole, f"full_{lane}"))
        for number, p in enumerate(self.pipelines):
            m.submodules[f"rule_{number}"] = p
            here = fields.rule == number
            m.d.comb += [
                p.valid.eq(Mux(here, enters, 0)),
                p.go.eq(self.go),
                p.load.eq(self.load),
                p.load_index.eq(self.load_index),
                p.load_word.eq(self.load_word),
                *pass_on(self.host, p.host),
                *(getattr(p, f"pre_{v}").eq(pre[v]) for v in range(len(p.code.pre))),
            ]
            for lane in lanes:
                m.d.comb += getattr(p, f"weight_{lane}").eq(full[lane])
                for k in range(len(p.code.synapses)):
                    state = synapses[k].word_select(lane, machine.state_bits)
                    m.d.comb += getattr(p, f"synapse_{k}_{lane}").eq(state)
                for v in range(len(p.code.post)):
                    value = post[v].word_select(lane, machine.value_bits)
                    m.d.comb += getattr(p, f"post_{v}_{lane}").eq(value)
            for t in p.code.tables:
                data = getattr(p, f"table_{t.name}")
                m.d.comb += self.memory_q[f"{p.code.name}.{t.name}"].eq(data)
        m.d.comb += self.saturations.eq(
            _choose(fields.rule, [p.saturations for p in self.pipelines])
        )

    def _by_depth(self, m: Module, value: Value, name: str, stop: Value | None = None) -> Value:
        """`value`, as many cycles later as the running rule is deep; goes no further at `stop`."""
        chain = [value]
        for n in range(max(p.stages.depth for p in self.pipelines)):
            before = chain[-1] if stop is None else chain[-1] & ~stop
            chain.append(register(m, before, f"{name}_{n + 1}"))
        return _choose(self.fields.rule, [chain[p.stages.depth] for p in self.pipelines])

    def _write(self, m: Module, address: Value) -> None:
        """The full weights in two, and everything written."""
        shape, machine, host, rule = self.shape, self.shape.machine, self.host, self.fields.rule
        at = latencies(machine)
        lanes = range(machine.lanes)
        lane_bits = machine.lanes.bit_length() - 1
        writes = register(m, _choose(rule, [p.out_valid for p in self.pipelines]), "writes")
        to = register(m, self._by_depth(m, address, "address_deep"), "write_address")
        data: dict[str, list[Value]] = {"weight": [], "residual": []}
        for lane in lanes:
            results = [getattr(p, f"next_weight_{lane}") for p in self.pipelines]
            full = _choose(rule, results)
            rest = full[: machine.residual_bits]
            upper = (full[machine.residual_bits :] + rest[-1])[: machine.weight_bits]
            data["weight"].append(register(m, upper, f"next_weight_{lane}"))
            data["residual"].append(register(m, rest, f"next_residual_{lane}"))
        for k in range(shape.synapse_slots):
            data[f"synapse{k}"] = [
                register(
                    m,
                    _choose(
                        rule,
                        [
                            getattr(p, f"next_synapse_{k}_{lane}")
                            if k < len(p.code.synapses)
                            else Const(0, signed(machine.state_bits))
                            for p in self.pipelines
                        ],
                    ),
                    f"next_synapse_{k}_{lane}",
                )
                for lane in lanes
            ]
        has = [
            _choose(rule, [Const(k < len(p.code.synapses), 1) for p in self.pipelines])
            for k in range(shape.synapse_slots)
        ]
        m.d.comb += [
            self.write_weight.enable.eq(writes),
            self.write_weight.address.eq(to),
            self.write_weight.data.eq(Cat(*data["weight"])),
        ]
        kept = {"weight": writes.any(), "residual": writes.any()}
        kept |= {f"synapse{k}": writes.any() & has[k] for k in range(shape.synapse_slots)}
        for name, elements in data.items():
            port = name if name in ("weight", "residual") else f"synapse_{name[7:]}"
            did = getattr(self, f"did_{port}")
            shown = Cat(*(Mux(writes[lane], elements[lane], 0) for lane in lanes))
            m.d.comb += [did.enable.eq(kept[name]), did.address.eq(to), did.data.eq(shown)]
            if name == "weight":
                continue
            by_host = host.write & selected(host, shape, name)
            bits = len(did.address)
            width = len(elements[0])
            word = host.address[lane_bits:][:bits]
            late_word = register(m, word, f"{name}_late_word")
            late_data = register(m, host.data[:width], f"{name}_late_data")
            for lane in lanes:
                here = host.address[:lane_bits] == lane if lane_bits else Const(1)
                mine = register(m, by_host & here, f"host_writes_{name}_{lane}")
                allowed = writes[lane] & (has[int(name[7:])] if name.startswith("syn") else 1)
                add_memory(
                    m,
                    f"{name}_{lane}",
                    shape.plastic_words,
                    write=(
                        Mux(host.idle, mine, allowed),
                        Mux(host.idle, late_word, to[:bits]),
                        Mux(host.idle, late_data, elements[lane]),
                    ),
                    read_address=Mux(host.idle, word, self.weight_address[:bits]),
                    read_data=self.memory_q[name].word_select(lane, width),
                    latency=at.memory,
                )


def _choose(number: Value, values: Sequence[Value]) -> Value:
    """The value with a number."""
    return Array(values)[number] if len(values) > 1 else values[0]
