// A multilayer perceptron at its exact widths: forward and backward on a minibatch, with weights in one flat vector.
//
// Numbers of a layer lie unit by unit, (units, batch), so that every product reads and writes whole vectors along the
// batch. Columns beyond the batch, up to a whole vector, hold zeros or what follows from zeros, and earn no gradient.
// One class, in one file of over 300 lines, because the way back is read beside the way there.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "gemm.h"
#include "layout.h"

namespace archgym {

constexpr double NORM_EPSILON = 1e-5;  // torch.nn.functional.layer_norm's

template <class T>
class Buffer {
  public:
    explicit Buffer(long size = 0) {
        const size_t bytes = (size * sizeof(T) + 63) / 64 * 64;
        if (!size) return;
        data.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
        if (!data) throw std::bad_alloc();
        std::memset(data.get(), 0, bytes);
    }
    operator T*() const { return data.get(); }

  private:
    struct Free {
        void operator()(T* memory) const { std::free(memory); }
    };
    std::unique_ptr<T, Free> data;
};

// Numbers (units, batch) rounded to bfloat16, in pairs along either side.
struct Pairs {
    Buffer<Pair> units;    // (units / 2, batch)
    Buffer<Pair> columns;  // (units, batch / 2)
};

// What a pass through a network leaves behind for the way back; reused by all networks that fit. `P` is what products
// between hidden layers are made of: numbers like all others, or pairs of them rounded to bfloat16.
template <class T, class P = T>
class Pass {
    static constexpr long W = Simd<T>::width;
    static constexpr bool ROUNDED = !std::is_same_v<T, P>;

  public:
    struct Layer {
        Buffer<T> normed, active, output, deviation;  // (units, batch) but for deviation, (batch): 1 / standard deviation
        Pairs rounded;                                // the output
    };

    // For networks of up to so many layers, units and inputs (or outputs), on up to so many columns.
    Pass(long depth, long units, long inputs, long batch)
        : lead(padded<T>(whole_vectors<T>(batch))),
          flipped_lead(padded<T>(std::max(units, inputs))),
          pairs_lead(padded<uint16_t>(batch) / 2),
          layers(depth) {
        for (Layer& layer : layers) {
            layer.normed = Buffer<T>(units * lead);
            layer.active = Buffer<T>(units * lead);
            layer.output = Buffer<T>(units * lead);
            layer.deviation = Buffer<T>(lead);
            if (ROUNDED) layer.rounded = pairs(units);
        }
        for (Pairs& rounded : slopes)
            if (ROUNDED) rounded = pairs(units);
        if (ROUNDED) weight_pairs = Buffer<Pair>((units + 1) / 2 * whole_vectors<float>(units));
        ahead = Buffer<T>(units * lead);
        behind = Buffer<T>(units * lead);
        flipped = Buffer<T>(lead * flipped_lead);
        mean = Buffer<T>(lead);
        other = Buffer<T>(lead);
    }

    const long lead;  // length of a row, of inputs and values too

    // values (outputs, lead) of inputs x (inputs, lead), for `batch` columns. Products of few columns are half a vector
    // wide unless there is a way back, which reads whole vectors.
    void forward(const Network& net, const T* w, const T* x, long batch, T* values, bool back) {
        const long width = whole_vectors<T>(batch), used = back || batch * 2 > W ? width : W / 2;
        const long depth = long(net.layers.size());
        const T* input = x;
        for (long i = 0; i < depth; i++) {
            const Network::Layer& at = net.layers[i];
            Layer& layer = layers[i];
            const bool adds = net.skip && i > 0, relu = cuts(net), rounds = ROUNDED && i + 1 < depth;
            const bool at_once = rounds && relu && !adds && used == width;  // rounded as the product is written
            Result<T> sums{net.norm ? layer.normed : layer.active, lead, w + at.bias, relu};
            if (at_once) round_to(sums, layer.rounded, back);
            if (at_once && !back && !net.skip) sums.numbers = nullptr;
            add_up(at, i, w, input, used, sums);
            if (net.norm) normalise(at, w, layer, width);
            if (!relu) activate(net.activation, layer.active, at.units, width);
            if (adds) add(layer.active, input, std::min(at.units, at.inputs), at.units, layer.output, width);
            input = adds ? layer.output : layer.active;
            if (rounds && !at_once) round(input, at.units, width, back, layer.rounded);
        }
        const Network::Layer& head = net.head;
        const Factor<T> rows{w + head.weight, head.inputs, 1};
        multiply<T, T>(head.units, used, head.inputs, rows, input, lead, {values, lead, w + head.bias});
    }

    // The gradient of the weights, flat, from that of the values (outputs, lead), after a forward pass on x.
    void backward(const Network& net, const T* w, const T* x, long batch, const T* values, T* gradient) {
        const long width = whole_vectors<T>(batch), depth = long(net.layers.size());
        const bool relu = cuts(net) && !net.skip;  // slopes are cut, and rounded, as the product is written
        const auto output = [&](long i) -> const T* {
            return i < 0 ? x : (net.skip && i > 0 ? layers[i].output : layers[i].active);
        };
        T *above = ahead, *below = behind;  // gradients of the present layer's outputs, and of its inputs
        Pairs *rounded_above = &slopes[0], *rounded_below = &slopes[1];
        const auto result = [&](T* numbers, long i, Pairs& rounded) {  // of gradients of layer i's outputs
            Result<T> to{numbers, lead};
            if (relu) to.active = layers[i].active;
            if (ROUNDED && relu && i > 0) round_to(to, rounded, true);
            return to;
        };
        weights(net.head, values, output(depth - 1), width, gradient);
        multiply<T, T>(
            net.head.inputs, width, net.head.units, {w + net.head.weight, 1, net.head.inputs}, values, lead,
            result(above, depth - 1, *rounded_above)
        );
        for (long i = depth - 1; i >= 0; i--) {
            const Network::Layer& at = net.layers[i];
            Layer& layer = layers[i];
            const long kept = net.skip && i > 0 ? std::min(at.units, at.inputs) : 0;
            // What skips is added to the layer's inputs' gradient; `above` is overwritten on the way, so it goes first.
            for (long unit = 0; unit < kept; unit++) std::memcpy(below + unit * lead, above + unit * lead, width * sizeof(T));
            if (!relu) deactivate(net.activation, layer.active, above, at.units, width);
            if (net.norm) denormalise(at, w, layer, above, width, gradient);
            if (i == 0) {
                weights(at, above, x, width, gradient);
                break;
            }
            if (ROUNDED && !relu) round(above, at.units, width, true, *rounded_above);
            between(at, i, above, *rounded_above, output(i - 1), width, gradient);
            if (kept) {
                T* sum = layer.output;  // of no further use
                hand_down(at, w, above, *rounded_above, width, {sum, lead});
                add(sum, below, kept, at.inputs, below, width);
            } else {
                hand_down(at, w, above, *rounded_above, width, result(below, i - 1, *rounded_below));
            }
            std::swap(above, below);
            std::swap(rounded_above, rounded_below);
        }
    }

  private:
    const long flipped_lead, pairs_lead;
    std::vector<Layer> layers;
    Buffer<T> ahead, behind, flipped, mean, other;
    Pairs slopes[2];
    Buffer<Pair> weight_pairs;

    Pairs pairs(long units) const { return {Buffer<Pair>((units + 1) / 2 * lead), Buffer<Pair>(units * pairs_lead)}; }

    // Whether products give activations at once: those of a ReLU without LayerNorm.
    static bool cuts(const Network& net) { return net.activation == RELU && !net.norm; }

    // Where rounded numbers go; in pairs of columns only if there is a way back.
    void round_to(Result<T>& result, Pairs& to, bool back) const {
        result.across = to.units;
        result.along = back ? reinterpret_cast<uint16_t*>(static_cast<Pair*>(to.columns)) : nullptr;
        result.along_lead = pairs_lead * 2;
    }

    // The same, of numbers (units, lead) that lie there.
    void round(const T* from, long units, long width, bool back, Pairs& pairs) {
        if constexpr (ROUNDED) {
            Result<T> to{nullptr, lead};
            round_to(to, pairs, back);
            pair_across(units, width, from, lead, from + units * lead, to.across, lead);
            for (long unit = 0; unit < units && back; unit++)
                for (long j = 0; j < width; j += W)
                    store_rounded(to.along + unit * to.along_lead + j, load(from + unit * lead + j));
        }
    }

    // The sums of layer `i` from the output of the one below, rounded or not.
    void add_up(const Network::Layer& at, long i, const T* w, const T* input, long used, const Result<T>& sums) {
        if constexpr (ROUNDED)
            if (i > 0) {
                const long terms = (at.inputs + 1) / 2;
                pair_along(at.units, at.inputs, w + at.weight, weight_pairs);
                const Factor<Pair> rows{weight_pairs, terms, 1};
                return multiply<T, Pair>(at.units, used, terms, rows, layers[i - 1].rounded.units, lead, sums);
            }
        multiply<T, T>(at.units, used, at.inputs, {w + at.weight, at.inputs, 1}, input, lead, sums);
    }

    // From gradients of a layer's sums, rounded or not, to those of its inputs.
    void hand_down(
        const Network::Layer& at, const T* w, const T* sums, const Pairs& rounded, long width, const Result<T>& to
    ) {
        if constexpr (ROUNDED) {
            const long whole = whole_vectors<float>(at.inputs);
            pair_across(at.units, at.inputs, w + at.weight, at.inputs, w + at.bias, weight_pairs, whole);
            const Factor<Pair> columns{weight_pairs, 1, whole};
            multiply<T, Pair>(at.inputs, width, (at.units + 1) / 2, columns, rounded.units, lead, to);
        } else {
            multiply<T, T>(at.inputs, width, at.units, {w + at.weight, 1, at.inputs}, sums, lead, to);
        }
    }

    // Gradients of the weights and biases between hidden layers, the upper of which is `i`.
    void between(
        const Network::Layer& at, long i, const T* sums, const Pairs& rounded, const T* input, long width, T* gradient
    ) {
        if constexpr (ROUNDED) {
            Pair* inputs = reinterpret_cast<Pair*>(static_cast<T*>(flipped));
            transpose<Pair>(at.inputs, width / 2, layers[i - 1].rounded.columns, pairs_lead, inputs, flipped_lead);
            const Factor<Pair> rows{rounded.columns, pairs_lead, 1};
            const Result<T> to{gradient + at.weight, at.inputs};
            multiply<T, Pair>(at.units, at.inputs, width / 2, rows, inputs, flipped_lead, to);
            biases(at, sums, width, gradient);
        } else {
            weights(at, sums, input, width, gradient);
        }
    }

    // Gradients of a layer's weights and biases from those of its sums.
    void weights(const Network::Layer& at, const T* sums, const T* input, long width, T* gradient) {
        if (at.inputs * 2 <= W || at.units * 2 <= W) {
            multiply_rows<T>(at.units, at.inputs, width, sums, lead, input, lead, gradient + at.weight, at.inputs);
        } else {
            transpose<T>(at.inputs, width, input, lead, flipped, flipped_lead);
            const Result<T> to{gradient + at.weight, at.inputs};
            multiply<T, T>(at.units, at.inputs, width, {sums, lead, 1}, flipped, flipped_lead, to);
        }
        biases(at, sums, width, gradient);
    }

    void biases(const Network::Layer& at, const T* sums, long width, T* gradient) {
        long unit = 0;
        for (; unit + 4 <= at.units; unit += 4) {
            Vector<T> all[4] = {};
            for (long j = 0; j < width; j += W)
                for (int k = 0; k < 4; k++) all[k] += load(sums + (unit + k) * lead + j);
            sum_four<T>(all, gradient + at.bias + unit);
        }
        for (; unit < at.units; unit++) gradient[at.bias + unit] = total(sums + unit * lead, width);
    }

    static T total(const T* row, long width) {
        Vector<T> all = {};
        for (long j = 0; j < width; j += W) all += load(row + j);
        return sum<T>(all);
    }

    // to = y + x on the first `given` of `units` rows; the others of y stay as they are.
    void add(const T* y, const T* x, long given, long units, T* to, long width) {
        for (long unit = 0; unit < units; unit++)
            for (long j = unit * lead; j < unit * lead + width; j += W)
                store<T>(to + j, unit < given ? load(y + j) + load(x + j) : load(y + j));
    }

    void activate(Activation activation, T* rows, long units, long width) {
        for (long unit = 0; unit < units; unit++)
            for (long j = unit * lead; j < unit * lead + width; j += W) {
                const Vector<T> x = load(rows + j), zero = {};
                switch (activation) {
                    case RELU: store<T>(rows + j, x < zero ? zero : x); break;
                    case TANH: store<T>(rows + j, hyperbolic_tangent(x)); break;
                    case ELU: store<T>(rows + j, x > zero ? x : exponential_less_one(x)); break;
                }
            }
    }

    // Multiply gradients by the slopes, which follow from what came out.
    void deactivate(Activation activation, const T* active, T* gradients, long units, long width) {
        for (long unit = 0; unit < units; unit++)
            for (long j = unit * lead; j < unit * lead + width; j += W) {
                const Vector<T> y = load(active + j), g = load(gradients + j), zero = {};
                switch (activation) {
                    case RELU: store<T>(gradients + j, y > zero ? g : zero); break;
                    case TANH: store<T>(gradients + j, g - g * y * y); break;
                    case ELU: store<T>(gradients + j, y > zero ? g : g * (y + T(1))); break;
                }
            }
    }

    // LayerNorm over the units of every column: `normed` has the sums and gets them normalised, `active` gets the rest.
    void normalise(const Network::Layer& at, const T* w, Layer& layer, long width) {
        T *sums = layer.normed, *square = other;
        const T share = T(1) / T(at.units);
        std::fill(mean + 0, mean + width, T(0));
        std::fill(square, square + width, T(0));
        for (long unit = 0; unit < at.units; unit++)
            for (long j = 0; j < width; j++) mean[j] += sums[unit * lead + j];
        for (long j = 0; j < width; j++) mean[j] *= share;
        for (long unit = 0; unit < at.units; unit++)
            for (long j = 0; j < width; j++) {
                const T centred = sums[unit * lead + j] - mean[j];
                square[j] += centred * centred;
            }
        for (long j = 0; j < width; j++) layer.deviation[j] = T(1) / std::sqrt(square[j] * share + T(NORM_EPSILON));
        for (long unit = 0; unit < at.units; unit++) {
            const T gain = w[at.gain + unit], shift = w[at.shift + unit];
            T *row = sums + unit * lead, *to = layer.active + unit * lead;
            for (long j = 0; j < width; j++) {
                row[j] = (row[j] - mean[j]) * layer.deviation[j];
                to[j] = row[j] * gain + shift;
            }
        }
    }

    // From the gradients of what LayerNorm gave to those of its sums, in place.
    void denormalise(const Network::Layer& at, const T* w, const Layer& layer, T* gradients, long width, T* gradient) {
        T* along = other;
        const T share = T(1) / T(at.units);
        std::fill(mean + 0, mean + width, T(0));
        std::fill(along, along + width, T(0));
        for (long unit = 0; unit < at.units; unit++) {
            T* g = gradients + unit * lead;
            const T* normed = layer.normed + unit * lead;
            gradient[at.shift + unit] = total(g, width);
            Vector<T> all = {};
            for (long j = 0; j < width; j += W) all += load(g + j) * load(normed + j);
            gradient[at.gain + unit] = sum<T>(all);
            const T gain = w[at.gain + unit];
            for (long j = 0; j < width; j++) {
                g[j] *= gain;
                mean[j] += g[j];
                along[j] += g[j] * normed[j];
            }
        }
        for (long j = 0; j < width; j++) mean[j] *= share, along[j] *= share;
        for (long unit = 0; unit < at.units; unit++) {
            T* g = gradients + unit * lead;
            const T* normed = layer.normed + unit * lead;
            for (long j = 0; j < width; j++) g[j] = (g[j] - mean[j] - normed[j] * along[j]) * layer.deviation[j];
        }
    }
};

}  // namespace archgym
