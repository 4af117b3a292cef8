/* What is summed for a MAP, in one pass: follows loom.c in one source file.
 *
 * Several MACs one after the other, without the zeros around their rows. Where nobody else wants to
 * see the sums, they are not even stored: what is made is the MAP's input. */

/* A segment of a sum, as it stands in `parameters`, followed by the numbers of its rows' values. */
enum { SEGMENT_FIRST, SEGMENT_LENGTH, SEGMENT_STRIDE, SEGMENT_BEGINS, SEGMENT_WEIGHTS, SEGMENT_ROWS,
       SEGMENT_VALUES };

/* What a segment begins with, besides its products: kept sums, or what is there already. */
enum { BEGINS_KEPT = 1, BEGINS_THERE = 2 };

/* Values that a sum reads, at most. */
enum { SUM_VALUES = 64 };

static inline uint64_t make_input(const accumulator_t *from, int32_t *input, const weight_t *w,
                                  int64_t stride, const value_t *x, int64_t n, int64_t rows,
                                  int64_t shift, uint32_t middle)
{
    switch (rows) {
    case 0: return combine(from, 0, input, w, stride, x, n, shift, middle, 0, 1);
    case 1: return combine(from, 0, input, w, stride, x, n, shift, middle, 1, 1);
    case 2: return combine(from, 0, input, w, stride, x, n, shift, middle, 2, 1);
    case 3: return combine(from, 0, input, w, stride, x, n, shift, middle, 3, 1);
    default: return combine(from, 0, input, w, stride, x, n, shift, middle, 4, 1);
    }
}

/* Sums of all that is held, plus what is added to make the input; again only after a change. */
static const accumulator_t *kept_sums(const context_t *context, const instruction_t *in)
{
    accumulator_t *held = context->held + in->held;
    const int64_t version = kept_version(context, in);
    if (context->held_version[in->held_number] != version) {
        for (int64_t i = 0; i < in->reach; i++)
            held[i] = in->offset;
        for (const instruction_t *m = in + 1; m <= in + in->length; m++) {
            accumulator_t *to = held + (m->target - in->target);
            if (m->watched >= 0 && m->opcode == CNV)
                cnv(context, m, to);
            else if (m->watched >= 0)
                mac(context, m, to, 0);
        }
        context->held_version[in->held_number] = version;
    }
    return held;
}

/* The values of all rows that are not held. */
static void gather_values(const context_t *context, const instruction_t *in, value_t *x)
{
    for (const instruction_t *m = in + 1; m <= in + in->length; m++)
        if (m->watched < 0) {
            const value_t *from = made_in(context, m, FRONT_SOURCE)->value + m->source;
            for (int64_t k = 0; k < m->rows; k++)
                *x++ = from[k];
        }
}

/* The sums themselves. */
static void sum_all(const context_t *context, const instruction_t *in)
{
    value_t x[SUM_VALUES];
    const accumulator_t *kept = in->port_count ? kept_sums(context, in) : 0;
    const int64_t *s = context->parameters + in->segments;
    gather_values(context, in, x);
    for (int64_t k = 0; k < in->segment_count; k++) {
        const int64_t n = s[SEGMENT_LENGTH], stride = s[SEGMENT_STRIDE], rows = s[SEGMENT_ROWS];
        const weight_t *w = context->weight + in->weights + s[SEGMENT_WEIGHTS];
        accumulator_t *to = context->accumulator + in->target + s[SEGMENT_FIRST];
        if (!(s[SEGMENT_BEGINS] & BEGINS_THERE))
            clear_words(to, n);
        if (s[SEGMENT_BEGINS] & BEGINS_KEPT) {
            const accumulator_t *restrict from = kept + s[SEGMENT_FIRST];
            for (int64_t i = 0; i < n; i++)
                to[i] += from[i] - in->offset;
        }
        for (int64_t r = 0; r < rows; r += 4) {
            value_t few[4];
            for (int64_t j = 0; j < 4; j++)
                few[j] = x[s[SEGMENT_VALUES + least(r + j, rows - 1)]];
            add_rows(to, to, w + r * stride, stride, few, n, rows - r);
        }
        s += SEGMENT_VALUES + rows;
    }
}

/* The MAP's input at once. Returns 0 if some of it may have to be limited: then it is wrong. */
static int make_all(const context_t *context, const instruction_t *in, int32_t *input)
{
    value_t x[SUM_VALUES];
    const accumulator_t *kept = kept_sums(context, in);
    const int64_t *s = context->parameters + in->segments;
    const int64_t shift = (in + 1 + in->length)->input_shift;
    const uint32_t middle = (uint32_t)1 << (in->bits - shift - 1);
    uint64_t seen = 0;
    gather_values(context, in, x);
    for (int64_t k = 0; k < in->segment_count; k++) {
        const int64_t n = s[SEGMENT_LENGTH], stride = s[SEGMENT_STRIDE], rows = s[SEGMENT_ROWS];
        const weight_t *w = context->weight + in->weights + s[SEGMENT_WEIGHTS];
        const accumulator_t *from = kept + s[SEGMENT_FIRST];
        accumulator_t sum[BLOCK];
        int64_t r = 0;
        for (;; r += 4) {
            value_t few[4] = {0, 0, 0, 0};
            for (int64_t j = 0; j < 4 && r + j < rows; j++)
                few[j] = x[s[SEGMENT_VALUES + r + j]];
            if (rows - r <= 4) {
                seen |= make_input(from, input + s[SEGMENT_FIRST], w + r * stride, stride, few, n,
                                   rows - r, shift, middle);
                break;
            }
            add_rows(from, sum, w + r * stride, stride, few, n, 4);
            from = sum;
        }
        s += SEGMENT_VALUES + rows;
    }
    return !(seen >> in->bits);
}

/* Sum up what the following `length` instructions say, which are not executed themselves. If
 * `skip`, the accumulators need not be what they would be where a MAP's input is made. */
static void sum_up(const context_t *context, const instruction_t *in, int skip)
{
    if (in->kept < 0) {
        sum_all(context, in);
        return;
    }
    int32_t *input = (int32_t *)(context->held + in->kept + KEPT_HEAD);
    if (skip && make_all(context, in, input)) {
        context->held[in->kept] = 0;
        return;
    }
    const instruction_t *map = in + 1 + in->length;
    sum_all(context, in);
    context->held[in->kept] = fit_64_to_32(context->accumulator + map->source, input, map->length,
                                           map->input_shift, in->lo, in->hi);
}
