/* Sums of events whose rows of weights have an entry or two: follows the generated kernels in one
 * source file. An entry is a weight with the number of its element in the lowest bits. */

enum { SPARSE_ENTRIES = 2, SPARSE_BITS = 6, SPARSE_LENGTH = 1 << SPARSE_BITS, SPARSE_WAYS = 4 };

/* `entries` is a constant at every call. Events that follow each other often reach the same element;
 * they are added up in turns at several places, so that none has to wait for the one before. */
static inline void add_sparse(const context_t *context, const instruction_t *in, const int entries)
{
    const context_t *from = made_in(context, in, FRONT_SOURCE);
    const int32_t *index = from->event_index + in->source;
    const value_t *payload = from->event_payload + in->source;
    const int64_t events = from->count[in->list], unit = (int64_t)1 << in->payload_shift;
    const weight_t *row = weights_of(context, in);
    accumulator_t *acc = context->accumulator + in->target;
    const weight_t mask = SPARSE_LENGTH - 1;
    int64_t sum[SPARSE_WAYS][SPARSE_LENGTH];
    for (int way = 0; way < SPARSE_WAYS; way++)
        clear_words(sum[way], in->length);
    int64_t e = 0;
    for (; e + SPARSE_WAYS <= events; e += SPARSE_WAYS)
        for (int way = 0; way < SPARSE_WAYS; way++) {
            const weight_t *entry = row + (int64_t)index[e + way] * entries;
            for (int k = 0; k < entries; k++)
                sum[way][entry[k] & mask] += (int64_t)(entry[k] >> SPARSE_BITS) * payload[e + way];
        }
    for (; e < events; e++) {
        const weight_t *entry = row + (int64_t)index[e] * entries;
        for (int k = 0; k < entries; k++)
            sum[0][entry[k] & mask] += (int64_t)(entry[k] >> SPARSE_BITS) * payload[e];
    }
    for (int64_t i = 0; i < in->length; i++) {
        int64_t all = 0;
        for (int way = 0; way < SPARSE_WAYS; way++)
            all += sum[way][i];
        acc[i] = (in->clear ? 0 : acc[i]) + all * unit;
    }
}

static NOT_INLINED void evt_sparse(const context_t *context, const instruction_t *in)
{
    if (in->entries == 1)
        add_sparse(context, in, 1);
    else
        add_sparse(context, in, SPARSE_ENTRIES);
}
