// What Python calls through ctypes: in single precision, with products rounded to bfloat16, and, for tests, in double.
#include <exception>

#include "dqn.h"
#include "pqn.h"

using namespace archgym;

#define EXPORT extern "C" __attribute__((visibility("default"))) void

#define EXPORT_LEARNERS(NAME, LEARNERS, SETTINGS, MEMBER)                                                    \
    extern "C" __attribute__((visibility("default"))) LEARNERS* NAME##_new(                                  \
        const SETTINGS* settings, const MEMBER* members, int64_t count                                       \
    ) {                                                                                                      \
        try {                                                                                                \
            return new LEARNERS(*settings, members, count);                                                  \
        } catch (const std::exception&) { /* no memory; Python raises it */                                  \
            return nullptr;                                                                                  \
        }                                                                                                    \
    }                                                                                                        \
    EXPORT NAME##_free(LEARNERS* learners) { delete learners; }                                              \
    EXPORT NAME##_finish(LEARNERS* learners, int64_t* updates, double* loss, double* value) {                \
        learners->finish(updates, loss, value);                                                              \
    }

#define EXPORT_DQN(NAME, DQN, T)                                                                             \
    EXPORT_LEARNERS(NAME, DQN, DqnSettings, DqnMember<T>)                                                    \
    EXPORT NAME##_act(DQN* learners, const float* observations, int64_t* actions) {                          \
        learners->act(observations, actions);                                                                \
    }                                                                                                        \
    EXPORT NAME##_record(DQN* learners, const float* observations, const int64_t* actions) {                 \
        learners->record(observations, actions);                                                             \
    }                                                                                                        \
    EXPORT NAME##_complete(                                                                                  \
        DQN* learners, const double* rewards, const uint8_t* terminated, const uint8_t* valid                \
    ) {                                                                                                      \
        learners->complete(rewards, terminated, valid);                                                      \
    }                                                                                                        \
    EXPORT NAME##_update(DQN* learners, int64_t start) { learners->update(start); }                          \
    EXPORT NAME##_sync(DQN* learners, int64_t start, int64_t end) { learners->sync(start, end); }

#define EXPORT_PQN(NAME, PQN, T)                                                                             \
    EXPORT_LEARNERS(NAME, PQN, PqnSettings, Trained<T>)                                                      \
    EXPORT NAME##_act(PQN* learners, const float* observations, int64_t* actions, double* values) {          \
        learners->act(observations, actions, values);                                                        \
    }                                                                                                        \
    EXPORT NAME##_learn(                                                                                     \
        PQN* learners, const float* observations, const int64_t* actions, const float* returns,              \
        const uint8_t* valid, const int64_t* orders, int64_t epochs, const int64_t* ends, int64_t count,     \
        const double* rates                                                                                  \
    ) {                                                                                                      \
        learners->learn(observations, actions, returns, valid, orders, epochs, ends, count, rates);          \
    }

// Rises whenever what Python hands over changes, here and in archgym/native/__init__.py.
extern "C" __attribute__((visibility("default"))) int64_t learners_version() { return 1; }

typedef Dqn<float, Pair> RoundedDqn;
typedef Pqn<float, Pair> RoundedPqn;

EXPORT_DQN(dqn_float32, Dqn<float>, float)
EXPORT_DQN(dqn_bfloat16, RoundedDqn, float)
EXPORT_DQN(dqn_float64, Dqn<double>, double)
EXPORT_PQN(pqn_float32, Pqn<float>, float)
EXPORT_PQN(pqn_bfloat16, RoundedPqn, float)
EXPORT_PQN(pqn_float64, Pqn<double>, double)
