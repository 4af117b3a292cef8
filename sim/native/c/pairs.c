/* Many rows of weights of 16 bits, two at a time: follows the generated kernels in one source file.
 *
 * A value is split into its lower bits, from 0 on, and the others with the sign. Two products of 16
 * bits and their sum are one operation of most processors; the loader has proved that 32 bits hold
 * the sums. */
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Rows of weights are filled up to a multiple of PAIR_PADDING. */
enum { LOWER_BITS = 9, PAIRS = 256, PAIR_GROUPS = 4, PAIR_PADDING = 16 };

#if defined(__AVX512BW__)
enum { PAIR_LANES = 16 };
typedef __m512i pairs_t;
#define LOAD_PAIRS(from) _mm512_loadu_si512(from)
#define SAME_PAIRS(x) _mm512_set1_epi32(x)
#if defined(__AVX512VNNI__)
#define ADD_PAIRS(sum, w, x) _mm512_dpwssd_epi32(sum, w, x)
#else
#define ADD_PAIRS(sum, w, x) _mm512_add_epi32(sum, _mm512_madd_epi16(w, x))
#endif
#define STORE_PAIRS(to, sum) _mm512_storeu_si512(to, sum)
#elif defined(__AVX2__)
enum { PAIR_LANES = 8 };
typedef __m256i pairs_t;
#define LOAD_PAIRS(from) _mm256_loadu_si256((const __m256i *)(from))
#define SAME_PAIRS(x) _mm256_set1_epi32(x)
#define ADD_PAIRS(sum, w, x) _mm256_add_epi32(sum, _mm256_madd_epi16(w, x))
#define STORE_PAIRS(to, sum) _mm256_storeu_si256((__m256i *)(to), sum)
#else
enum { PAIR_LANES = 4 };
typedef struct {
    int32_t lane[PAIR_LANES];
} pairs_t;
static inline pairs_t LOAD_PAIRS(const weight_t *from)
{
    pairs_t found;
    memcpy(&found, from, sizeof(found));
    return found;
}
static inline pairs_t SAME_PAIRS(int32_t x)
{
    pairs_t found;
    for (int i = 0; i < PAIR_LANES; i++)
        found.lane[i] = x;
    return found;
}
static inline pairs_t ADD_PAIRS(pairs_t sum, pairs_t w, pairs_t x)
{
    for (int i = 0; i < PAIR_LANES; i++)
        sum.lane[i] += (int32_t)(int16_t)w.lane[i] * (int16_t)x.lane[i] +
                       (w.lane[i] >> 16) * (x.lane[i] >> 16);
    return sum;
}
static inline void STORE_PAIRS(int32_t *to, pairs_t sum) { memcpy(to, &sum, sizeof(sum)); }
#endif

/* Some columns of all rows, of which `n` are wanted; `groups` is a constant at every call. */
static inline void add_pairs(accumulator_t *to, int64_t n, const weight_t *w, int64_t stride,
                             int64_t pairs, const int32_t *lower, const int32_t *upper,
                             const int groups)
{
    pairs_t low[PAIR_GROUPS], high[PAIR_GROUPS];
    for (int g = 0; g < groups; g++)
        low[g] = high[g] = SAME_PAIRS(0);
    for (int64_t p = 0; p < pairs; p++, w += stride) {
        const pairs_t x = SAME_PAIRS(lower[p]), y = SAME_PAIRS(upper[p]);
        for (int g = 0; g < groups; g++) {
            const pairs_t both = LOAD_PAIRS(w + g * PAIR_LANES);
            low[g] = ADD_PAIRS(low[g], both, x);
            high[g] = ADD_PAIRS(high[g], both, y);
        }
    }
    for (int g = 0; g < groups; g++) {
        int32_t a[PAIR_LANES], b[PAIR_LANES];
        STORE_PAIRS(a, low[g]);
        STORE_PAIRS(b, high[g]);
        for (int64_t i = 0; i < least(PAIR_LANES, n - g * PAIR_LANES); i++)
            to[g * PAIR_LANES + i] += (int64_t)b[i] * (1 << LOWER_BITS) + a[i];
    }
}

/* The lower parts of two values in one word, and the upper ones. */
static inline int32_t lower_parts(value_t first, value_t second)
{
    const uint32_t mask = (1 << LOWER_BITS) - 1;
    return (int32_t)(((uint32_t)first & mask) | ((uint32_t)second & mask) << 16);
}

static inline int32_t upper_parts(value_t first, value_t second)
{
    const uint32_t up = (uint32_t)(first >> LOWER_BITS) & 0xffff;
    return (int32_t)(up | (uint32_t)(second >> LOWER_BITS) << 16);
}

/* Of all values, in pairs; with the last one of an odd number goes a zero. */
static inline void split_values(const value_t *restrict x, int64_t rows, int32_t *restrict lower,
                                int32_t *restrict upper)
{
    for (int64_t p = 0; p < rows / 2; p++) {
        lower[p] = lower_parts(x[2 * p], x[2 * p + 1]);
        upper[p] = upper_parts(x[2 * p], x[2 * p + 1]);
    }
    if (rows & 1) {
        lower[rows / 2] = lower_parts(x[rows - 1], 0);
        upper[rows / 2] = upper_parts(x[rows - 1], 0);
    }
}

/* to = or += W x. */
static void mac_pairs(const context_t *context, const instruction_t *in, accumulator_t *to,
                      int clear)
{
    enum { STEP = PAIR_GROUPS * PAIR_LANES };
    const value_t *x = made_in(context, in, FRONT_SOURCE)->value + in->source;
    const int64_t length = in->length;
    const int64_t stride = (length + PAIR_PADDING - 1) / PAIR_PADDING * PAIR_PADDING;
    int32_t lower[PAIRS], upper[PAIRS];
    if (clear)
        clear_words(to, length);
    for (int64_t first = 0; first < in->rows; first += 2 * PAIRS) {
        const int64_t rows = least(2 * PAIRS, in->rows - first), pairs = (rows + 1) / 2;
        const weight_t *w = weights_of(context, in) + first / 2 * stride;
        split_values(x + first, rows, lower, upper);
        int64_t i = 0;
        for (; i + STEP <= length; i += STEP)
            add_pairs(to + i, STEP, w + i, stride, pairs, lower, upper, PAIR_GROUPS);
        for (; i < length; i += PAIR_LANES)
            add_pairs(to + i, length - i, w + i, stride, pairs, lower, upper, 1);
    }
}
