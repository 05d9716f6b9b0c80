// Lifetimes on a recorded table: windows are looked up, and what has been seen of a lifetime is written as numbers.
// archgym/envs/lifetimes.py and archgym/tabular.py say what is computed, in the same order of operations, so that the
// numbers are the same to the last bit (no contraction to fused multiply-adds: see setup.py).
#include <algorithm>
#include <cstdint>

namespace {

constexpr int64_t REACH = 4, LIVED = 4, ALONE = 7;  // numbers about a lifetime, and about its last window alone
constexpr double SHRINKAGE = 4.0, LOWEST = -1.0, HIGHEST = 2.0;

// What is told of every recorded window, in the order of row, search seed and window; constant.
struct Record {
    int64_t choices, options, rows, seeds, windows;
    int64_t own, improvement;
    const int64_t* counts;    // options of every choice
    const int64_t* row_of;    // row of every option vector, by its number; -1: not known yet; none: `chosen` is given
    const int64_t* starts;    // (rows + 1): where in `places` a row begins
    const int64_t* places;    // of the options of its architecture
    const double* values;     // normalised returns, limited
    const double* rewards;    // what they earn by themselves
    const double* prices;     // of every row
    const bool* diverged;
    const float* alone;       // (windows of all, ALONE): what an observation tells of a window alone
};

// K lifetimes, one behind the other in every array.
struct Lives {
    int64_t windows, drawn;   // of a lifetime; numbers of `curves` per member
    int64_t *done, *last;     // windows; row before, -1: none
    double *before, *best, *since;
    const int64_t* curves;    // search seed of every row (own), or of every window
    int64_t *visits, *history;  // of every row; row of every window
    double *rewards, *sums;   // of every window; of all before it, and of all
    double *shares, *settled;  // per option: windows; residuals that stay
    float* seen;              // observations
    double* totals;           // room for one number per option
    // What the members of a step chose, and what came of it, in their order.
    int64_t *actions, *chosen, *where;
    double* earned;
    bool* switched;
};

void add_residual(double* totals, const Record& record, const Lives& lives, int64_t member, int64_t window) {
    const int64_t done = lives.done[member], low = std::max<int64_t>(window - REACH, 0);
    const double* sums = lives.sums + member * (lives.windows + 1);
    const double trend = (sums[done] - sums[low]) / double(done - low);
    const double residual = lives.rewards[member * lives.windows + window] - trend;
    const int64_t row = lives.history[member * lives.windows + window];
    for (int64_t at = record.starts[row]; at < record.starts[row + 1]; ++at) totals[record.places[at]] += residual;
}

// Look up the next window of a row: `Tabular._window`.
void visit(const Record& record, Lives& lives, int64_t member, int64_t position) {
    const int64_t row = lives.chosen[position], done = lives.done[member];
    const int64_t visits = lives.visits[member * record.rows + row]++;
    const int64_t curve = lives.curves[member * lives.drawn + (record.own ? row : done)];
    const int64_t window = record.own ? std::min(visits, record.windows - 1) : 0;
    const int64_t where = (row * record.seeds + curve) * record.windows + window;
    double reward = record.rewards[where];
    if (record.improvement && !record.diverged[where]) {
        const double gained = record.values[where] - lives.before[member] - record.prices[row];
        reward = std::min(HIGHEST, std::max(LOWEST, gained));
    }
    const bool switched = lives.last[member] >= 0 && lives.last[member] != row;
    if (!record.diverged[where]) lives.last[member] = row;
    lives.before[member] = record.values[where];
    lives.where[position] = where;
    lives.earned[position] = reward;
    lives.switched[position] = switched;
    // `Lifetime.add`
    double* sums = lives.sums + member * (lives.windows + 1);
    lives.history[member * lives.windows + done] = row;
    lives.rewards[member * lives.windows + done] = reward;
    sums[done + 1] = sums[done] + reward;
    lives.best[member] = std::max(lives.best[member], reward);
    lives.since[member] = switched ? 0.0 : lives.since[member] + 1.0;
    lives.done[member] = done + 1;
    double* shares = lives.shares + member * record.options;
    for (int64_t at = record.starts[row]; at < record.starts[row + 1]; ++at) shares[record.places[at]] += 1.0;
    if (done >= REACH) add_residual(lives.settled + member * record.options, record, lives, member, done - REACH);
}

// `Lifetime.observation`
void observe(const Record& record, Lives& lives, int64_t member, int64_t position) {
    const int64_t options = record.options, done = lives.done[member];
    const double *shares = lives.shares + member * options, *settled = lives.settled + member * options;
    const float* alone = record.alone + lives.where[position] * ALONE;
    const int64_t row = lives.chosen[position];
    double* totals = lives.totals;
    float* seen = lives.seen + member * (3 * options + LIVED + ALONE);
    std::fill(seen, seen + options, 0.0f);
    for (int64_t at = record.starts[row]; at < record.starts[row + 1]; ++at) seen[record.places[at]] = 1.0f;
    std::copy(alone, alone + ALONE, seen + options + LIVED);
    std::copy(settled, settled + options, totals);
    for (int64_t window = std::max<int64_t>(done - REACH, 0); window < done; ++window)
        add_residual(totals, record, lives, member, window);
    seen[options] = float(lives.earned[position]);
    seen[options + 1] = float(lives.best[member]);
    seen[options + 2] = float(1.0 - double(done) / double(lives.windows));
    seen[options + 3] = float(lives.since[member] / double(lives.windows));
    float *share = seen + options + LIVED + ALONE, *mean = share + options;
    for (int64_t option = 0; option < options; ++option) {
        share[option] = float(shares[option] / double(done));
        mean[option] = float(totals[option] / (shares[option] + SHRINKAGE));
    }
}

// Find the rows of architectures; gives the place of the first one that is not known, or -1.
int64_t find(const Record& record, Lives& lives, int64_t count) {
    for (int64_t position = 0; position < count; ++position) {
        const int64_t* action = lives.actions + position * record.choices;
        int64_t code = 0;
        for (int64_t choice = 0; choice < record.choices; ++choice) {
            if (uint64_t(action[choice]) >= uint64_t(record.counts[choice])) return position;
            code = code * record.counts[choice] + action[choice];
        }
        lives.chosen[position] = record.row_of[code];
        if (lives.chosen[position] < 0) return position;
    }
    return -1;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// What archgym/envs/table_kernel.py must expect; to be counted up with every change of what is computed or handed over.
EXPORT int64_t lives_version() { return 2; }

// Live one window of these members (none given: of the first `count`), whose architectures are `actions`.
// Where one of these is not known, or none of the space, nothing is done: gives the place of the first, else -1.
EXPORT int64_t lives_step(const Record* record, Lives* lives, const int64_t* members, int64_t count) {
    const int64_t unknown = record->row_of ? find(*record, *lives, count) : -1;
    if (unknown >= 0) return unknown;
    for (int64_t position = 0; position < count; ++position) {
        const int64_t member = members ? members[position] : position;
        visit(*record, *lives, member, position);
        observe(*record, *lives, member, position);
    }
    return -1;
}
