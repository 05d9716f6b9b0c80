// The working memory that the learners of a window share, one after the other: a minibatch, the values of all actions and
// their gradients. It stays in the cache while the networks come and go.
#pragma once

#include "adam.h"

namespace archgym {

template <class T, class P = T>
class Desk {
  public:
    // For all the networks of `learners`, on up to so many columns.
    template <class Learners>
    Desk(const Learners& learners, long inputs, long outputs, long batch)
        : inputs(inputs),
          outputs(outputs),
          pass(
              most(learners, [](const Network& net) { return long(net.layers.size()); }),
              most(learners, [](const Network& net) { return net.widest(); }), inputs, batch
          ),
          x(inputs * pass.lead),
          values(outputs * pass.lead),
          slopes(outputs * pass.lead),
          gradient(most(learners, [](const Network& net) { return net.size; })) {}

    // Put an observation into a column.
    void column(long to, const float* from) {
        for (long i = 0; i < inputs; i++) x[i * pass.lead + to] = T(from[i]);
    }

    // The values of the first columns; `back`: a backward pass follows.
    void forward(const Network& net, const T* weight, long columns, bool back = false) {
        for (long i = 0; i < inputs; i++)  // up to a whole vector
            for (long j = columns; j < whole_vectors<T>(columns); j++) x[i * pass.lead + j] = 0;
        pass.forward(net, weight, x, columns, values, back);
    }

    // From slopes to `gradient`, after a forward pass on as many columns.
    void backward(const Network& net, const T* weight, long columns) {
        pass.backward(net, weight, x, columns, slopes, gradient);
    }

    T value(long action, long column) const { return values[action * pass.lead + column]; }

    T& slope(long action, long column) { return slopes[action * pass.lead + column]; }

    void clear_slopes() { std::fill(slopes + 0, slopes + outputs * pass.lead, T(0)); }

    long highest(long column) const {
        long found = 0;
        for (long a = 1; a < outputs; a++)
            if (value(a, column) > value(found, column)) found = a;
        return found;
    }

  private:
    const long inputs, outputs;
    Pass<T, P> pass;
    Buffer<T> x, values, slopes;

    template <class Learners, class Measure>
    static long most(const Learners& learners, Measure measure) {
        long found = 1;
        for (const auto& learner : learners) found = std::max(found, measure(learner.net));
        return found;
    }

  public:
    Buffer<T> gradient;  // flat, of the weights
};

}  // namespace archgym
