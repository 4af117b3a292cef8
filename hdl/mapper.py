"""The mapper: streams a population through a kernel's pipeline, one neuron per clock cycle.

``map_input`` cycles (`Latencies`) after its issue a neuron's input has been read, scaled and
limited, and enters the kernel together with its states. The kernel's depth later the next states
are written; one cycle later an event, or ``map_value`` later a value.

If the kernel reduces, all neurons are issued twice; in the first pass nothing is written.
"""

from __future__ import annotations

from collections import Counter

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import Encoding, bits_for, memories
from ..compiler.kernels.code import signed_bits
from ..compiler.kernels.pipeline import LANE_STEPS, memory_latency, pipeline, stages_of
from ..compiler.machine import Machine
from ..compiler.shape import SATURATION_BITS, Shape
from ..compiler.timing import MAP_COUNT, MAP_EVENT, latencies
from .arithmetic import Rescale, Steps, delay, register
from .host import HostBus, extension_words, pass_on, selected
from .kernel import KernelPipeline, ScaleUse
from .operands import WritePort
from .primitives import add_memory
from .scaler import Scaler
from .sequencer import MapFields

assert MAP_EVENT == 1 and MAP_COUNT == MAP_EVENT + 1


def lane_latency(machine: Machine) -> int:
    """Cycles that the choice of one lane's element takes."""
    return stages_of(LANE_STEPS, machine)


class Mapper(wiring.Component):
    """Runs ``MAP`` instructions: all kernels of the shape, states, saturation counters.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    host : HostBus, in
    fields : MapFields, in
    begin, go, load : bool, in; load_index, load_word : in
        From the sequencer.
    end : bool, out
        ``drain - 1`` cycles after the last write.
    reads : bool, out; address : unsigned, out; word : unsigned, in
        Accumulators.
    element : signed, out
        The chosen lane's element; idle, the one that the host's address chooses.
    write_value, write_event, write_count : WritePort, out
    did_state_0, ... : WritePort, out
        What the kernels write; the host's writes, which come while nothing runs, are not shown, so
        that what looks at these ports does not wait for the host's choice of a memory.
    memory_q : dict of str -> Signal
        Read data for the host, by memory name.
    last : bool, out
        The population's last neuron leaves its kernel; its states are written.
    update_go, update_end, updates : bool, in
    update_population, update_address : unsigned, in; update_saturations : unsigned, in
        Of the updater, if the shape has rules: while it `updates`, the state memories are read at
        its address; what it limits is counted here, and added to its population's counter one cycle
        after its end.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.encoding = Encoding(shape)
        self.slots = shape.slots
        machine = shape.machine
        reduced = {n: pipeline(code, machine).reduced for n, code in enumerate(shape.kernels)}
        self._reducing_kernels = {n: cycles for n, cycles in reduced.items() if cycles}
        count_bits = bits_for(shape.event_words + 1)
        members = {
            "host": In(HostBus(shape)),
            "fields": In(MapFields(self.encoding)),
            "begin": In(1),
            "go": In(1),
            "load": In(1),
            "load_index": In(bits_for(extension_words(shape) + 1)),
            "load_word": In(self.encoding.word_bits),
            "end": Out(1),
            "reads": Out(1),
            "address": Out(bits_for(shape.accumulator_words)),
            "word": In(machine.lanes * machine.accumulator_bits),
            "element": Out(signed(machine.accumulator_bits)),
            "write_value": Out(WritePort(shape.value_words, machine.value_bits)),
            "write_event": Out(
                WritePort(shape.event_words, machine.value_bits + machine.index_bits)
            ),
            "write_count": Out(WritePort(shape.lists, count_bits)),
        }
        for k in range(self.slots):
            members[f"did_state_{k}"] = Out(WritePort(shape.state_words, machine.state_bits))
        if shape.rules:
            members |= dict.fromkeys(("update_go", "update_end", "updates"), In(1))
            members["update_population"] = In(self.encoding.further["population"].width)
            members["update_address"] = In(bits_for(shape.state_words))
            sats = max(sum(op.kind == "sat" for op in code.ops) for code in shape.rules)
            members["update_saturations"] = In(bits_for(machine.lanes * sats + 1))
            members["last"] = Out(1)
        super().__init__(members)
        kernels = {code.name for code in shape.kernels}
        self.memory_q = {
            name: Signal(info.bits, name=f"{name.replace('.', '_')}_q")
            for name, info in memories(shape).items()
            if name == "saturation"
            or name.startswith("state")
            or ("." in name and name.split(".")[0] in kernels)
        }

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        shape, machine, fields = self.shape, self.shape.machine, self.fields

        if shape.rules:  # until then what an update before limited has been added
            self._update_goes = register(m, self.update_go, "update_goes")
        valid, last = self._issue(m)
        element = self._lane(m, valid)
        self._extension(m)

        kernel = fields.kernel
        inputs = [code.input for code in shape.kernels]
        in_bits = max((signed_bits(p.lo, p.hi) for p in inputs), default=1)
        widest = -(1 << (in_bits - 1)), (1 << (in_bits - 1)) - 1
        scale_in = Rescale(
            machine,
            machine.accumulator_bits,
            in_bits,
            full=all((p.lo, p.hi) == widest for p in inputs),
        )
        m.submodules.rescale_input = scale_in
        m.d.comb += [
            scale_in.x.eq(element),
            scale_in.right.eq(self.input_right),
            scale_in.left.eq(self.input_left),
            scale_in.low.eq(_choose(kernel, [Const(p.lo, signed(in_bits)) for p in inputs])),
            scale_in.high.eq(_choose(kernel, [Const(p.hi, signed(in_bits)) for p in inputs])),
        ]
        at = latencies(machine)
        enters = delay(m, valid & ~self._first, at.map_input, "enters")
        enters_last = delay(m, last & ~self._first, at.map_input, "enters_last")
        if self._reducing_kernels:
            reducing = delay(m, valid & self._first, at.map_input, "enters_reducing")
            enters_again = self._second(m, at.map_input, "enters_again")
        reads_state = delay(m, valid, at.map_input - at.memory, "reads_state")

        pipelines = []
        for number, code in enumerate(shape.kernels):
            p = KernelPipeline(shape, code)
            m.submodules[f"kernel_{number}"] = p
            pipelines.append(p)
            m.d.comb += [
                p.valid.eq(enters & (kernel == number)),
                p.last.eq(enters_last & (kernel == number)),
                p.x.eq(scale_in.y),
                p.load.eq(self.load),
                p.load_index.eq(self.load_index),
                p.load_word.eq(self.load_word),
                *pass_on(self.host, p.host),
            ]
            if code.reductions:
                m.d.comb += [
                    p.begin.eq(self.go),
                    p.reducing.eq(reducing & (kernel == number)),
                    p.again.eq(enters_again),
                ]
            for t in code.tables:
                data = getattr(p, f"table_{t.name}")
                m.d.comb += self.memory_q[f"{code.name}.{t.name}"].eq(data)

        self._scalers(m, pipelines)
        reads_again = self._second(m, at.map_input - at.memory, "reads_again")
        self._states(m, pipelines, reads_state, reads_again)
        limits = self._outputs(m, pipelines)
        limits.append(scale_in.limited & enters)
        limits += [p.saturations for p in pipelines]
        if shape.rules:
            m.d.comb += self.last.eq(_merge([(p.out_valid, p.out_last) for p in pipelines], 1)[1])
        self._saturations(m, limits)
        return m

    def _issue(self, m: Module) -> tuple[Value, Value]:
        """One neuron per cycle: addresses of accumulator words; (valid, last).

        In the first of two passes `_first` is high; `_again` begins the second one, `reduced`
        cycles (`Pipeline`) after the last issue of the first.
        """
        lane_bits = self.shape.machine.lanes.bit_length() - 1
        running = Signal()
        last = Signal()
        left = Signal.like(self.fields.length)
        position = Signal(len(self.address) + lane_bits)
        self._first: Value = Const(0, 1)
        self._again: Value = Const(0, 1)
        if self._reducing_kernels:
            self._first, self._again = Signal(name="first_pass"), Signal(name="second_pass_begins")
            after: list[Value] = [running & last & self._first]
            for n in range(max(self._reducing_kernels.values())):
                after.append(register(m, after[-1], f"first_pass_done_{n + 1}"))
            runs = {number: self.fields.kernel == number for number in self._reducing_kernels}
            for number, cycles in self._reducing_kernels.items():
                with m.If(runs[number] & after[cycles]):
                    m.d.comb += self._again.eq(1)
            with m.If(self.go):
                m.d.sync += self._first.eq(Cat(*runs.values()).any())
            with m.Elif(self._again):
                m.d.sync += self._first.eq(0)
        with m.If(self.go | self._again):
            m.d.sync += [
                running.eq(1),
                left.eq(self.fields.length - 1),
                last.eq(self.fields.length == 1),
                position.eq(Cat(Const(0, lane_bits), self.fields.source)),
            ]
        with m.Elif(running):
            m.d.sync += [
                running.eq(~last),
                left.eq(left - 1),
                last.eq(left == 1),
                position.eq(position + 1),
            ]
        m.d.comb += [self.reads.eq(running), self.address.eq(position[lane_bits:])]
        return running, running & last

    def _second(self, m: Module, cycles: int, name: str) -> Value:
        """The beginning of the second pass, some cycles later."""
        return delay(m, self._again, cycles, name) if self._reducing_kernels else self._again

    def _lane(self, m: Module, valid: Value) -> Value:
        """The element of the lane whose turn it is; idle, of the lane that the host wants."""
        machine = self.shape.machine
        lane_bits = machine.lanes.bit_length() - 1
        if lane_bits == 0:
            m.d.comb += self.element.eq(delay(m, self.word, lane_latency(machine), "element"))
            return self.element
        turn = Signal(lane_bits)
        word_here = delay(m, valid, memory_latency(machine), "word_here")
        again = self._second(m, memory_latency(machine), "word_again")
        with m.If(self.begin | again):
            m.d.sync += turn.eq(0)
        with m.Elif(word_here):
            m.d.sync += turn.eq(turn + 1)
        wanted = delay(m, self.host.address[:lane_bits], memory_latency(machine), "wanted")
        lane = Mux(self.host.idle, wanted, turn)
        near = (lane_bits + 1) // 2
        bits = machine.accumulator_bits
        steps = Steps(m, machine.operations_per_stage, LANE_STEPS)
        groups = {}
        for group in range(1 << (lane_bits - near)):
            members = [self.word.word_select((group << near) + n, bits) for n in range(1 << near)]
            groups[f"group_{group}"] = Array(members)[lane[:near]]
        far = lane[near:] if lane_bits > near else Const(0, 1)
        *chosen, far = steps.after({**groups, "group_turn": far})
        (element,) = steps.after({"chosen": Array(chosen)[far]})
        m.d.comb += self.element.eq(element)
        return self.element

    def _extension(self, m: Module) -> None:
        """Shift amounts and the population's number."""
        for name, f in self.encoding.extension.items():
            held = Signal(f.width, name=name)
            with m.If(self.load & (self.load_index == 0)):
                m.d.sync += held.eq(self.load_word[f.start : f.start + f.width])
            setattr(self, name, held)
        if self.shape.rules:
            with m.If(self._update_goes):
                m.d.sync += self.population.eq(self.update_population)

    def _states(
        self, m: Module, pipelines: list[KernelPipeline], reads: Value, again: Value
    ) -> None:
        """State memories: read ahead of the kernel's input, written behind its outputs."""
        host = self.host
        state_bits = self.shape.machine.state_bits
        address_bits = bits_for(self.shape.state_words)
        read_address = Signal(address_bits)
        write_address = Signal(address_bits)
        leaves = Const(0, 1)
        for p in pipelines:
            leaves = leaves | p.out_valid
        with m.If(self.go):
            m.d.sync += [read_address.eq(self.fields.state), write_address.eq(self.fields.state)]
        with m.Else():
            with m.If(again):
                m.d.sync += read_address.eq(self.fields.state)
            with m.Elif(reads):
                m.d.sync += read_address.eq(read_address + 1)
            with m.If(leaves):
                m.d.sync += write_address.eq(write_address + 1)
        reads_at: Value = read_address
        if self.shape.rules:
            reads_at = Mux(self.updates, self.update_address, read_address)
        host_address, host_data = host.address[:address_bits], host.data[:state_bits]
        if self.shape.rules:  # a cycle later, as in the lanes
            host_address = register(m, host_address, "late_state_address")
            host_data = register(m, host_data, "late_state_data")
        for slot in range(self.slots):
            name = f"state{slot}"
            did, data = getattr(self, f"did_state_{slot}"), self.memory_q[name]
            users = [p for p in pipelines if slot < len(p.code.states)]
            by_host = host.write & selected(host, self.shape, name)
            if self.shape.rules:
                by_host = register(m, by_host, f"host_writes_{name}")
            writes, following = _merge(
                [(p.out_valid, getattr(p, f"next_{slot}")) for p in users], state_bits
            )
            m.d.comb += [
                did.enable.eq(writes),
                did.address.eq(write_address),
                did.data.eq(following),
                *(getattr(p, f"state_{slot}").eq(data) for p in users),
            ]
            add_memory(
                m,
                name,
                self.shape.state_words,
                write=(
                    Mux(host.idle, by_host, writes),
                    Mux(host.idle, host_address, write_address),
                    Mux(host.idle, host_data, following),
                ),
                read_address=Mux(host.idle, host.address[:address_bits], reads_at),
                read_data=data,
                latency=memory_latency(self.shape.machine),
            )

    def _scalers(self, m: Module, pipelines: list[KernelPipeline]) -> None:
        """Units that multiply with scaled parameters: each serves whichever kernel runs."""
        users: dict[tuple[int, int], list[tuple[Value, KernelPipeline, ScaleUse]]] = {}
        for number, p in enumerate(pipelines):
            seen: Counter[int] = Counter()
            for use in p.scales.values():
                key = use.kind, seen[use.kind]
                seen[use.kind] += 1
                users.setdefault(key, []).append((self.fields.kernel == number, p, use))
        for (kind, copy), uses in users.items():
            x_bits = max(use.x_bits for _, _, use in uses)
            unit = Scaler(self.shape.machine, x_bits, max(use.y_bits for _, _, use in uses))
            m.submodules[f"scaler_{kind}_{copy}"] = unit
            for port in ("x", "mantissa", "shift"):
                target = getattr(unit, port)
                sources = [(runs, getattr(p, f"{use.name}_{port}")) for runs, p, use in uses]
                value = sources[0][1] if len(uses) == 1 else _merge(sources, len(target))[1]
                m.d.comb += target.eq(value)
            for _, p, use in uses:
                m.d.comb += getattr(p, f"{use.name}_y").eq(unit.y)

    def _outputs(self, m: Module, pipelines: list[KernelPipeline]) -> list[Value]:
        """Events, values and the end; returns the flags of what was limited."""
        ends: Value = Const(0, 1)
        limits: list[Value] = []
        events = [p for p in pipelines if p.code.emits == "events"]
        values = [p for p in pipelines if p.code.emits != "events"]
        if events:
            end, limited = self._events(m, events)
            ends, limits = ends | end, [*limits, limited]
        if values:
            end, limited = self._values(m, values)
            ends, limits = ends | end, [*limits, limited]
        m.d.comb += self.end.eq(ends)
        return limits

    def _events(self, m: Module, pipelines: list[KernelPipeline]) -> tuple[Value, Value]:
        """Append (index, payload) of every payload but 0; the count comes last."""
        bits = self.shape.machine.value_bits
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        wide = max(bits, *(len(p.output) for p in pipelines))
        leaves, output = _merge([(p.out_valid, p.output) for p in pipelines], wide)
        _, last = _merge([(p.out_valid, p.out_last) for p in pipelines], 1)
        output = output.as_signed()
        payload = Signal(signed(bits))
        limited = Signal()
        fires = Signal()
        here = register(m, leaves, "event_here")
        below, above = output < low, output > high
        m.d.sync += [
            payload.eq(Mux(below, low, Mux(above, high, output))),
            limited.eq((below | above) & leaves),
            fires.eq((output != 0) & leaves),
        ]
        index = Signal(self.shape.machine.index_bits)
        count = Signal(len(self.write_count.data))
        address = Signal(len(self.write_event.address))
        with m.If(self.go):
            m.d.sync += [index.eq(0), count.eq(0), address.eq(self.fields.target)]
        with m.Else():
            with m.If(here):
                m.d.sync += index.eq(index + 1)
            with m.If(fires):
                m.d.sync += [count.eq(count + 1), address.eq(address + 1)]
        finish = delay(m, last & leaves, MAP_COUNT, "event_finish")
        m.d.comb += [
            self.write_event.enable.eq(fires),
            self.write_event.address.eq(address),
            self.write_event.data.eq(Cat(payload, index)),
            self.write_count.enable.eq(finish),
            self.write_count.address.eq(self.fields.list),
            self.write_count.data.eq(count),
        ]
        return delay(m, finish, latencies(self.shape.machine).drain - 1, "event_end"), limited

    def _values(self, m: Module, pipelines: list[KernelPipeline]) -> tuple[Value, Value]:
        """Scale and store every output."""
        bits = self.shape.machine.value_bits
        wide = max(len(p.output) for p in pipelines)
        leaves, output = _merge([(p.out_valid, p.output) for p in pipelines], wide)
        _, last = _merge([(p.out_valid, p.out_last) for p in pipelines], 1)
        m.submodules.rescale_output = scale = Rescale(self.shape.machine, wide, bits, full=True)
        m.d.comb += [
            scale.x.eq(output),
            scale.right.eq(self.output_right),
            scale.left.eq(self.output_left),
        ]
        at = latencies(self.shape.machine)
        here = delay(m, leaves, at.map_value, "value_here")
        address = Signal(len(self.write_value.address))
        with m.If(self.go):
            m.d.sync += address.eq(self.fields.target)
        with m.Elif(here):
            m.d.sync += address.eq(address + 1)
        m.d.comb += [
            self.write_value.enable.eq(here),
            self.write_value.address.eq(address),
            self.write_value.data.eq(scale.y),
        ]
        end = delay(m, last & leaves, at.map_value + at.drain - 1, "value_end")
        return end, scale.limited & here

    def _saturations(self, m: Module, flags: list[Value]) -> None:
        """Add what was limited during a ``MAP`` to its population's counter.

        The last flag comes with the last write, is in `now` one cycle later and in `counted` two
        cycles later: in time for the end. What an update limits has been added up before.
        """
        host = self.host
        most = sum((1 << len(f)) - 1 for f in flags)  # in a cycle, and of a neuron
        neurons = self.shape.accumulator_words * self.shape.machine.lanes
        now = Signal(range(most + 1))
        counted = Signal(min(SATURATION_BITS, bits_for(neurons * most + 1)))
        begin, end, more = self.begin, self.end, now
        if self.shape.rules:
            counted = Signal(SATURATION_BITS, name="counted")
            begin = begin | self._update_goes
            end = end | register(m, self.update_end, "update_ended")
            more = now + self.update_saturations
        before = self.memory_q["saturation"]
        m.d.sync += [
            now.eq(sum(flags, Const(0, 1))),
            counted.eq(Mux(begin, 0, counted + more)),
        ]
        total = (before + counted)[:SATURATION_BITS]
        address_bits = len(self.population)
        by_host = host.write & selected(host, self.shape, "saturation")
        add_memory(
            m,
            "saturation",
            self.shape.populations,
            write=(
                Mux(host.idle, by_host, end),
                Mux(host.idle, host.address[:address_bits], self.population),
                Mux(host.idle, host.data[:SATURATION_BITS], total),
            ),
            read_address=Mux(host.idle, host.address[:address_bits], self.population),
            read_data=before,
            latency=memory_latency(self.shape.machine),
        )


def _choose(number: Value, values: list[Value]) -> Value:
    """The value with a number."""
    return Array(values)[number] if len(values) > 1 else sum(values, Const(0, 1))


def _merge(sources: list[tuple[Value, Value]], bits: int) -> tuple[Value, Value]:
    """Of pairs (valid, value) of which at most one is valid: (any valid, the value)."""
    any_valid: Value = Const(0, 1)
    merged: Value = Const(0, bits)
    for valid, value in sources:
        any_valid = any_valid | valid
        widened = Cat(value, value[-1].replicate(bits - len(value))) if len(value) < bits else value
        merged = merged | Mux(valid, widened, 0)
    return any_valid, merged[:bits]
