/* Ports, and steps of one copy of a model or of many: follows loom.c in one source file. */

static void read_port(const context_t *context, const port_t *port, int64_t *restrict to)
{
    switch ((port_memory_t)port->memory) {
    case PORT_ACCUMULATOR:
        copy_words(to, context->accumulator + port->base, port->size);
        break;
    case PORT_VALUE:
        for (int64_t i = 0; i < port->size; i++)
            to[i] = context->value[port->base + i];
        break;
    case PORT_STATE:
        for (int64_t i = 0; i < port->size; i++)
            to[i] = context->state[port->slot * context->state_stride + port->base + i];
        break;
    case PORT_EVENT:
        clear_words(to, port->size);
        for (int64_t e = 0; e < context->count[port->slot]; e++) {
            const int64_t i = context->event_index[port->base + e] - port->start;
            if (i >= 0 && i < port->size)
                to[i] = (int64_t)context->event_payload[port->base + e] * ((int64_t)1 << port->shift);
        }
        break;
    }
}

void loom_read(const context_t *context, const port_t *port) { read_port(context, port, port->data); }

/* Let an input port hold these values, which are within range. */
static void hold(const context_t *context, int64_t port, int64_t base, int64_t size,
                 const int64_t *restrict from)
{
    value_t *restrict to = context->value + base;
    int64_t differs = 0;
    for (int64_t i = 0; i < size; i++)
        differs |= from[i] ^ to[i];
    if (!differs)
        return;
    for (int64_t i = 0; i < size; i++)
        to[i] = (value_t)from[i];
    context->version[port]++;
}

/* Write input port number `port`; returns 0, or 1 if a value is out of range, and then nothing was
 * written. */
int loom_write(const context_t *context, int64_t port, int64_t base, int64_t size,
               const int64_t *from)
{
    for (int64_t i = 0; i < size; i++)
        if (from[i] < VALUE_LO || from[i] > VALUE_HI)
            return 1;
    hold(context, port, base, size, from);
    return 0;
}

/* Execute instructions begin..end-1 once; if `skip`, leave out the products that are followed by a
 * MAP whose input is kept or made at once: then the accumulators are not what they would be, but nothing else. */
static inline void execute_all(context_t *context, const instruction_t *instructions,
                               int64_t begin, int64_t end, int skip)
{
    for (int64_t i = begin; i < end; i++) {
        const instruction_t *in = instructions + i;
        if (in->opcode == KEEP && skip && is_kept(context, in))
            i += in->length;
        else if (in->opcode == SUM) {
            sum_up(context, in, skip);
            i += in->length;
        } else
            execute(context, in);
    }
}

/* Execute instructions begin..end-1 once. */
void loom_execute(context_t *context, const instruction_t *instructions, int64_t begin, int64_t end)
{
    context->call++;
    execute_all(context, instructions, begin, end, 0);
}

static inline int64_t *row_of(const port_t *port, int64_t copy, int64_t step)
{
    return port->data + copy * port->copy_stride + step * port->step_stride;
}

static inline void hold_port(const context_t *context, const port_t *port, const int64_t *from)
{
    hold(context, port->slot, port->base, port->size, from);
}

/* Run the steps first..last-1 of copies begin..end-1, one copy after the other: phase p ends before
 * instruction phase_end[p]; `inputs` are sorted by phase. The last step does everything, so that the
 * accumulators are left as they should be. */
void loom_run(context_t *contexts, int64_t begin, int64_t end, const instruction_t *instructions,
              const int64_t *phase_end, int64_t phases, int64_t first, int64_t last,
              const port_t *inputs, int64_t input_count, const port_t *outputs,
              int64_t output_count)
{
    for (int64_t copy = begin; copy < end; copy++) {
        context_t *context = contexts + copy;
        context->call++;
        for (int64_t step = first; step < last; step++) {
            const port_t *input = inputs;
            int64_t start = 0;
            context->late = step + 1 < last;
            for (int64_t phase = 0; phase < phases; phase++) {
                for (; input < inputs + input_count && input->phase == phase; input++)
                    if (input->step_stride || step == first)
                        hold_port(context, input, row_of(input, copy, step));
                execute_all(context, instructions, start, phase_end[phase], step + 1 < last);
                start = phase_end[phase];
            }
            for (const port_t *port = outputs; port < outputs + output_count; port++)
                read_port(context, port, row_of(port, copy, step));
        }
    }
}

static void take(const context_t *from, const context_t *to, const region_t *regions, int64_t count)
{
    for (const region_t *r = regions; r < regions + count; r++) {
        const size_t words = (size_t)(r->memory == PORT_EVENT ? from->count[r->list] : r->size);
        switch (r->memory) {
        case PORT_VALUE:
            memcpy(to->value + r->begin, from->value + r->begin, words * sizeof(value_t));
            break;
        case PORT_STATE:
            memcpy(to->state + r->begin, from->state + r->begin, words * sizeof(state_t));
            break;
        case PORT_EVENT:
            to->count[r->list] = (int64_t)words;
            memcpy(to->event_index + r->begin, from->event_index + r->begin,
                   words * sizeof(int32_t));
            memcpy(to->event_payload + r->begin, from->event_payload + r->begin,
                   words * sizeof(value_t));
            break;
        case POST:
            memcpy(to->post + r->begin, from->post + r->begin, words * sizeof(value_t));
            break;
        }
    }
}

static void execute_segments(context_t *context, const instruction_t *instructions,
                             const segment_t *segments, int64_t segment_count, int64_t front,
                             const port_t *inputs, int64_t input_count, int64_t copy, int64_t step,
                             int skip)
{
    const port_t *input = inputs;
    for (const segment_t *s = segments; s < segments + segment_count; s++) {
        for (; input < inputs + input_count && input->phase <= s->phase; input++)
            if ((input->step_stride || step == 0) &&
                input->front != (front ? TO_COPIES : TO_FRONT))
                hold_port(context, input, row_of(input, copy, step));
        if (s->front == front || s->front == IN_BOTH)
            execute_all(context, instructions, s->begin, s->end, skip);
    }
}

/* Steps first..last-1 of what is the same in copies begin..end-1, each left in the next place of
 * `ring`; the run begins with step 0 and ends before step `stop`. */
void loom_run_front(context_t *front, int64_t begin, int64_t end, const context_t *ring,
                    const region_t *regions, int64_t region_count,
                    const instruction_t *instructions, const segment_t *segments,
                    int64_t segment_count, int64_t first, int64_t last, int64_t stop,
                    const port_t *inputs, int64_t input_count, const port_t *outputs,
                    int64_t output_count)
{
    front->call += first == 0;
    for (int64_t step = first; step < last; step++) {
        execute_segments(front, instructions, segments, segment_count, 1, inputs, input_count,
                         begin, step, step + 1 < stop);
        take(front, ring + (step - first), regions, region_count);
        for (const port_t *port = outputs; port < outputs + output_count; port++)
            for (int64_t copy = begin; port->front && copy < end; copy++)
                read_port(front, port, row_of(port, copy, step));
    }
}

/* The same steps of a copy. */
void loom_run_behind(context_t *context, int64_t copy, const context_t *ring,
                     const instruction_t *instructions, const segment_t *segments,
                     int64_t segment_count, int64_t first, int64_t last, int64_t stop,
                     const port_t *inputs, int64_t input_count, const port_t *outputs,
                     int64_t output_count)
{
    context->call += first == 0;
    for (int64_t step = first; step < last; step++) {
        context->front = ring + (step - first);
        execute_segments(context, instructions, segments, segment_count, 0, inputs, input_count,
                         copy, step, step + 1 < stop);
        for (const port_t *port = outputs; port < outputs + output_count; port++)
            if (!port->front)
                read_port(context, port, row_of(port, copy, step));
    }
}

/* The steps first..last-1 of copies begin..end-1, and in the context `common` what is the same in
 * all: so many steps of that as the ring has places, and then these steps of each copy. */
void loom_run_together(context_t *contexts, int64_t common, int64_t begin, int64_t end,
                       const context_t *ring, int64_t ring_size, const region_t *regions,
                       int64_t region_count, const instruction_t *instructions,
                       const segment_t *segments, int64_t segment_count, int64_t first,
                       int64_t last, const port_t *inputs, int64_t input_count,
                       const port_t *outputs, int64_t output_count)
{
    for (int64_t block = first; block < last; block += ring_size) {
        const int64_t end_of_block = least(block + ring_size, last);
        loom_run_front(contexts + common, begin, end, ring, regions, region_count, instructions,
                       segments, segment_count, block, end_of_block, last, inputs, input_count,
                       outputs, output_count);
        for (int64_t copy = begin; copy < end; copy++)
            loom_run_behind(contexts + copy, copy, ring, instructions, segments, segment_count,
                            block, end_of_block, last, inputs, input_count, outputs,
                            output_count);
    }
}
