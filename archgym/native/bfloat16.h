// Numbers rounded to bfloat16, the upper half of a float, and what products of matrices make of them.
//
// A product takes them in pairs along its sum: the earlier term in the lower half of a word. The processor's
// instruction for such pairs rounds twice, the upper half's product added first; where there is no such instruction the
// same is done in single precision, so that the result is the same to the bit (but for what is smaller than 1e-38).
#pragma once

#include "simd.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace archgym {

typedef uint32_t Pair;

// total + a b, number by number; of pairs: both products.
template <class V>
inline V accumulate(V total, V a, V b) {
    return total + a * b;
}

#if defined(__AVX512BF16__)
inline Vector<float> accumulate(Vector<float> total, Vector<Pair> a, Vector<Pair> b) {
    return (Vector<float>)_mm512_dpbf16_ps((__m512)total, (__m512bh)a, (__m512bh)b);
}

inline Half<float>::type accumulate(Half<float>::type total, Half<Pair>::type a, Half<Pair>::type b) {
    return (Half<float>::type)_mm256_dpbf16_ps((__m256)total, (__m256bh)a, (__m256bh)b);
}
#else
template <class V, class P>
inline V accumulate(V total, P a, P b) {
    const P mask = P{} + 0xffff0000u;
    total += (V)(a & mask) * (V)(b & mask);
    return total + (V)(a << 16) * (V)(b << 16);
}
#endif

// The bits of a float rounded to the nearest bfloat16, ties to even, in the upper half; what lies below is to be cut.
template <class P>
inline P rounded_up(P bits) {
    return bits + 0x7fffu + (bits >> 16 & 1u);
}

inline uint16_t rounded(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return uint16_t(x == x ? rounded_up(bits) >> 16 : bits >> 16 | 0x40);  // not a number stays so
}

// Words of the numbers of `low` and `high`.
inline Vector<Pair> rounded(Vector<float> low, Vector<float> high) {
#if defined(__AVX512BF16__)
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    Vector<Pair> order;  // low's first, high's first, low's second, ...
    for (int i = 0; i < Simd<Pair>::width; i++) order[i] = Pair(i) | Pair(i + Simd<Pair>::width) << 16;
    return (Vector<Pair>)_mm512_permutexvar_epi16((__m512i)order, halves);
#else
    const Vector<Pair> a = (Vector<Pair>)low, b = (Vector<Pair>)high;
    const Vector<Pair> lower = low == low ? rounded_up(a) >> 16 : a >> 16 | 0x40u;
    const Vector<Pair> upper = high == high ? rounded_up(b) & 0xffff0000u : (b & 0xffff0000u) | 0x400000u;
    return lower | upper;
#endif
}

// One vector, number by number.
inline void store_rounded(uint16_t* to, Vector<float> x) {
#if defined(__AVX512BF16__)
    const __m256bh halves = _mm512_cvtneps_pbh((__m512)x);
    std::memcpy(to, &halves, sizeof halves);
#else
    typedef uint16_t Halves __attribute__((vector_size(VECTOR_BYTES / 2)));
    const Vector<Pair> bits = (Vector<Pair>)x;
    const Halves halves = __builtin_convertvector(x == x ? rounded_up(bits) >> 16 : bits >> 16 | 0x40u, Halves);
    std::memcpy(to, &halves, sizeof halves);
#endif
}

// Rows of numbers that follow each other, as pairs within each row, (rows, (columns + 1) / 2): an odd one's last is zero.
inline void pair_along(long rows, long columns, const float* from, Pair* to) {
    constexpr long W = Simd<float>::width;
    if (columns % 2 == 0) columns *= rows, rows = 1;
    for (long i = 0; i < rows; i++) {
        const float* row = from + i * columns;
        uint16_t* out = reinterpret_cast<uint16_t*>(to + i * ((columns + 1) / 2));
        long j = 0;
        for (; j + W <= columns; j += W) store_rounded(out + j, load(row + j));
        for (; j < columns; j++) out[j] = rounded(row[j]);
        if (columns % 2) out[columns] = 0;
    }
}

// Rows of numbers, `lead` apart, in pairs of rows, ((rows + 1) / 2, columns): an odd last one's partner is zero. Whole
// vectors are written; what lies from `end` on is not read.
inline void pair_across(long rows, long columns, const float* from, long lead, const float* end, Pair* to, long ldt) {
    constexpr long W = Simd<float>::width;
    const auto read = [&](const float* at, long count) {
        if (at + W <= end) return load(at);
        Vector<float> value = {};
        for (long k = 0; k < count; k++) value[k] = at[k];
        return value;
    };
    for (long i = 0; i < rows; i += 2)
        for (long j = 0; j < columns; j += W) {
            const float* at = from + i * lead + j;
            const long count = columns - j < W ? columns - j : W;
            const Vector<float> second = i + 1 < rows ? read(at + lead, count) : Vector<float>{};
            store<Pair>(to + i / 2 * ldt + j, rounded(read(at, count), second));
        }
}

}  // namespace archgym
