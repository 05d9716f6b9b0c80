// Adam on flat vectors.
#pragma once

#include "network.h"

namespace archgym {

// What Adam keeps of a network, in Python's memory: `correction` holds 1 - beta^t, one for all numbers if `uniform`, else
// each its own.
template <class T>
struct Trained {
    Shape shape;
    T *weight, *first, *second, *correction[2];
    int64_t uniform;
};

// Adam (arXiv 1412.6980) with a step count per number.
struct Adam {
    double rate, beta[2] = {0.9, 0.999}, epsilon = 1e-8;

    template <class T>
    void step(long size, const T* gradient, const Trained<T>& net) const {
        constexpr long W = Simd<T>::width;
        T *weight = net.weight, *first = net.first, *second = net.second, *const* correction = net.correction;
        const bool uniform = net.uniform;
        if (uniform)
            for (int k = 0; k < 2; k++) correction[k][0] = later(correction[k][0], k);
        const Vector<T> one = broadcast(correction[0][0]), two = broadcast(correction[1][0]);
        long i = 0;
        for (; i + W <= size; i += W) {
            const Vector<T> a = uniform ? one : advanced(correction[0] + i, 0);
            const Vector<T> b = uniform ? two : advanced(correction[1] + i, 1);
            Vector<T> w = load(weight + i), m = load(first + i), v = load(second + i);
            move<T, Vector<T>>(load(gradient + i), w, m, v, a, b);
            store<T>(weight + i, w), store<T>(first + i, m), store<T>(second + i, v);
        }
        for (; i < size; i++) {
            for (int k = 0; k < 2 && !uniform; k++) correction[k][i] = later(correction[k][i], k);
            const long c = uniform ? 0 : i;
            move<T, T>(gradient[i], weight[i], first[i], second[i], correction[0][c], correction[1][c]);
        }
    }

  private:
    template <class T>
    T later(T correction, int k) const {
        return correction + T(1 - beta[k]) * (T(1) - correction);  // 1 - beta^(t+1), without cancellation
    }

    template <class T>
    Vector<T> advanced(T* correction, int k) const {
        const Vector<T> now = load(correction), next = now + T(1 - beta[k]) * (T(1) - now);
        store<T>(correction, next);
        return next;
    }

    // On vectors and on single numbers.
    template <class T, class V>
    void move(V gradient, V& w, V& m, V& v, V correction_1, V correction_2) const {
        m += T(1 - beta[0]) * (gradient - m);
        v = v * T(beta[1]) + T(1 - beta[1]) * gradient * gradient;
        w -= T(rate) * m / ((square_root(v / correction_2) + T(epsilon)) * correction_1);
    }
};

}  // namespace archgym
