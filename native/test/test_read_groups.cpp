// Readings of rows that give the sums of their groups too, of every target.
#include <cmath>
#include <limits>

#include "test/rows.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

// What a row holds besides normal logits.
enum class Odd { nothing, masked, low };

// One reading gives the sums of two, to the bit, wherever its terms are placed; or nothing.
template <class T>
void check_groups_read(const KernelTable& table, size_t vocab, double mean, Odd odd, Random& random) {
  std::vector<T> x = normal_row<T>(vocab, 3.0, mean, random);
  const float other = odd == Odd::masked ? -kInfinity : static_cast<float>(mean - 500.0);
  for (size_t i = 0; odd != Odd::nothing && i < x.size(); i += 5) x[i] = narrow<T>(other);
  const RowParameters parameters = table.parameters(1.0, vocab);
  const RowState want = read(table, x, parameters);
  const TermRule rule{place_of(want.max, parameters), want.unit_max, std::numeric_limits<float>::lowest(), &parameters};
  std::vector<float> sums(kPieceGroups), groups(kPieceGroups);
  table.samples(T{}).sum_groups(x.data(), vocab, rule, sums.data());
  const bool suits = vocab > kGroupVocab && parameters.run == run_length(kPieceLogits, table.lanes) &&
                     !(sizeof(T) == 2 && want.unit_max);
  size_t suited = 0;
  for (int away : {0, 20, -20, 100}) {
    // Logits below the floor have the floor's term, which is the place's.
    if (odd == Odd::low && away != 0) continue;
    for (bool expected : {false, true}) {
      Place place = rule.place;
      place.octave += away;
      RowState got;
      bool clamped = expected;
      if (!table.samples(T{}).read_groups(x.data(), vocab, parameters, place, clamped, got, groups.data())) continue;
      suited++;
      CHECK(clamped == (expected || odd != Odd::nothing));
      CHECK(got.max == want.max && got.unit_max == want.unit_max && got.greater == 0);
      got.move(want.place, want.max, parameters);
      CHECK(got.sums.sum == want.sums.sum && got.sums.unit == want.sums.unit);
      for (size_t g = 0; g < (vocab + kGroupLogits - 1) / kGroupLogits; g++) {
        CHECK(std::ldexp(groups[g], away) == sums[g]);
      }
    }
    CHECK(away != 0 || suited == (suits ? 2 : 0));
  }
  for (float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    x[vocab / 2] = narrow<T>(bad);
    for (bool clamped : {false, true}) {
      RowState got;
      CHECK(!table.samples(T{}).read_groups(x.data(), vocab, parameters, rule.place, clamped, got, groups.data()));
    }
  }
}
COVN_TEST(a_reading_with_groups_gives_what_two_readings_do) {
  Random random(55);
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {100, 128, 129, 255, 256, 257, 300, 400, 512, 1000, 5000, 8191, 8192}) {
      for (double mean : {-200.0, -50.0, 0.0, 65.0, 100.0}) {
        for (Odd odd : {Odd::nothing, Odd::masked, Odd::low}) {
          check_groups_read<float>(*table, vocab, mean, odd, random);
          check_groups_read<Float16>(*table, vocab, mean, odd, random);
          check_groups_read<BFloat16>(*table, vocab, mean, odd, random);
        }
      }
    }
  }
}

int main() { return run_all(); }
