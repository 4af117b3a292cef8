/* A few rows of weights, each times its value: follows the generated kernels in one source file. */
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* What is in `from`, and up to four rows, each times its value, into `sum` or, if `makes`, divided by
 * 2**shift, less `middle`, into `input`; then it returns the bits that are set in any of the sums.
 * `rows` and `makes` are constants at every call. */
static inline uint64_t combine(const accumulator_t *from, accumulator_t *sum,
                               int32_t *restrict input, const weight_t *restrict w,
                               int64_t stride, const value_t *x, int64_t n, int64_t shift,
                               uint32_t middle, const int rows, const int makes)
{
    const weight_t *w1 = w + stride, *w2 = w1 + stride, *w3 = w2 + stride;
    const int64_t x0 = rows > 0 ? x[0] : 0, x1 = rows > 1 ? x[1] : 0;
    const int64_t x2 = rows > 2 ? x[2] : 0, x3 = rows > 3 ? x[3] : 0;
    uint64_t seen = 0;
    int64_t i = 0;
#if defined(__AVX512F__)
#define WEIGHTS(w) _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)((w) + i)))
    const __m512i v0 = _mm512_set1_epi64(x0), v1 = _mm512_set1_epi64(x1);
    const __m512i v2 = _mm512_set1_epi64(x2), v3 = _mm512_set1_epi64(x3);
    const __m128i by = _mm_cvtsi64_si128(shift);
    const __m256i less = _mm256_set1_epi32((int32_t)middle);
    __m512i all = _mm512_setzero_si512();
    for (; i + 8 <= n; i += 8) {
        __m512i s = _mm512_loadu_si512(from + i);
        if (rows > 0)
            s = _mm512_add_epi64(s, _mm512_mul_epi32(WEIGHTS(w), v0));
        if (rows > 1)
            s = _mm512_add_epi64(s, _mm512_mul_epi32(WEIGHTS(w1), v1));
        if (rows > 2)
            s = _mm512_add_epi64(s, _mm512_mul_epi32(WEIGHTS(w2), v2));
        if (rows > 3)
            s = _mm512_add_epi64(s, _mm512_mul_epi32(WEIGHTS(w3), v3));
        if (makes) {
            all = _mm512_or_si512(all, s);
            const __m256i low = _mm512_cvtepi64_epi32(_mm512_srl_epi64(s, by));
            _mm256_storeu_si256((__m256i *)(input + i), _mm256_sub_epi32(low, less));
        } else
            _mm512_storeu_si512(sum + i, s);
    }
    if (makes)
        seen = (uint64_t)_mm512_reduce_or_epi64(all);
#undef WEIGHTS
#elif defined(__AVX2__)
#define WEIGHTS(w) _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)((w) + i)))
    const __m256i v0 = _mm256_set1_epi64x(x0), v1 = _mm256_set1_epi64x(x1);
    const __m256i v2 = _mm256_set1_epi64x(x2), v3 = _mm256_set1_epi64x(x3);
    const __m128i by = _mm_cvtsi64_si128(shift), less = _mm_set1_epi32((int32_t)middle);
    const __m256i lower = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    __m256i all = _mm256_setzero_si256();
    for (; i + 4 <= n; i += 4) {
        __m256i s = _mm256_loadu_si256((const __m256i *)(from + i));
        if (rows > 0)
            s = _mm256_add_epi64(s, _mm256_mul_epi32(WEIGHTS(w), v0));
        if (rows > 1)
            s = _mm256_add_epi64(s, _mm256_mul_epi32(WEIGHTS(w1), v1));
        if (rows > 2)
            s = _mm256_add_epi64(s, _mm256_mul_epi32(WEIGHTS(w2), v2));
        if (rows > 3)
            s = _mm256_add_epi64(s, _mm256_mul_epi32(WEIGHTS(w3), v3));
        if (makes) {
            all = _mm256_or_si256(all, s);
            const __m256i low = _mm256_permutevar8x32_epi32(_mm256_srl_epi64(s, by), lower);
            const __m128i made = _mm_sub_epi32(_mm256_castsi256_si128(low), less);
            _mm_storeu_si128((__m128i *)(input + i), made);
        } else
            _mm256_storeu_si256((__m256i *)(sum + i), s);
    }
    if (makes) {
        const __m128i half =
            _mm_or_si128(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
        seen = (uint64_t)_mm_cvtsi128_si64(_mm_or_si128(half, _mm_unpackhi_epi64(half, half)));
    }
#undef WEIGHTS
#endif
    for (; i < n; i++) {
        int64_t s = from[i];
        if (rows > 0)
            s += x0 * w[i];
        if (rows > 1)
            s += x1 * w1[i];
        if (rows > 2)
            s += x2 * w2[i];
        if (rows > 3)
            s += x3 * w3[i];
        if (makes) {
            seen |= (uint64_t)s;
            input[i] = (int32_t)((uint32_t)((uint64_t)s >> shift) - middle);
        } else
            sum[i] = s;
    }
    return seen;
}

/* sum = from + up to four rows, each times its value. */
static inline void add_rows(const accumulator_t *from, accumulator_t *sum, const weight_t *w,
                            int64_t stride, const value_t *x, int64_t n, int64_t rows)
{
    switch (rows) {
    case 1: combine(from, sum, 0, w, stride, x, n, 0, 0, 1, 0); break;
    case 2: combine(from, sum, 0, w, stride, x, n, 0, 0, 2, 0); break;
    case 3: combine(from, sum, 0, w, stride, x, n, 0, 0, 3, 0); break;
    default: combine(from, sum, 0, w, stride, x, n, 0, 0, 4, 0);
    }
}
