// PQN for the members of one window, each with its own network and the same number of inner environments. Targets, orders
// and the loop around it are Python's (archgym/trainers/pqn.py, archgym/learners/pqn.py).
#pragma once

#include "desk.h"

namespace archgym {

struct PqnSettings {
    double max_grad_norm;
    int64_t inputs, outputs, envs;  // envs: of a member
    int64_t batch_size;             // of the largest minibatch
};

template <class T, class P = T>
class Pqn {
    static constexpr long W = Simd<T>::width;

    struct Learner {
        Trained<T> trained;
        Network net;
        int64_t updates = 0, transitions = 0;
        double loss = 0, value = 0;
    };

  public:
    Pqn(const PqnSettings& settings, const Trained<T>* members, int64_t count) : settings(settings) {
        for (int64_t i = 0; i < count; i++)
            learners.push_back({members[i], Network(settings.inputs, settings.outputs, members[i].shape)});
        const long batch = std::max(settings.batch_size, settings.envs);
        desk = std::make_unique<Desk<T, P>>(learners, settings.inputs, settings.outputs, batch);
    }

    // Actions of highest value, and these values, both (members, envs), on observations (members, envs, inputs).
    void act(const float* observations, int64_t* actions, double* values) {
        const long envs = settings.envs;
        for (size_t m = 0; m < learners.size(); m++) {
            for (long e = 0; e < envs; e++) desk->column(e, observations + (m * envs + e) * settings.inputs);
            desk->forward(learners[m].net, learners[m].trained.weight, envs);
            for (long e = 0; e < envs; e++) {
                actions[m * envs + e] = desk->highest(e);
                values[m * envs + e] = double(desk->value(actions[m * envs + e], e));
            }
        }
    }

    // All gradient steps of a rollout. Observations are (slots, members, envs, inputs), actions, returns and valid
    // (slots, members, envs); orders (members, epochs, slots x envs) hold slot x envs + env; minibatches end at `ends`.
    void learn(
        const float* observations, const int64_t* actions, const float* returns, const uint8_t* valid,
        const int64_t* orders, int64_t epochs, const int64_t* ends, int64_t count, const double* rates
    ) {
        const long envs = settings.envs, members = long(learners.size()), transitions = ends[count - 1];
        for (long m = 0; m < members; m++) {
            Learner& own = learners[m];
            const auto place = [&](int64_t number) { return (number / envs * members + m) * envs + number % envs; };
            for (long epoch = 0; epoch < epochs; epoch++) {
                const int64_t* order = orders + (m * epochs + epoch) * transitions;
                for (long part = 0; part < count; part++) {
                    const long start = part ? ends[part - 1] : 0, batch = ends[part] - start;
                    for (long b = 0; b < batch; b++)
                        desk->column(b, observations + place(order[start + b]) * settings.inputs);
                    desk->forward(own.net, own.trained.weight, batch, true);
                    desk->clear_slopes();
                    for (long b = 0; b < batch; b++) {
                        const long at = place(order[start + b]);
                        if (!valid[at]) continue;
                        const T q = desk->value(actions[at], b), error = q - T(returns[at]);
                        desk->slope(actions[at], b) = error * (T(2) / T(batch));
                        own.loss += double(error * error);  // in single precision, where it can overflow
                        own.value += double(q);
                        own.transitions++;
                    }
                    desk->backward(own.net, own.trained.weight, batch);
                    clip(own.net.size);
                    Adam{rates[m]}.template step<T>(own.net.size, desk->gradient, own.trained);
                    own.updates++;
                }
            }
        }
    }

    // Gradient steps, and mean loss and value of the transitions, by member.
    void finish(int64_t* updates, double* loss, double* value) const {
        for (size_t m = 0; m < learners.size(); m++) {
            const Learner& own = learners[m];
            updates[m] = own.updates;
            loss[m] = own.loss / std::max<int64_t>(1, own.transitions);
            value[m] = own.value / std::max<int64_t>(1, own.transitions);
        }
    }

  private:
    const PqnSettings settings;
    std::vector<Learner> learners;
    std::unique_ptr<Desk<T, P>> desk;

    // Cut the gradient to its greatest length, as torch's clip_grad_norm_ does.
    void clip(long size) {
        T* gradient = desk->gradient;
        Vector<T> squares = {};
        long i = 0;
        for (; i + W <= size; i += W) squares += load(gradient + i) * load(gradient + i);
        T total = sum<T>(squares);
        for (; i < size; i++) total += gradient[i] * gradient[i];
        const T scale = T(settings.max_grad_norm) / (std::sqrt(total) + T(1e-6));
        if (scale >= T(1)) return;
        for (i = 0; i < size; i++) gradient[i] *= scale;
    }
};

}  // namespace archgym
