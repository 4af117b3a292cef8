/* The loom's memories and instructions as plain data. Everything that changes hangs on a context,
 * so that several models can run side by side. The generated source defines, before this file,
 * what depends on the machine's word widths: state_t, VALUE_LO and VALUE_HI (limits of a value and
 * of a payload).
 *
 * Negative numbers are shifted right with >>, which C leaves to the compiler: GCC ("Bitwise
 * operators" in its chapter on implementation-defined behaviour), Clang and with it Zig shift the
 * sign in, as the machine does. Nothing negative is shifted left; it is multiplied instead.
 */
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef int64_t accumulator_t;
typedef int32_t weight_t;
typedef int32_t value_t;

/* Before a loop whose iterations touch different words: GCC does not trust `restrict` alone where
 * a table is read at computed places. */
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* In a loop that is not to be made of vectors. */
#define ONE_BY_ONE __asm__ volatile("")

/* A function that seldom runs, or for long: others that might contain it begin faster without. */
#define NOT_INLINED __attribute__((noinline))

/* Elements that are worked on at a time: small enough for the first-level cache. */
enum { BLOCK = 1024 };

typedef struct context {
    accumulator_t *accumulator; /* element i of the population at word b: [b * lanes + i] */
    value_t *value;
    state_t *state; /* slot s: state + s * state_stride */
    int32_t *event_index;
    value_t *event_payload;
    int64_t *count;
    int64_t *saturations;      /* per population */
    const weight_t *weight;    /* of all copies of a model; rows without padding */
    weight_t *learned;         /* those that rules change */
    int32_t *residual;         /* of the learned weights, at the same places */
    state_t *synapse;          /* states of synapses: slot s from synapse + s * synapse_stride */
    value_t *post;             /* post memory m: element j of word b at m * post_stride + b * lanes + j */
    const int64_t *parameters; /* of all MAPs, in the order that each kernel expects */
    const int32_t *table_32;   /* entries of the tables whose range fits, and of the others */
    const int64_t *table_64;
    accumulator_t *held;       /* sums of inputs that have not changed since, see `mac_held`, and
                                * kept inputs of MAPs: how often they were limited, the numbers */
    int64_t *held_version;     /* of each of these: the version of what it was made of */
    int64_t *version;          /* of each input port, and of the constants: counts their changes */
    const struct context *front; /* what is the same in all copies, as it is after this step */
    int64_t *unusual;          /* per population: neurons done by themselves in its last step */
    int64_t *known;            /* per population: the call in which its states were last known to
                                * be of usual size */
    int32_t *remembered;       /* per neuron, as states lie: what it will read of a table */
    int64_t state_stride;
    int64_t synapse_stride;
    int64_t post_stride;
    int64_t learning; /* 0: updates are skipped */
    int64_t one; /* always 1, unknown to the compiler */
    int64_t late; /* 1: states that only rules look at are made when they do */
    int64_t call; /* counts the calls: between them the host may write */
    int64_t dense; /* where one in so many post neurons fired, updates go along whole rows */
} context_t;

typedef enum {
    MAC_ROWS,
    MAC_COLUMNS,
    EVT_WIDE,
    EVT_NARROW,
    MAP,
    UPD,
    CNV,
    MAC_DIAGONAL,
    KEEP,
    EVT_COLUMNS,
    SUM,
    MAC_PAIRS,
    EVT_SPARSE
} opcode_t;

typedef enum { GATE_ALWAYS, GATE_PRE, GATE_POST } gate_t;

/* One instruction; which fields matter depends on the opcode. Mirrored by `tables/table.py`. */
typedef struct {
    int64_t opcode;
    int64_t kernel;
    int64_t clear;
    int64_t weights;
    int64_t source;
    int64_t list;
    int64_t rows;
    int64_t target;
    int64_t length;
    int64_t padding; /* elements between the end of the row and the end of its last word */
    int64_t input_shift;
    int64_t input_fits; /* 1 if the input is certain to be within its range */
    int64_t output_shift;
    int64_t state;
    int64_t parameters;
    int64_t population;
    int64_t payload_shift; /* payloads are stored without their fraction bits */
    int64_t captures;      /* MAP: place in `parameters` of (slot, first element) pairs, and how many */
    int64_t capture_count;
    int64_t gate; /* UPD */
    int64_t skip; /* UPD: number of the pre variable of rows that are left out, or -1 */
    int64_t shift;   /* CNV: bits of a source element's number that tell its channel */
    int64_t stencil; /* CNV: place in `parameters`, see `cnv_element` */
    int64_t reach;   /* CNV: accumulators from the target on that it may reach */
    int64_t learned; /* 1 if its weights are learned ones */
    int64_t watched; /* MAC, CNV: number of the port that is all it reads, or -1 */
    int64_t held;    /* MAC, CNV of such a port: place of its sums in `held` */
    int64_t held_number; /* and which one it is */
    int64_t kept;        /* MAP, SUM: place of its kept input in `held`, or -1 */
    int64_t kept_number; /* MAP, KEEP: which one it is; numbered together with the sums */
    int64_t ports;       /* MAP, KEEP, SUM: place in `parameters` of the ports behind it, and how many */
    int64_t port_count;
    int64_t front; /* which operands lie in `front`, see `front_t` */
    int64_t transposed; /* UPD: 1 if the synapses of a post neuron lie together */
    int64_t late; /* MAP: 1 if some states may be late; UPD: records to the MAP whose states it needs */
    int64_t segments;   /* SUM: place in `parameters` of its segments, see `sums.c`, and how many */
    int64_t segment_count;
    int64_t offset; /* SUM that makes an input: what is added before the shift */
    int64_t bits;   /* and the bits of sums, with that, of which nothing is limited */
    int64_t lo;     /* and the range of the input */
    int64_t hi;
    int64_t entries; /* EVT_SPARSE: of each row */
} instruction_t;

/* Operands of an instruction that are the same in all copies: values or events; of UPD these two. */
typedef enum { FRONT_SOURCE = 1, FRONT_PRE = 2, FRONT_POST = 4 } front_t;

typedef enum { PORT_ACCUMULATOR, PORT_VALUE, PORT_STATE, PORT_EVENT } port_memory_t;

/* An input or output port, and the host's array: a row for each step, and such rows for each copy.
 * An input of one row for all steps (step_stride 0) is written once. */
typedef struct {
    int64_t memory;
    int64_t phase;
    int64_t base;
    int64_t start; /* of an event list: the first index that is meant */
    int64_t size;
    int64_t slot;
    int64_t shift; /* of an event list: fraction bits of its payloads */
    int64_t step_stride;
    int64_t copy_stride;
    int64_t front; /* belongs to the copies, to what is the same in all, or to both: `belongs_t` */
    int64_t *data;
} port_t;

typedef enum { TO_COPIES, TO_FRONT, TO_BOTH } belongs_t;

/* Part of a memory that copies read of what is the same in all; of events the list, and where it
 * begins. */
typedef struct {
    int64_t memory; /* port_memory_t, or POST */
    int64_t begin;
    int64_t size;
    int64_t list;
} region_t;

enum { POST = 4 };

/* Instructions that are executed one after the other, in each copy (0), once for all (1), or both. */
typedef struct {
    int64_t phase;
    int64_t begin;
    int64_t end;
    int64_t front;
} segment_t;

enum { IN_BOTH = 2 };

typedef void kernel_function(context_t *context, const instruction_t *instruction);
typedef kernel_function rule_function;

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Four words next to each other, which begin anywhere. */
typedef int64_t four_words_t __attribute__((vector_size(32), aligned(8), may_alias));

/* Of so many words, that takes less time than a call of memset or memcpy. */
enum { FEW_WORDS = 128 };

static inline void clear_words(int64_t *to, int64_t n)
{
    if (n > FEW_WORDS) {
        memset(to, 0, (size_t)n * sizeof(int64_t));
        return;
    }
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        ONE_BY_ONE; /* else a compiler makes this the call */
        *(four_words_t *)(to + i) = (four_words_t){0, 0, 0, 0};
    }
    for (; i < n; i++) {
        ONE_BY_ONE;
        to[i] = 0;
    }
}

static inline void copy_words(int64_t *restrict to, const int64_t *restrict from, int64_t n)
{
    if (n > FEW_WORDS) {
        memcpy(to, from, (size_t)n * sizeof(int64_t));
        return;
    }
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        ONE_BY_ONE;
        *(four_words_t *)(to + i) = *(const four_words_t *)(from + i);
    }
    for (; i < n; i++) {
        ONE_BY_ONE;
        to[i] = from[i];
    }
}

static inline const context_t *made_in(const context_t *context, const instruction_t *in,
                                       front_t operand)
{
    return in->front & operand ? context->front : context;
}

static inline const weight_t *weights_of(const context_t *context, const instruction_t *in)
{
    return (in->learned ? context->learned : context->weight) + in->weights;
}

/* Where one in so many neurons had to be done by itself, all are done in full for so many steps; so
 * are those of small populations in any case. */
enum { UNUSUAL_FEW = 3, UNUSUAL_STEPS = 64, USUAL_LEAST = 16 };

/* Words of `held` in front of the numbers of a kept input; this one tells that all are usual. */
enum { KEPT_HEAD = 16, KEPT_TAME = 1 };

/* Of all ports that an input is made of: it grows when one of them changes. */
static inline int64_t kept_version(const context_t *context, const instruction_t *in)
{
    const int64_t *port = context->parameters + in->ports;
    int64_t version = 0;
    for (int64_t k = 0; k < in->port_count; k++)
        version += context->version[port[k]];
    return version;
}

static inline int is_kept(const context_t *context, const instruction_t *in)
{
    return context->held_version[in->kept_number] == kept_version(context, in);
}

/* a * 2**-shift limited to lo..hi, for the whole vector; returns how often it limited. */
#define DEFINE_FIT(name, from_t, to_t)                                                             \
    static inline int64_t name(const from_t *restrict from, to_t *restrict to, int64_t n,          \
                               int64_t shift, int64_t lo, int64_t hi)                              \
    {                                                                                              \
        int64_t limited = 0;                                                                       \
        if (shift > 0) {                                                                           \
            const int64_t half = (int64_t)1 << (shift - 1);                                        \
            for (int64_t i = 0; i < n; i++) {                                                      \
                const int64_t scaled = ((int64_t)from[i] + half) >> shift;                         \
                const int64_t above = scaled < lo ? lo : scaled;                                   \
                const int64_t fitted = above > hi ? hi : above;                                    \
                limited += fitted != scaled;                                                       \
                to[i] = (to_t)fitted;                                                              \
            }                                                                                      \
        } else {                                                                                   \
            /* Limited loosely first: then the shift to the left cannot overflow. */               \
            const int64_t factor = (int64_t)1 << -shift;                                           \
            const int64_t loose_lo = (lo >> -shift) - 1, loose_hi = (hi >> -shift) + 1;            \
            for (int64_t i = 0; i < n; i++) {                                                      \
                const int64_t above = from[i] < loose_lo ? loose_lo : from[i];                     \
                const int64_t scaled = (above > loose_hi ? loose_hi : above) * factor;             \
                const int64_t least = scaled < lo ? lo : scaled;                                   \
                const int64_t fitted = least > hi ? hi : least;                                    \
                limited += fitted != scaled;                                                       \
                to[i] = (to_t)fitted;                                                              \
            }                                                                                      \
        }                                                                                          \
        return limited;                                                                            \
    }

/* The same where the loader has proved that nothing is limited. */
#define DEFINE_SHIFT(name, from_t, to_t)                                                           \
    static inline void name(const from_t *restrict from, to_t *restrict to, int64_t n,             \
                            int64_t shift)                                                         \
    {                                                                                              \
        if (shift > 0) {                                                                           \
            const int64_t half = (int64_t)1 << (shift - 1);                                        \
            for (int64_t i = 0; i < n; i++)                                                        \
                to[i] = (to_t)((from[i] + half) >> shift);                                         \
        } else {                                                                                   \
            const int64_t factor = (int64_t)1 << -shift;                                           \
            for (int64_t i = 0; i < n; i++)                                                        \
                to[i] = (to_t)(from[i] * factor);                                                  \
        }                                                                                          \
    }

DEFINE_SHIFT(shift_64_to_64, int64_t, int64_t)
DEFINE_SHIFT(shift_64_to_32, int64_t, int32_t)
DEFINE_FIT(fit_64_to_64, int64_t, int64_t)
DEFINE_FIT(fit_64_to_32, int64_t, int32_t)
DEFINE_FIT(fit_32_to_32_widely, int32_t, int32_t)

/* The same of a block of 32-bit words, of which twice as many fit into a vector: what half adds to
 * the quotient is the highest of the bits that are shifted out. */
static inline int64_t fit_32_to_32(const int32_t *restrict from, int32_t *restrict to, int64_t n,
                                   int64_t shift, int32_t lo, int32_t hi)
{
    if (shift < 1 || shift > 31)
        return fit_32_to_32_widely(from, to, n, shift, lo, hi);
    const int whole = (int)shift, last = whole - 1;
    int32_t limited = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t scaled = (from[i] >> whole) + ((from[i] >> last) & 1);
        const int32_t above = scaled < lo ? lo : scaled;
        const int32_t fitted = above > hi ? hi : above;
        limited += fitted != scaled;
        to[i] = fitted;
    }
    return limited;
}

/* The operation `divide` in double precision. Exact if a, b and b * 2**n lie within 2**53: the
 * quotient t = a * 2**(n+1) / b of whole numbers, rounded to nearest, is never below floor(t), and
 * reaches floor(t) + 1 <= 2**(n+1) only if t is closer to it than half the spacing 2**(n-52) of
 * doubles there; but t, if not whole, keeps a distance of at least 1 / b > 2**(n-53). */
static inline int32_t divide_double(double a, double b, int n)
{
    const int proper = (a > 0) & (b > a);
    const double numerator = proper ? a * (double)((int64_t)2 << n) : 0.0;
    const double denominator = proper ? b : 1.0;
    const int32_t quotient = (int32_t)(numerator / denominator);
    const int32_t limit = a > 0 ? (int32_t)1 << n : 0;
    return proper ? (quotient + 1) >> 1 : limit;
}

/* The same in single precision, of words. Exact if b <= 3 * 2**29 and n <= 12: both numbers and the
 * quotient are rounded to 24 bits, so that it is off by less than 4 * 2**(n+1-24) < 0.01, and its
 * whole part by 1 at most, where the remainder, too, passes 0 or b by less than b / 100. So the
 * remainder fits a word, and tells. */
static inline int32_t divide_single(int32_t a, int32_t b, int n)
{
    const int proper = (a > 0) & (b > a);
    const float numerator = proper ? (float)a * (float)((int32_t)2 << n) : 0.0f;
    const float denominator = proper ? (float)b : 1.0f;
    const int32_t near = (int32_t)(numerator / denominator);
    const uint32_t whole = (uint32_t)a << (n + 1);
    const int32_t rest = (int32_t)(whole - (uint32_t)near * (uint32_t)b);
    const int32_t quotient = near + (rest >= b) - (rest < 0);
    const int32_t limit = a > 0 ? (int32_t)1 << n : 0;
    return proper ? (quotient + 1) >> 1 : limit;
}

/* The same in whole numbers. */
static inline int64_t divide_whole(int64_t a, int64_t b, int n)
{
    if (a <= 0)
        return 0;
    if (b <= a)
        return (int64_t)1 << n;
    return (a * ((int64_t)2 << n) / b + 1) >> 1;
}

/* Bit k of the result says whether sign[k] is negative, for 64 of them. */
static inline uint64_t pack_signs(const int32_t *sign)
{
    uint64_t mask = 0;
#if defined(__SSE2__)
    for (int k = 0; k < 64; k += 4) {
        const __m128i signs = _mm_loadu_si128((const __m128i *)(sign + k));
        mask |= (uint64_t)(uint32_t)_mm_movemask_ps(_mm_castsi128_ps(signs)) << k;
    }
#else
    for (int k = 0; k < 64; k++)
        mask |= (uint64_t)(sign[k] < 0) << k;
#endif
    return mask;
}

/* So many neurons are done at a time where not all of a block are: a vector of words. */
enum { CHUNK = 8 };

/* Numbers of the elements that are negative; returns how many. Where they are cannot be predicted,
 * so no branch asks for it, or few: both arrays have room for HIT_SPARE more elements. */
enum { HIT_SPARE = 64, HIT_FEW = 4 };
static inline int64_t find_hits(int32_t *restrict sign, int64_t n, int32_t *restrict at)
{
    int64_t hits = 0;
    memset(sign + n, 0, HIT_SPARE * sizeof(int32_t));
#if defined(__AVX512F__)
    const __m512i zero = _mm512_setzero_si512();
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int64_t i = 0; i < n; i += 64) {
        __m512i signs[4];
        for (int k = 0; k < 4; k++)
            signs[k] = _mm512_loadu_si512(sign + i + 16 * k);
        const __m512i first = _mm512_or_si512(signs[0], signs[1]);
        if (!_mm512_cmplt_epi32_mask(_mm512_ternarylogic_epi32(first, signs[2], signs[3], 0xfe), zero))
            continue;
        for (int k = 0; k < 4; k++) {
            const __mmask16 mask = _mm512_cmplt_epi32_mask(signs[k], zero);
            const __m512i number = _mm512_add_epi32(lane, _mm512_set1_epi32((int)i + 16 * k));
            _mm512_storeu_si512(at + hits, _mm512_maskz_compress_epi32(mask, number));
            hits += __builtin_popcount(mask);
        }
    }
#else
    const uint64_t top = (uint64_t)1 << 63; /* the place in an empty word is not defined */
    for (int64_t i = 0; i < n; i += 64) {
        uint64_t mask = pack_signs(sign + i);
        const int count = __builtin_popcountll(mask);
        for (int k = 0; k < HIT_FEW; k++, mask &= mask - 1)
            at[hits + k] = (int32_t)i + __builtin_ctzll(mask | top);
        for (int k = HIT_FEW; k < count; k++, mask &= mask - 1)
            at[hits + k] = (int32_t)i + __builtin_ctzll(mask | top);
        hits += count;
    }
#endif
    return hits;
}

/* Repeat the last of the numbers up to the end of its chunk, so that whole vectors can work on them;
 * returns how many there are now. */
static inline int64_t fill_vectors(int32_t *at, int64_t hits)
{
    if (hits)
        for (int k = 0; k < CHUNK; k++)
            at[hits + k] = at[hits - 1];
    return (hits + CHUNK - 1) / CHUNK * CHUNK;
}

/* Append the payload 1 for each of the neurons `at` to the event list; returns its new length. */
static inline int64_t append_spikes(const context_t *context, const instruction_t *in,
                                    int64_t base, const int32_t *restrict at, int64_t hits,
                                    int64_t count)
{
    int32_t *restrict index_to = context->event_index + in->target + count;
    value_t *restrict payload_to = context->event_payload + in->target + count;
    for (int64_t e = 0; e < hits; e++) {
        index_to[e] = (int32_t)(base + at[e]);
        payload_to[e] = 1;
    }
    return count + hits;
}

/* Append the payloads of the neurons `at` to the event list; returns its new length. */
static inline int64_t append_events(const context_t *context, const instruction_t *in,
                                    const value_t *restrict payload, int64_t base,
                                    const int32_t *restrict at, int64_t hits, int64_t count)
{
    int32_t *restrict index_to = context->event_index + in->target + count;
    value_t *restrict payload_to = context->event_payload + in->target + count;
    for (int64_t e = 0; e < hits; e++) {
        index_to[e] = (int32_t)(base + at[e]);
        payload_to[e] = payload[at[e]];
    }
    return count + hits;
}
