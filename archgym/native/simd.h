// Vectors of the width that this build is compiled for, and the elementary functions of the activations on them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

namespace archgym {

template <class T>
struct Simd {
    typedef T type __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr long width = VECTOR_BYTES / sizeof(T);
};
template <class T>
using Vector = typename Simd<T>::type;

// Half of it, for few columns; on many processors two of these go as fast as one whole.
template <class T>
struct Half {
    typedef T type __attribute__((vector_size(VECTOR_BYTES / 2)));
};

template <class T, class V = Vector<T>>
inline V load(const T* from) {
    V value;
    std::memcpy(&value, from, sizeof value);  // compiles to one unaligned load
    return value;
}

template <class T>
inline void store(T* to, Vector<T> value) {
    std::memcpy(to, &value, sizeof value);
}

template <class T, class V = Vector<T>>
inline V broadcast(T value) {
    return V{} + value;
}

template <class T>
inline T sum(Vector<T> value) {
    T part[Simd<T>::width];
    std::memcpy(part, &value, sizeof value);
    for (long half = Simd<T>::width / 2; half; half /= 2)  // in pairs: in turn, every addition waits for the last
        for (long i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}

// Lane by lane, what lane INDEX of the joint a and b would be after moving by `FROM`: in groups of `GROUP` lanes, every
// second group of each.
template <class T, long GROUP, long FROM, long... INDEX>
inline Vector<T> every_second(Vector<T> a, Vector<T> b, std::integer_sequence<long, INDEX...>) {
    return __builtin_shufflevector(a, b, (INDEX / GROUP * 2 * GROUP + FROM + INDEX % GROUP)...);
}

template <class T, long HALF, long... INDEX>
inline Vector<T> swapped(Vector<T> a, std::integer_sequence<long, INDEX...>) {
    return __builtin_shufflevector(a, a, (INDEX ^ HALF)...);
}

template <class T, long HALF>
inline Vector<T> folded(Vector<T> all) {
    if constexpr (HALF == 0)
        return all;
    else
        return folded<T, HALF / 2>(all + swapped<T, HALF>(all, std::make_integer_sequence<long, Simd<T>::width>{}));
}

// The sums of four vectors, each to the bit what `sum` gives, in less time than four of those take.
template <class T>
inline void sum_four(const Vector<T> (&values)[4], T* to) {
    constexpr long W = Simd<T>::width;
    if constexpr (W < 4) {
        for (int k = 0; k < 4; k++) to[k] = sum<T>(values[k]);
    } else {
        constexpr auto lanes = std::make_integer_sequence<long, W>{};
        Vector<T> pair[2];  // halves: first and second of two
        for (int k = 0; k < 2; k++)
            pair[k] = every_second<T, W / 2, 0>(values[2 * k], values[2 * k + 1], lanes) +
                      every_second<T, W / 2, W / 2>(values[2 * k], values[2 * k + 1], lanes);
        const Vector<T> quarters = every_second<T, W / 4, 0>(pair[0], pair[1], lanes) +
                                   every_second<T, W / 4, W / 4>(pair[0], pair[1], lanes);
        const Vector<T> all = folded<T, W / 8>(quarters);
        for (int k = 0; k < 4; k++) to[k] = all[k * (W / 4)];
    }
}

inline float square_root(float x) { return std::sqrt(x); }

inline double square_root(double x) { return std::sqrt(x); }

template <class V>
inline V square_root(V x) {
    for (size_t i = 0; i < sizeof(V) / sizeof(x[0]); i++) x[i] = std::sqrt(x[i]);  // -fno-math-errno: one instruction
    return x;
}

// exp(x) in single precision: x = n ln 2 + r with |r| <= ln 2 / 2, Taylor's polynomial of degree 7 in r (error below
// 6e-9 relative), times 2^n. Arguments are limited to where the result is a normal number.
inline Vector<float> exponential(Vector<float> x) {
    typedef int32_t Integers __attribute__((vector_size(VECTOR_BYTES)));
    const Vector<float> lowest = broadcast(-87.0f), highest = broadcast(88.0f);
    x = x < lowest ? lowest : x;
    x = x > highest ? highest : x;
    const Vector<float> scaled = x * 1.44269504f;
    const Integers n = __builtin_convertvector(scaled + (scaled < 0.0f ? broadcast(-0.5f) : broadcast(0.5f)), Integers);
    const Vector<float> whole = __builtin_convertvector(n, Vector<float>);
    const Vector<float> r = (x - whole * 0.693145752f) - whole * 1.42860677e-6f;  // ln 2 in two parts
    Vector<float> p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const Integers power = (n + 127) << 23;
    Vector<float> scale;
    std::memcpy(&scale, &power, sizeof scale);
    return p * scale;
}

// tanh(x) = 1 - 2 / (exp(2 x) + 1); near 0, where that cancels, the first terms of its series.
inline Vector<float> hyperbolic_tangent(Vector<float> x) {
    const Vector<float> limit = broadcast(9.0f), bounded = x > limit ? limit : (x < -limit ? -limit : x);
    const Vector<float> far = 1.0f - 2.0f / (exponential(bounded * 2.0f) + 1.0f);
    const Vector<float> square = x * x;
    Vector<float> p = square * (-1382.0f / 155925) + 62.0f / 2835;
    p = p * square - 17.0f / 315;
    p = p * square + 2.0f / 15;
    p = p * square - 1.0f / 3;
    const Vector<float> near = x + x * square * p;
    return square < 0.0625f ? near : (x == x ? far : x);  // not a number stays so
}

inline Vector<float> exponential_less_one(Vector<float> x) {
    const Vector<float> far = exponential(x) - 1.0f;
    Vector<float> p = x * (1.0f / 120) + 1.0f / 24;
    p = p * x + 1.0f / 6;
    p = p * x + 0.5f;
    const Vector<float> near = x + x * x * p, square = x * x;
    return square < 0.01f ? near : (x == x ? far : x);
}

inline Vector<double> hyperbolic_tangent(Vector<double> x) {
    for (long i = 0; i < Simd<double>::width; i++) x[i] = std::tanh(x[i]);
    return x;
}

inline Vector<double> exponential_less_one(Vector<double> x) {
    for (long i = 0; i < Simd<double>::width; i++) x[i] = std::expm1(x[i]);
    return x;
}

}  // namespace archgym
