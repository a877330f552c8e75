// The rollout kernel of every target against a plain loop, to the bit: tables of random words, wide ones too, where 32
// bits often do not decide.
#include <algorithm>

#include "reference/rollout.hpp"
#include "test/check.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

// Tables of arbitrary words that are in range; what they are tables of does not matter.
struct Words {
  std::vector<uint64_t> columns, thresholds, outcomes, rows;
  std::vector<uint32_t> tokens;
  uint64_t states, width;
  bool sparse;
  uint64_t ends;  // one outcome of so many ends the response

  // Thresholds of 0, of 1 and between, and multiples of 2^32, where only later bits decide.
  void add_row(size_t entries, Random& random) {
    if (sparse) rows.push_back(uint64_t{entries} << 32 | columns.size());
    for (size_t i = 0; i < entries; i++) {
      const uint64_t kind = random.bits() % 8, bits = random.bits();
      const uint64_t threshold = kind == 0 ? 0 : kind == 1 ? ~uint64_t{0} : kind < 4 ? bits >> 32 << 32 : bits;
      thresholds.push_back(threshold);
      columns.push_back(threshold >> 32 << 32 | random.bits() % entries);
      outcomes.push_back((random.bits() >> 24) << 24 | (random.bits() % ends == 0 ? states : random.bits() % states));
      if (sparse) tokens.push_back(static_cast<uint32_t>(random.bits() % width));
    }
  }

  Words(size_t state_count, size_t vocab, bool rows_differ, uint64_t seed, uint64_t one_in = 40)
      : states(state_count), width(vocab), sparse(rows_differ), ends(one_in) {
    Random random(seed);
    for (size_t s = 0; s < states; s++) add_row(sparse ? 1 + random.bits() % vocab : vocab, random);
    // The end leads back to itself.
    const size_t last = sparse ? 1 : vocab;
    if (sparse) rows.push_back(uint64_t{1} << 32 | columns.size());
    for (size_t i = 0; i < last; i++) {
      thresholds.push_back(~uint64_t{0});
      columns.push_back(0xffffffffuLL << 32 | i);
      outcomes.push_back(states);
      if (sparse) tokens.push_back(0);
    }
  }
  RolloutTables view() const {
    return {columns.data(),
            thresholds.data(),
            outcomes.data(),
            sparse ? rows.data() : nullptr,
            sparse ? tokens.data() : nullptr,
            width,
            states};
  }
};

// Another machine that reads along: by tokens or by classes, with log-probs or without.
struct Followed {
  std::vector<uint32_t> classes, next;
  std::vector<double> log_probs;
  size_t columns;

  Followed(size_t vocab, size_t class_count, bool with_log_probs, uint64_t seed) {
    constexpr size_t kStates = 11;
    Random random(seed);
    columns = class_count > 0 ? class_count : vocab;
    for (size_t i = 0; i < vocab && class_count > 0; i++) classes.push_back(random.bits() % class_count);
    for (size_t i = 0; i < kStates * columns; i++) next.push_back(random.bits() % kStates * columns);
    for (size_t i = 0; i < next.size() && with_log_probs; i++) log_probs.push_back(-9.0 * random.uniform());
    if (with_log_probs) log_probs.push_back(0.0);
  }
  FollowTables view() const {
    return {classes.empty() ? nullptr : classes.data(), next.data(), log_probs.empty() ? nullptr : log_probs.data(),
            log_probs.empty() ? 0 : log_probs.size() - 1};
  }
};

RolloutLanes random_lanes(const Words& words, const Followed* followed, uint64_t seed) {
  Random random(seed);
  RolloutLanes lanes{};
  for (size_t i = 0; i < kRolloutLanes; i++) {
    lanes.sequence[i] = random.bits() >> 32;
    lanes.sample[i] = random.bits() >> 32;
    lanes.state[i] = random.bits() % 8 == 0 ? words.states : random.bits() % words.states;
    lanes.follow[i] = followed != nullptr ? random.bits() % 11 * followed->columns : 0;
  }
  return lanes;
}

// In slices of `slice` steps, as jobs do; a multiple of 4, but for the last.
size_t count_different(const KernelTable& table, const Words& words, const Followed* followed, size_t max_length,
                       size_t slice, bool with_tokens) {
  constexpr uint64_t kSeed = 0x299f31d0a4093822;
  const RolloutTables tables = words.view();
  const FollowTables follow = followed != nullptr ? followed->view() : FollowTables{};
  const RolloutLanes start = random_lanes(words, followed, max_length);
  RolloutLanes lanes = start;
  const size_t stride = (max_length + 3) / 4 * 4;
  std::vector<int32_t> tokens(stride * kRolloutLanes, -7);
  for (size_t position = 0; position < max_length; position += slice) {
    table.roll_out[words.sparse][followed != nullptr](tables, follow, kSeed, position,
                                                      std::min(slice, max_length - position), lanes,
                                                      with_tokens ? tokens.data() + position : nullptr, stride);
  }
  size_t different = 0;
  for (size_t i = 0; i < kRolloutLanes; i++) {
    const reference::Rollout want = reference::roll_out(
        tables, followed != nullptr ? &follow : nullptr, kSeed, static_cast<uint32_t>(start.sequence[i]),
        static_cast<uint32_t>(start.sample[i]), start.state[i], start.follow[i], max_length);
    bool same =
        lanes.state[i] == want.state && lanes.surprisal[i] == want.surprisal && lanes.length[i] == want.tokens.size();
    if (followed != nullptr) {
      same = same && lanes.follow[i] == want.follow && lanes.follow_log_prob[i] == want.follow_log_prob;
    }
    for (size_t h = 0; h < want.tokens.size() && with_tokens; h++) {
      same = same && tokens[i * stride + h] == want.tokens[h];
    }
    different += !same;
  }
  return different;
}

void check(const Words& words, const Followed* followed, size_t max_length, size_t slice) {
  for (const auto& [name, table] : runnable_tables()) {
    for (bool with_tokens : {false, true}) {
      const size_t different = count_different(*table, words, followed, max_length, slice, with_tokens);
      if (different > 0) {
        std::printf("    %s: %zu states, V %zu, length %zu: %zu lanes differ\n", name.c_str(),
                    static_cast<size_t>(words.states), static_cast<size_t>(words.width), max_length, different);
      }
      CHECK(different == 0);
    }
  }
}

}  // namespace

COVN_TEST(responses_are_those_of_a_plain_loop) {
  for (size_t vocab : {1, 2, 3, 7, 100, 1000, 50'000}) {
    for (bool sparse : {false, true}) {
      const Words words(vocab > 1000 ? 3 : 20, vocab, sparse, vocab);
      for (size_t max_length : {1, 2, 3, 4, 5, 63, 64, 65}) check(words, nullptr, max_length, 256);
      check(words, nullptr, 150, 4);
      check(words, nullptr, 1000, 256);
    }
  }
}

COVN_TEST(followers_are_those_of_a_plain_loop) {
  for (size_t vocab : {1, 3, 100, 1000}) {
    for (bool sparse : {false, true}) {
      const Words words(20, vocab, sparse, vocab + 1);
      for (size_t classes : {0, 1, 5}) {
        for (bool log_probs : {false, true}) {
          const Followed followed(vocab, classes, log_probs, vocab);
          for (size_t max_length : {1, 5, 64, 300}) check(words, &followed, max_length, 64);
        }
      }
    }
  }
}

// Of 32 bits times a width of 2^22, one in 500 leaves the column or the side of the threshold open.
COVN_TEST(wide_rows_are_decided_by_later_bits) {
  for (bool sparse : {false, true}) {
    const Words words(2, size_t{1} << 22, sparse, 5, 4000);
    check(words, nullptr, 2000, 256);
    size_t open = 0, tokens = 0;
    const RolloutTables tables = words.view();
    Random random(6);
    for (; tokens < 20'000; tokens++) {
      const uint64_t width = tables.rows != nullptr ? tables.rows[1] >> 32 : tables.width;
      const uint64_t first = tables.rows != nullptr ? tables.rows[1] & 0xffffffffu : width;
      const auto word = static_cast<uint32_t>(random.bits());
      open += reference::alias_entry(tables, first, width, word, 0) !=
              reference::alias_entry(tables, first, width, word, ~uint64_t{0});
      const uint64_t more = random.bits();
      CHECK(chosen_entry(tables, first, width, word, more) == reference::alias_entry(tables, first, width, word, more));
    }
    CHECK(open > 3);
  }
}

int main() { return run_all(); }
