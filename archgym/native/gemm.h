// Products of small matrices. Every number of a product is summed in one order, first to last term, whatever the size of
// the tile it falls into: a column's result does not depend on which columns stand beside it.
#pragma once

#include <type_traits>

#include "bfloat16.h"

namespace archgym {

// Accumulators of a tile live in registers: rows x columns of them, with a row of the second factor beside.
#if VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int TILE_ROWS = 8, TILE_VECTORS = 3;
#elif VECTOR_BYTES == 32
constexpr int TILE_ROWS = 4, TILE_VECTORS = 3;
#else
constexpr int TILE_ROWS = 4, TILE_VECTORS = 2;
#endif

// Length of a row in memory: whole cache lines, and an odd number of them, so that rows below each other do not compete
// for the same few places of the cache.
template <class T>
constexpr long padded(long columns) {
    const long lines = (columns * long(sizeof(T)) + 63) / 64;
    return (lines | 1) * 64 / long(sizeof(T));
}

template <class T>
constexpr long whole_vectors(long columns) {
    return (columns + Simd<T>::width - 1) / Simd<T>::width * Simd<T>::width;
}

// The first factor, read number by number: entry (i, p) lies at data[i * rows + p * columns].
template <class T>
struct Factor {
    const T* data;
    long rows, columns;
};

// Where a product goes, and what is done with its numbers on the way, while they are in registers.
template <class T>
struct Result {
    T* numbers;  // (rows, lead); null: not wanted
    long lead;
    const T* bias = nullptr;    // (rows), added
    bool relu = false;          // negative numbers become 0
    const T* active = nullptr;  // (rows, lead): numbers become 0 where this is not above 0
    // Single precision in whole vectors only: the numbers rounded, in pairs of rows (rows / 2, lead), and row by row, so
    // many apart.
    Pair* across = nullptr;
    uint16_t* along = nullptr;
    long along_lead = 0;

    Result at(long row, long column) const {
        const long offset = row * lead + column;
        return {
            numbers ? numbers + offset : nullptr,
            lead,
            bias ? bias + row : nullptr,
            relu,
            active ? active + offset : nullptr,
            across ? across + row / 2 * lead + column : nullptr,
            along ? along + row * along_lead + column : nullptr,
            along_lead,
        };
    }
};

// Factors are of type `P`: numbers like the result, or pairs of rounded ones, each of which counts as one term. `Size` is
// `Simd` or `Half`, the length of vectors; `last` says how many numbers of the last one are kept.
template <class T, class P, template <class> class Size, int ROWS, int VECTORS>
inline __attribute__((always_inline)) void tile(
    long terms, Factor<P> a, const P* b, long ldb, const Result<T> c, long last
) {
    typedef typename Size<T>::type V;
    typedef typename Size<P>::type F;
    constexpr long W = sizeof(V) / sizeof(T);
    V total[ROWS][VECTORS];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < VECTORS; j++) total[i][j] = broadcast<T, V>(c.bias ? c.bias[i] : T(0));
    for (long p = 0; p < terms; p++) {
        F row[VECTORS];
        for (int j = 0; j < VECTORS; j++) row[j] = load<P, F>(b + p * ldb + j * W);
        for (int i = 0; i < ROWS; i++) {
            const F factor = broadcast<P, F>(a.data[i * a.rows + p * a.columns]);
            for (int j = 0; j < VECTORS; j++) total[i][j] = accumulate(total[i][j], factor, row[j]);
        }
    }
    const V zero = {};
    if (c.relu)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < VECTORS; j++) total[i][j] = total[i][j] < zero ? zero : total[i][j];
    if (c.active)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < VECTORS; j++)
                total[i][j] = load<T, V>(c.active + i * c.lead + j * W) > zero ? total[i][j] : zero;
    if (c.numbers)
        for (int i = 0; i < ROWS; i++) {
            for (int j = 0; j < VECTORS - 1; j++) std::memcpy(c.numbers + i * c.lead + j * W, &total[i][j], sizeof(V));
            T* end = c.numbers + i * c.lead + (VECTORS - 1) * W;
            if (last == W)
                std::memcpy(end, &total[i][VECTORS - 1], sizeof(V));
            else
                std::memcpy(end, &total[i][VECTORS - 1], last * sizeof(T));
        }
    if constexpr (std::is_same_v<V, Vector<float>>) {
        if (c.across)
            for (int i = 0; i < ROWS; i += 2)
                for (int j = 0; j < VECTORS; j++)
                    store<Pair>(
                        c.across + i / 2 * c.lead + j * W, rounded(total[i][j], i + 1 < ROWS ? total[i + 1][j] : zero)
                    );
        if (c.along)
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < VECTORS; j++) store_rounded(c.along + i * c.along_lead + j * W, total[i][j]);
    }
}

template <class T, class P, template <class> class Size, int VECTORS>
void columns(long rows, long terms, Factor<P> a, const P* b, long ldb, const Result<T>& c, long last) {
    long i = 0;
    const auto at = [&](long row) { return Factor<P>{a.data + row * a.rows, a.rows, a.columns}; };
    for (; i + TILE_ROWS <= rows; i += TILE_ROWS)
        tile<T, P, Size, TILE_ROWS, VECTORS>(terms, at(i), b, ldb, c.at(i, 0), last);
    if constexpr (TILE_ROWS > 4)
        for (; i + 4 <= rows; i += 4) tile<T, P, Size, 4, VECTORS>(terms, at(i), b, ldb, c.at(i, 0), last);
    for (; i + 2 <= rows; i += 2) tile<T, P, Size, 2, VECTORS>(terms, at(i), b, ldb, c.at(i, 0), last);
    for (; i < rows; i++) tile<T, P, Size, 1, VECTORS>(terms, at(i), b, ldb, c.at(i, 0), last);
}

// c (rows x width) = bias + a (rows x terms) b (terms x width). Rows of b are read in whole vectors.
template <class T, class P>
void multiply(long rows, long width, long terms, Factor<P> a, const P* b, long ldb, const Result<T>& c) {
    constexpr long W = Simd<T>::width;
    if (width <= W / 2) return columns<T, P, Half, 1>(rows, terms, a, b, ldb, c, width);
    for (long j = 0; j < width;) {
        const long left = (width - j + W - 1) / W;
        // Four vectors are two and two, not three and one: a tile of one vector keeps the adders waiting.
        const long take = left >= TILE_VECTORS && left != TILE_VECTORS + 1 ? TILE_VECTORS : (left > 2 ? 2 : left);
        const long last = j + take * W <= width ? W : width - (j + (take - 1) * W);
        if constexpr (TILE_VECTORS > 2)
            if (take == 3) columns<T, P, Simd, 3>(rows, terms, a, b + j, ldb, c.at(0, j), last);
        if (take == 2) columns<T, P, Simd, 2>(rows, terms, a, b + j, ldb, c.at(0, j), last);
        if (take == 1) columns<T, P, Simd, 1>(rows, terms, a, b + j, ldb, c.at(0, j), last);
        j += take * W;
    }
}

// c (rows x width) = a b' with both factors read along their rows, of `terms` numbers in whole vectors: for products
// that are so small that transposing b would cost more.
template <class T>
void multiply_rows(long rows, long width, long terms, const T* a, long lda, const T* b, long ldb, T* c, long ldc) {
    constexpr long W = Simd<T>::width;
    for (long i = 0; i < rows; i++) {
        long j = 0;
        for (; j + 4 <= width; j += 4) {
            Vector<T> total[4] = {};
            for (long p = 0; p < terms; p += W)
                for (int k = 0; k < 4; k++) total[k] += load(a + i * lda + p) * load(b + (j + k) * ldb + p);
            sum_four<T>(total, c + i * ldc + j);
        }
        for (; j < width; j++) {
            Vector<T> total = {};
            for (long p = 0; p < terms; p += W) total += load(a + i * lda + p) * load(b + j * ldb + p);
            c[i * ldc + j] = sum<T>(total);
        }
    }
}

// The numbers of a and b in turn, from `FROM` on.
template <class T, long FROM, long... INDEX>
inline Vector<T> interleave(Vector<T> a, Vector<T> b, std::integer_sequence<long, INDEX...>) {
    constexpr long W = Simd<T>::width;
    return __builtin_shufflevector(a, b, (INDEX % 2 * W + FROM + INDEX / 2)...);
}

// to (columns x rows) = from' (rows x columns), both in whole vectors: `rows` and `columns` are rounded up.
template <class T>
void transpose(long rows, long columns, const T* from, long ldf, T* to, long ldt) {
    constexpr long W = Simd<T>::width;
    constexpr auto lanes = std::make_integer_sequence<long, W>{};
    for (long i = 0; i < rows; i += W)
        for (long j = 0; j < columns; j += W) {
            Vector<T> block[W], mixed[W];
            for (long r = 0; r < W; r++) block[r] = i + r < rows ? load(from + (i + r) * ldf + j) : Vector<T>{};
            for (long stage = 1; stage < W; stage *= 2) {
                for (long r = 0; r < W / 2; r++) {
                    mixed[2 * r] = interleave<T, 0>(block[r], block[r + W / 2], lanes);
                    mixed[2 * r + 1] = interleave<T, W / 2>(block[r], block[r + W / 2], lanes);
                }
                for (long r = 0; r < W; r++) block[r] = mixed[r];
            }
            for (long r = 0; r < W; r++) store(to + (j + r) * ldt + i, block[r]);
        }
}

}  // namespace archgym
