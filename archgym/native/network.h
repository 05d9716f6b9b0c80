// A multilayer perceptron at its exact widths: forward and backward on a minibatch, with weights in one flat vector.
//
// Numbers of a layer lie unit by unit, (units, batch), so that every product reads and writes whole vectors along the
// batch. Columns beyond the batch, up to a whole vector, hold zeros or what follows from zeros, and earn no gradient.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "gemm.h"

namespace archgym {

enum Activation : int64_t { RELU = 0, TANH = 1, ELU = 2 };

constexpr double NORM_EPSILON = 1e-5;  // torch.nn.functional.layer_norm's

template <class T>
class Buffer {
  public:
    explicit Buffer(long size = 0) {
        const size_t bytes = (size * sizeof(T) + 63) / 64 * 64;
        if (size) data.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
        if (size) std::memset(data.get(), 0, bytes);
    }
    operator T*() const { return data.get(); }

  private:
    struct Free {
        void operator()(T* memory) const { std::free(memory); }
    };
    std::unique_ptr<T, Free> data;
};

// A network as Python describes it.
struct Shape {
    int64_t depth;
    const int64_t* widths;
    int64_t activation, norm, skip;
};

// Where the tensors of a network lie in its flat vector: the order of `archgym.supernets.mlp.crop`.
struct Network {
    struct Layer {
        long inputs, units, weight, bias, gain, shift;
    };
    std::vector<Layer> layers;
    Layer head;
    Activation activation;
    bool norm, skip;
    long size = 0;

    Network(long inputs, long outputs, const Shape& shape)
        : activation(Activation(shape.activation)), norm(shape.norm), skip(shape.skip) {
        long fan_in = inputs;
        for (long i = 0; i < shape.depth; i++) {
            layers.push_back(place(fan_in, shape.widths[i], norm));
            fan_in = shape.widths[i];
        }
        head = place(fan_in, outputs, false);
    }

    long widest() const {
        long most = 0;
        for (const Layer& layer : layers) most = std::max(most, layer.units);
        return most;
    }

  private:
    Layer place(long inputs, long units, bool norm) {
        Layer layer{inputs, units, size, size + units * inputs, 0, 0};
        size = layer.bias + units;
        if (norm) {
            layer.gain = size;
            layer.shift = size + units;
            size += 2 * units;
        }
        return layer;
    }
};

// What a pass through a network leaves behind for the way back; reused by all networks that fit.
template <class T>
class Pass {
    static constexpr long W = Simd<T>::width;

  public:
    struct Layer {
        Buffer<T> normed, active, output, deviation;  // (units, batch) but for deviation, (batch): 1 / standard deviation
    };

    // For networks of up to so many layers, units and inputs (or outputs), on up to so many columns.
    Pass(long depth, long units, long inputs, long batch)
        : lead(padded<T>(whole_vectors<T>(batch))), flipped_lead(padded<T>(std::max(units, inputs))), layers(depth) {
        for (Layer& layer : layers) {
            layer.normed = Buffer<T>(units * lead);
            layer.active = Buffer<T>(units * lead);
            layer.output = Buffer<T>(units * lead);
            layer.deviation = Buffer<T>(lead);
        }
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
        const T* input = x;
        for (size_t i = 0; i < net.layers.size(); i++) {
            const Network::Layer& at = net.layers[i];
            Layer& layer = layers[i];
            const bool adds = net.skip && i > 0;
            T* sums = net.norm ? layer.normed : layer.active;
            multiply<T>(
                at.units, used, at.inputs, {w + at.weight, at.inputs, 1}, input, lead, w + at.bias, sums, lead
            );
            if (net.norm) normalise(at, w, layer, width);
            activate(net.activation, layer.active, at.units, width);
            if (adds) add(layer.active, input, std::min(at.units, at.inputs), at.units, layer.output, width);
            input = adds ? layer.output : layer.active;
        }
        const Network::Layer& head = net.head;
        multiply<T>(
            head.units, used, head.inputs, {w + head.weight, head.inputs, 1}, input, lead, w + head.bias, values, lead
        );
    }

    // The gradient of the weights, flat, from that of the values (outputs, lead), after a forward pass on x.
    void backward(const Network& net, const T* w, const T* x, long batch, const T* values, T* gradient) {
        const long width = whole_vectors<T>(batch), depth = long(net.layers.size());
        const auto output = [&](long i) -> const T* {
            return i < 0 ? x : (net.skip && i > 0 ? layers[i].output : layers[i].active);
        };
        weights(net.head, values, output(depth - 1), width, gradient);
        T *above = ahead, *below = behind;  // gradients of the present layer's outputs, and of its inputs
        multiply<T>(
            net.head.inputs, width, net.head.units, {w + net.head.weight, 1, net.head.inputs}, values, lead, nullptr,
            above, lead
        );
        for (long i = depth - 1; i >= 0; i--) {
            const Network::Layer& at = net.layers[i];
            Layer& layer = layers[i];
            const long kept = net.skip && i > 0 ? std::min(at.units, at.inputs) : 0;
            // What skips is added to the layer's inputs' gradient; `above` is overwritten on the way, so it goes first.
            for (long unit = 0; unit < kept; unit++) std::memcpy(below + unit * lead, above + unit * lead, width * sizeof(T));
            deactivate(net.activation, layer.active, above, at.units, width);
            if (net.norm) denormalise(at, w, layer, above, width, gradient);
            weights(at, above, output(i - 1), width, gradient);
            if (i == 0) break;
            if (kept) {
                T* sum = layer.output;  // of no further use
                multiply<T>(at.inputs, width, at.units, {w + at.weight, 1, at.inputs}, above, lead, nullptr, sum, lead);
                add(sum, below, kept, at.inputs, below, width);
            } else {
                multiply<T>(at.inputs, width, at.units, {w + at.weight, 1, at.inputs}, above, lead, nullptr, below, lead);
            }
            std::swap(above, below);
        }
    }

  private:
    const long flipped_lead;
    std::vector<Layer> layers;
    Buffer<T> ahead, behind, flipped, mean, other;

    // Gradients of a layer's weights and biases from those of its sums.
    void weights(const Network::Layer& at, const T* sums, const T* input, long width, T* gradient) {
        if (at.inputs * 2 <= W || at.units * 2 <= W) {
            multiply_rows<T>(at.units, at.inputs, width, sums, lead, input, lead, gradient + at.weight, at.inputs);
        } else {
            transpose<T>(at.inputs, width, input, lead, flipped, flipped_lead);
            multiply<T>(
                at.units, at.inputs, width, {sums, lead, 1}, flipped, flipped_lead, nullptr, gradient + at.weight,
                at.inputs
            );
        }
        for (long unit = 0; unit < at.units; unit++) gradient[at.bias + unit] = total(sums + unit * lead, width);
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
