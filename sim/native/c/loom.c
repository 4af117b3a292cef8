/* The interpreter of instructions: follows the generated kernels in one source file. */

/* to = or += W x with the row index in the outer loop, four rows at a time; rows are long. */
static void mac_rows(const context_t *context, const instruction_t *in, accumulator_t *to, int clear)
{
    const int64_t length = in->length, rows = in->rows;
    const value_t *x = made_in(context, in, FRONT_SOURCE)->value + in->source;
    const weight_t *weight = weights_of(context, in);
    for (int64_t base = 0; base < length; base += BLOCK) {
        const int64_t n = least(BLOCK, length - base);
        accumulator_t *acc = to + base;
        if (clear)
            clear_words(acc, n);
        for (int64_t k = 0; k < rows; k += 4)
            add_rows(acc, acc, weight + base + k * length, length, x + k, n, rows - k);
    }
}

/* The same for few, long columns: the weights lie transposed, one dot product per element. */
static void mac_columns(const context_t *context, const instruction_t *in, accumulator_t *to,
                        int clear)
{
    const value_t *restrict x = made_in(context, in, FRONT_SOURCE)->value + in->source;
    const weight_t *weight = weights_of(context, in);
    for (int64_t i = 0; i < in->length; i++) {
        const weight_t *restrict w = weight + i * in->rows;
        int64_t sum = clear ? 0 : to[i];
        for (int64_t k = 0; k < in->rows; k++)
            sum += (int64_t)w[k] * x[k];
        to[i] = sum;
    }
}

/* The same where each value goes to one element: the weights are those of the diagonal. */
static void mac_diagonal(const context_t *context, const instruction_t *in,
                         accumulator_t *restrict to, int clear)
{
    const value_t *restrict x = made_in(context, in, FRONT_SOURCE)->value + in->source;
    const weight_t *restrict w = weights_of(context, in);
    if (clear)
        for (int64_t i = 0; i < in->length; i++)
            to[i] = (int64_t)w[i] * x[i];
    else
        for (int64_t i = 0; i < in->length; i++)
            to[i] += (int64_t)w[i] * x[i];
}

static void mac(const context_t *context, const instruction_t *in, accumulator_t *to, int clear)
{
    if (in->opcode == MAC_ROWS)
        mac_rows(context, in, to, clear);
    else if (in->opcode == MAC_PAIRS)
        mac_pairs(context, in, to, clear);
    else if (in->opcode == MAC_DIAGONAL)
        mac_diagonal(context, in, to, clear);
    else
        mac_columns(context, in, to, clear);
}

/* What reads nothing but an input of the host, or constants, is summed again only after a change. */
static void mac_held(const context_t *context, const instruction_t *in)
{
    accumulator_t *restrict acc = context->accumulator + in->target;
    accumulator_t *restrict held = context->held + in->held;
    const int64_t version = made_in(context, in, FRONT_SOURCE)->version[in->watched];
    if (context->held_version[in->held_number] != version) {
        mac(context, in, held, 1);
        context->held_version[in->held_number] = version;
    }
    if (in->clear)
        copy_words(acc, held, in->length);
    else
        for (int64_t i = 0; i < in->length; i++)
            acc[i] += held[i];
}

/* Event sums of a few elements, kept in registers: `length` is a constant at every call. */
static inline void evt_few(const context_t *context, const instruction_t *in, const int length)
{
    accumulator_t *acc = context->accumulator + in->target;
    const context_t *from = made_in(context, in, FRONT_SOURCE);
    const int32_t *index = from->event_index + in->source;
    const value_t *payload = from->event_payload + in->source;
    const weight_t *weight = weights_of(context, in);
    const int64_t events = from->count[in->list];
    int64_t sum[4] = {0, 0, 0, 0};
    for (int64_t e = 0; e < events; e++) {
        const weight_t *w = weight + (int64_t)index[e] * length;
        for (int i = 0; i < length; i++)
            sum[i] += (int64_t)w[i] * payload[e];
    }
    const int64_t unit = (int64_t)1 << in->payload_shift;
    for (int i = 0; i < length; i++)
        acc[i] = (in->clear ? 0 : acc[i]) + sum[i] * unit;
}

/* Event sums in words of type sum_t, which the loader has proved wide enough. */
#define DEFINE_EVT(name, sum_t)                                                                    \
    static NOT_INLINED void name(const context_t *context, const instruction_t *in)               \
    {                                                                                              \
        const int64_t length = in->length;                                                         \
        const context_t *from = made_in(context, in, FRONT_SOURCE);                                \
        const int32_t *index = from->event_index + in->source;                                     \
        const value_t *payload = from->event_payload + in->source;                                 \
        const int64_t events = from->count[in->list];                                              \
        for (int64_t base = 0; base < length; base += BLOCK) {                                     \
            const int64_t n = least(BLOCK, length - base);                                         \
            const weight_t *weight = weights_of(context, in) + base;                               \
            sum_t sum[BLOCK];                                                                      \
            memset(sum, 0, (size_t)n * sizeof(sum_t));                                             \
            int64_t e = 0;                                                                         \
            for (; e + 4 <= events; e += 4) {                                                      \
                const weight_t *restrict w0 = weight + index[e] * length;                          \
                const weight_t *restrict w1 = weight + index[e + 1] * length;                      \
                const weight_t *restrict w2 = weight + index[e + 2] * length;                      \
                const weight_t *restrict w3 = weight + index[e + 3] * length;                      \
                const sum_t p0 = payload[e], p1 = payload[e + 1];                                  \
                const sum_t p2 = payload[e + 2], p3 = payload[e + 3];                              \
                if (p0 == 1 && p1 == 1 && p2 == 1 && p3 == 1)                                      \
                    for (int64_t i = 0; i < n; i++)                                                \
                        sum[i] += (sum_t)w0[i] + (sum_t)w1[i] + (sum_t)w2[i] + (sum_t)w3[i];       \
                else                                                                               \
                    for (int64_t i = 0; i < n; i++)                                                \
                        sum[i] += w0[i] * p0 + w1[i] * p1 + w2[i] * p2 + w3[i] * p3;               \
            }                                                                                      \
            for (; e < events; e++) {                                                              \
                const weight_t *restrict w = weight + index[e] * length;                           \
                const sum_t p = payload[e];                                                        \
                for (int64_t i = 0; i < n; i++)                                                    \
                    sum[i] += w[i] * p;                                                            \
            }                                                                                      \
            accumulator_t *restrict acc = context->accumulator + in->target + base;                \
            const int64_t unit = (int64_t)1 << in->payload_shift;                                  \
            if (in->clear)                                                                         \
                for (int64_t i = 0; i < n; i++)                                                    \
                    acc[i] = sum[i] * unit;                                                        \
            else                                                                                   \
                for (int64_t i = 0; i < n; i++)                                                    \
                    acc[i] += sum[i] * unit;                                                       \
        }                                                                                          \
    }

DEFINE_EVT(evt_wide, int64_t)
DEFINE_EVT(evt_narrow, int32_t)

/* acc = or += x times a column of weights that lie `rows` apart; `set` is a constant at every call.
 * What reads the sums next reads vectors of them: it would wait long if they were stored singly. */
static inline void add_column(accumulator_t *acc, const weight_t *w, int64_t rows, int64_t length,
                              int64_t x, const int set)
{
    int64_t i = 0;
    for (; i + 4 <= length; i += 4, w += 4 * rows) {
        const four_words_t column = {w[0], w[rows], w[2 * rows], w[3 * rows]};
        four_words_t *to = (four_words_t *)(acc + i);
        *to = set ? column * x : *to + column * x;
    }
    for (; i < length; i++, w += rows)
        acc[i] = (set ? 0 : acc[i]) + x * *w;
}

/* The sum of the events of a target whose weights lie together. */
static inline int64_t evt_one(const weight_t *w, const int32_t *index, const value_t *payload,
                              int64_t events)
{
    int64_t sum[2] = {0, 0};
    int64_t e = 0;
    for (; e + 2 <= events; e += 2) {
        sum[0] += (int64_t)w[index[e]] * payload[e];
        sum[1] += (int64_t)w[index[e + 1]] * payload[e + 1];
    }
    if (e < events)
        sum[0] += (int64_t)w[index[e]] * payload[e];
    return sum[0] + sum[1];
}

/* Event sums of weights that lie transposed: `rows` elements from one target's to the next. Targets
 * are few, and so are the events of most steps: that is why these are the outer loop, unless there
 * are fewer targets than a vector has room for. */
static void evt_columns(const context_t *context, const instruction_t *in)
{
    const context_t *from = made_in(context, in, FRONT_SOURCE);
    const int32_t *index = from->event_index + in->source;
    const value_t *payload = from->event_payload + in->source;
    const int64_t events = from->count[in->list], unit = (int64_t)1 << in->payload_shift;
    accumulator_t *acc = context->accumulator + in->target;
    const weight_t *weight = weights_of(context, in);
    if (in->length < 4) {
        for (int64_t i = 0; i < in->length; i++, weight += in->rows)
            acc[i] = (in->clear ? 0 : acc[i]) + evt_one(weight, index, payload, events) * unit;
        return;
    }
    int64_t e = 0;
    if (in->clear && events)
        add_column(acc, weight + index[e++], in->rows, in->length, payload[0] * unit, 1);
    else if (in->clear)
        clear_words(acc, in->length);
    for (; e < events; e++)
        add_column(acc, weight + index[e], in->rows, in->length, payload[e] * unit, 0);
}

static void evt(const context_t *context, const instruction_t *in)
{
    switch (in->length) {
    case 1: evt_few(context, in, 1); break;
    case 2: evt_few(context, in, 2); break;
    case 3: evt_few(context, in, 3); break;
    case 4: evt_few(context, in, 4); break;
    default:
        if (in->opcode == EVT_NARROW)
            evt_narrow(context, in);
        else
            evt_wide(context, in);
    }
}

/* acc += a row of weights, one for each lane, times x; `lanes` is a constant at most calls. */
static inline void add_row(accumulator_t *restrict acc, const weight_t *restrict w, int64_t x,
                           const int64_t lanes)
{
    for (int64_t i = 0; i < lanes; i++)
        acc[i] += x * w[i];
}

/* All words that one source element reaches. `stencil` has, for each position, where its entries
 * begin and, in the next place, end; an entry is the accumulator's and the weights' first element. */
static inline void cnv_element(const context_t *context, const instruction_t *in,
                               accumulator_t *to, int64_t k, int64_t x, const int64_t lanes)
{
    const int64_t *stencil = context->parameters + in->stencil;
    const int64_t position = k >> in->shift, channel = k - (position << in->shift);
    const weight_t *weight = weights_of(context, in) + channel * lanes;
    const int64_t *entry = stencil + stencil[position], *end = stencil + stencil[position + 1];
    for (; entry < end; entry += 2)
        add_row(to + entry[0], weight + entry[1], x, lanes);
}

static inline void cnv_all(const context_t *context, const instruction_t *in, accumulator_t *to,
                           const int64_t lanes)
{
    const context_t *from = made_in(context, in, FRONT_SOURCE);
    if (in->list < 0) {
        const value_t *x = from->value + in->source;
        for (int64_t k = 0; k < in->rows; k++)
            if (x[k])
                cnv_element(context, in, to, k, x[k], lanes);
        return;
    }
    const int32_t *index = from->event_index + in->source;
    const value_t *payload = from->event_payload + in->source;
    const int64_t unit = (int64_t)1 << in->payload_shift;
    for (int64_t e = 0; e < from->count[in->list]; e++)
        cnv_element(context, in, to, index[e], payload[e] * unit, lanes);
}

static void cnv(const context_t *context, const instruction_t *in, accumulator_t *to)
{
    switch (in->length) {
    case 4: cnv_all(context, in, to, 4); break;
    case 8: cnv_all(context, in, to, 8); break;
    case 16: cnv_all(context, in, to, 16); break;
    case 32: cnv_all(context, in, to, 32); break;
    default: cnv_all(context, in, to, in->length);
    }
}

/* Of an input of the host again only after a change, like `mac_held`. */
static void cnv_held(const context_t *context, const instruction_t *in)
{
    accumulator_t *restrict acc = context->accumulator + in->target;
    accumulator_t *restrict held = context->held + in->held;
    const int64_t version = made_in(context, in, FRONT_SOURCE)->version[in->watched];
    if (context->held_version[in->held_number] != version) {
        clear_words(held, in->reach);
        cnv(context, in, held);
        context->held_version[in->held_number] = version;
    }
    for (int64_t i = 0; i < in->reach; i++)
        acc[i] += held[i];
}

/* What rules see of the neurons that a MAP has just stepped. */
static void capture(const context_t *context, const instruction_t *in)
{
    const int64_t *place = context->parameters + in->captures;
    for (int64_t c = 0; c < in->capture_count; c++, place += 2) {
        const state_t *restrict from = context->state + place[0] * context->state_stride + in->state;
        value_t *restrict to = context->post + place[1];
        for (int64_t i = 0; i < in->length; i++)
            to[i] = (value_t)from[i];
    }
}

static void execute(context_t *context, const instruction_t *in)
{
    switch ((opcode_t)in->opcode) {
    case MAC_ROWS:
    case MAC_COLUMNS:
    case MAC_DIAGONAL:
    case MAC_PAIRS:
        if (in->watched >= 0)
            mac_held(context, in);
        else
            mac(context, in, context->accumulator + in->target, (int)in->clear);
        break;
    case EVT_WIDE:
    case EVT_NARROW: evt(context, in); break;
    case EVT_COLUMNS: evt_columns(context, in); break;
    case EVT_SPARSE: evt_sparse(context, in); break;
    case MAP:
        kernels[in->kernel](context, in);
        capture(context, in);
        return;
    case UPD:
        if (context->learning)
            rules[in->kernel](context, in);
        return;
    case CNV:
        if (in->watched >= 0)
            cnv_held(context, in);
        else
            cnv(context, in, context->accumulator + in->target);
        return;
    case KEEP:
    case SUM: return; /* see `execute_all` */
    }
    if (in->clear && in->padding)
        clear_words(context->accumulator + in->target + in->length, in->padding);
}
