// DQN for the members of one window, each with its own network, ring of the replay and minibatches. The loop around it,
// the random numbers and the inner environments are Python's (archgym/trainers/dqn.py, archgym/learners/dqn_native.py).
#pragma once

#include "desk.h"

namespace archgym {

struct DqnSettings {
    double learning_rate, gamma, tau;
    int64_t batch_size, learning_starts, target_network_frequency, twice, huber, remember;  // `twice`: Double DQN
    int64_t inputs, outputs, envs, slots;  // envs: of a member; slots: of its ring
};

// Pointers into the memory of Python's arrays, which outlives the learners.
template <class T>
struct DqnMember {
    Trained<T> trained;
    T* target;
    float* observations;  // (slots, envs, inputs)
    float* steps;         // (slots, envs, 4): action, reward, terminated, valid
    int64_t *head, *filled;
    int64_t steps_before;   // environment steps of this learner before the window
    const double* uniforms;  // (draws, batch_size) in [0, 1)
    int64_t* drawn;          // how many of the draws are used up
};

template <class T, class P = T>
class Dqn {
    static constexpr long W = Simd<T>::width;

    struct Learner : DqnMember<T> {
        Network net;
        T* weight;
        int64_t updates = 0;
        double loss = 0, value = 0;
        // The values of next observations under the present target weights, where they are known: the target network
        // stands still between its copies, and transitions are drawn again and again.
        int32_t epoch = 1;
        struct NextValue {
            T value;
            int32_t epoch;  // in which it was computed
        };
        std::vector<NextValue> next;  // (slots x envs)

        Learner(const DqnSettings& settings, const DqnMember<T>& member)
            : DqnMember<T>(member),
              net(settings.inputs, settings.outputs, member.trained.shape),
              weight(member.trained.weight),
              next(settings.slots * settings.envs) {}
    };

  public:
    Dqn(const DqnSettings& settings, const DqnMember<T>* members, int64_t count) : settings(settings) {
        for (int64_t i = 0; i < count; i++) learners.emplace_back(settings, members[i]);
        const long batch = std::max(settings.batch_size, settings.envs);
        desk = std::make_unique<Desk<T, P>>(learners, settings.inputs, settings.outputs, batch);
        target.resize(batch);
        at.resize(batch);
        missing.resize(batch);
        chosen.resize(batch);
    }

    // actions (members, envs): those of highest value on observations (members, envs, inputs).
    void act(const float* observations, int64_t* actions) {
        const long envs = settings.envs;
        for (size_t m = 0; m < learners.size(); m++) {
            const float* from = observations + m * envs * settings.inputs;
            for (long e = 0; e < envs; e++) desk->column(e, from + e * settings.inputs);
            desk->forward(learners[m].net, learners[m].weight, envs);
            for (long e = 0; e < envs; e++) actions[m * envs + e] = desk->highest(e);
        }
    }

    // Begin a time slot in every ring: observations (members, envs, inputs) and actions on them (members, envs).
    void record(const float* observations, const int64_t* actions) {
        const long envs = settings.envs, size = envs * settings.inputs;
        for (size_t m = 0; m < learners.size(); m++) {
            Learner& own = learners[m];
            const int64_t slot = *own.head;
            std::memcpy(own.observations + slot * size, observations + m * size, size * sizeof(float));
            for (long e = 0; e < envs; e++) {
                float* row = own.steps + (slot * envs + e) * 4;
                row[0] = float(actions[m * envs + e]), row[1] = row[2] = row[3] = 0;
                own.next[slot * envs + e].epoch = 0;
            }
            *own.head = (slot + 1) % settings.slots;
            *own.filled = std::min(*own.filled + 1, settings.slots);
        }
    }

    // Write down what came of the actions in the newest slot, all (members, envs).
    void complete(const double* rewards, const uint8_t* terminated, const uint8_t* valid) {
        const long envs = settings.envs;
        for (size_t m = 0; m < learners.size(); m++) {
            const Learner& own = learners[m];
            const int64_t slot = (*own.head + settings.slots - 1) % settings.slots;
            for (long e = 0; e < envs; e++) {
                float* row = own.steps + (slot * envs + e) * 4;
                const long i = m * envs + e;
                row[1] = float(rewards[i]), row[2] = terminated[i], row[3] = valid[i];
            }
        }
    }

    // One gradient step of every learner that has begun to learn; `start`: steps in the window before the newest slot,
    // which has no successor yet.
    void update(int64_t start) {
        const auto learns = [&](const Learner& own) { return own.steps_before + start >= settings.learning_starts; };
        for (size_t m = 0; m < learners.size(); m++) {
            if (m + 1 < learners.size() && learns(learners[m + 1])) fetch(learners[m + 1]);
            if (learns(learners[m])) update(learners[m]);
        }
    }

    // Copy weights to the target networks where it is due.
    void sync(int64_t start, int64_t end) {
        const int64_t frequency = settings.target_network_frequency;
        for (Learner& own : learners) {
            if ((own.steps_before + end) / frequency == (own.steps_before + start) / frequency) continue;
            const T tau = T(settings.tau);
            for (long i = 0; i < own.net.size; i++)
                own.target[i] = tau == 1 ? own.weight[i] : own.target[i] + tau * (own.weight[i] - own.target[i]);
            own.epoch++;
        }
    }

    // Gradient steps, and their mean loss and value, by member.
    void finish(int64_t* updates, double* loss, double* value) const {
        for (size_t m = 0; m < learners.size(); m++) {
            const Learner& own = learners[m];
            updates[m] = own.updates;
            loss[m] = own.loss / std::max<int64_t>(1, own.updates);
            value[m] = own.value / std::max<int64_t>(1, own.updates);
        }
    }

  private:
    const DqnSettings settings;
    std::vector<Learner> learners;
    std::unique_ptr<Desk<T, P>> desk;
    std::vector<T> target;
    std::vector<int64_t> at, missing, chosen;

    void update(Learner& own) {
        const long batch = settings.batch_size;
        draw(own);
        ++*own.drawn;
        value_targets(own);
        for (long b = 0; b < batch; b++) desk->column(b, own.observations + at[b] * settings.inputs);
        desk->forward(own.net, own.weight, batch, true);
        double loss = 0, value = 0;
        desk->clear_slopes();
        for (long b = 0; b < batch; b++) {
            const float* row = own.steps + at[b] * 4;
            const T q = desk->value(long(row[0]), b), error = (target[b] - q) * T(row[3]);
            const T size = std::abs(error);
            const bool far = settings.huber && size > T(1);  // counts by its size
            const T slope = far ? std::copysign(T(1), error) : error * T(settings.huber ? 1 : 2);
            desk->slope(long(row[0]), b) = -slope * T(row[3]) / T(batch);
            loss += far ? double(size) - 0.5 : double(error) * double(error) * (settings.huber ? 0.5 : 1);
            value += double(q);
        }
        own.loss += loss / batch;
        own.value += value / batch;
        desk->backward(own.net, own.weight, batch);
        Adam{settings.learning_rate}.template step<T>(own.net.size, desk->gradient, own.trained);
        own.updates++;
    }

    // Where the minibatch lies in the ring: drawn from all slots but the newest (archgym/replay.py, `sample`).
    void draw(const Learner& own) {
        const long envs = settings.envs, length = settings.slots * envs;
        const double* uniform = own.uniforms + *own.drawn * settings.batch_size;
        const long oldest = (*own.head - *own.filled) * envs, count = (*own.filled - 1) * envs;
        for (long b = 0; b < settings.batch_size; b++) {
            const long place = oldest + long(uniform[b] * double(count));
            at[b] = place < 0 ? place + length : place;
        }
    }

    // Ask for the minibatch that comes next to be brought into the cache, while another learner is at work.
    void fetch(const Learner& own) {
        draw(own);
        for (long b = 0; b < settings.batch_size; b++) {
            const float* observation = own.observations + at[b] * settings.inputs;
            __builtin_prefetch(observation, 0, 2);
            __builtin_prefetch(observation + settings.envs * settings.inputs, 0, 2);
            __builtin_prefetch(own.steps + at[b] * 4, 0, 2);
            __builtin_prefetch(&own.next[at[b]], 1, 2);
        }
    }

    // target (batch): reward and discounted value of the next observation.
    void value_targets(Learner& own) {
        const long envs = settings.envs, length = settings.slots * envs;
        long count = 0;
        for (long b = 0; b < settings.batch_size; b++) {
            if (settings.remember && !settings.twice && own.next[at[b]].epoch == own.epoch) continue;
            const long next = at[b] + envs;
            desk->column(count, own.observations + (next < length ? next : next - length) * settings.inputs);
            missing[count++] = b;
        }
        if (count) {
            if (settings.twice) {  // the weights choose, the target network values
                desk->forward(own.net, own.weight, count);
                for (long c = 0; c < count; c++) chosen[c] = desk->highest(c);
            }
            desk->forward(own.net, own.target, count);
            for (long c = 0; c < count; c++) {
                own.next[at[missing[c]]] = {desk->value(settings.twice ? chosen[c] : desk->highest(c), c), own.epoch};
            }
        }
        for (long b = 0; b < settings.batch_size; b++) {
            const float* row = own.steps + at[b] * 4;
            target[b] = T(row[1]) + T(settings.gamma) * (T(1) - T(row[2])) * own.next[at[b]].value;
        }
    }
};

}  // namespace archgym
