// What Python calls through ctypes, in single precision and, for tests, in double.
#include "dqn.h"
#include "pqn.h"

using namespace archgym;

#define EXPORT extern "C" __attribute__((visibility("default"))) void

#define EXPORT_LEARNERS(NAME, LEARNERS, SETTINGS, MEMBER)                                                    \
    extern "C" __attribute__((visibility("default"))) LEARNERS* NAME##_new(                                  \
        const SETTINGS* settings, const MEMBER* members, int64_t count                                       \
    ) {                                                                                                      \
        return new LEARNERS(*settings, members, count);                                                      \
    }                                                                                                        \
    EXPORT NAME##_free(LEARNERS* learners) { delete learners; }                                              \
    EXPORT NAME##_finish(LEARNERS* learners, int64_t* updates, double* loss, double* value) {                \
        learners->finish(updates, loss, value);                                                              \
    }

#define EXPORT_DQN(NAME, T)                                                                                  \
    EXPORT_LEARNERS(NAME, Dqn<T>, DqnSettings, DqnMember<T>)                                                 \
    EXPORT NAME##_act(Dqn<T>* learners, const float* observations, int64_t* actions) {                       \
        learners->act(observations, actions);                                                                \
    }                                                                                                        \
    EXPORT NAME##_record(Dqn<T>* learners, const float* observations, const int64_t* actions) {              \
        learners->record(observations, actions);                                                             \
    }                                                                                                        \
    EXPORT NAME##_complete(                                                                                  \
        Dqn<T>* learners, const double* rewards, const uint8_t* terminated, const uint8_t* valid             \
    ) {                                                                                                      \
        learners->complete(rewards, terminated, valid);                                                      \
    }                                                                                                        \
    EXPORT NAME##_update(Dqn<T>* learners, int64_t start) { learners->update(start); }                       \
    EXPORT NAME##_sync(Dqn<T>* learners, int64_t start, int64_t end) { learners->sync(start, end); }

#define EXPORT_PQN(NAME, T)                                                                                  \
    EXPORT_LEARNERS(NAME, Pqn<T>, PqnSettings, Trained<T>)                                                   \
    EXPORT NAME##_act(Pqn<T>* learners, const float* observations, int64_t* actions, double* values) {       \
        learners->act(observations, actions, values);                                                        \
    }                                                                                                        \
    EXPORT NAME##_learn(                                                                                     \
        Pqn<T>* learners, const float* observations, const int64_t* actions, const float* returns,           \
        const uint8_t* valid, const int64_t* orders, int64_t epochs, const int64_t* ends, int64_t count,     \
        const double* rates                                                                                  \
    ) {                                                                                                      \
        learners->learn(observations, actions, returns, valid, orders, epochs, ends, count, rates);          \
    }

EXPORT_DQN(dqn_float32, float)
EXPORT_DQN(dqn_float64, double)
EXPORT_PQN(pqn_float32, float)
EXPORT_PQN(pqn_float64, double)
