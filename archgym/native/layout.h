// What a multilayer perceptron is, and where its numbers lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace archgym {

enum Activation : int64_t { RELU = 0, TANH = 1, ELU = 2 };

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

}  // namespace archgym
