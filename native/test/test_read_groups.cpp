// Readings of rows that give the sums of their groups too, of every target.
#include <algorithm>
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
  ReadAhead ahead(x.data(), 1, 0, x.size() * sizeof(T), 2, vocab % 2 == 0);
  for (int away : {0, 20, -20, 100}) {
    // Logits below the floor have the floor's term, which is the place's.
    if (odd == Odd::low && away != 0) continue;
    for (bool expected : {false, true}) {
      Place place = rule.place;
      place.octave += away;
      RowState got;
      bool clamped = expected;
      if (!table.samples(T{}).read_groups(x.data(), vocab, ahead, parameters, place, clamped, got, groups.data()))
        continue;
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
      CHECK(
          !table.samples(T{}).read_groups(x.data(), vocab, ahead, parameters, rule.place, clamped, got, groups.data()));
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

// What a reading tells of rows besides their sums: those up to the end of each span of a block, and each block's own,
// against long double.
template <class T>
void check_spans(const KernelTable& table, size_t vocab, double mean, double temperature, Odd odd, Random& random) {
  constexpr size_t kRows = 6;  // some together, some alone
  const RowParameters parameters = table.parameters(temperature, vocab);
  const size_t blocks = (vocab + kRowBlock - 1) / kRowBlock;
  std::vector<std::vector<T>> rows;
  const T* pointers[kRows];
  for (size_t r = 0; r < kRows; r++) {
    // One of another place.
    rows.push_back(normal_row<T>(vocab, 3.0, r == 3 ? mean + 70.0 : mean, random));
    const float other = odd == Odd::masked ? -kInfinity : static_cast<float>(mean - 500.0);
    for (size_t i = 0; odd != Odd::nothing && i < vocab; i += 5) rows[r][i] = narrow<T>(other);
    // One that moves after its first block, one whose second holds nothing but what is odd.
    for (size_t i = kRowBlock; i < std::min(vocab, 2 * kRowBlock); i++) {
      if (r == 1) rows[r][i] = narrow<T>(to_float(rows[r][i]) + 90.0f);
      if (r == 2 && odd != Odd::nothing) rows[r][i] = narrow<T>(other);
    }
    pointers[r] = rows[r].data();
  }
  std::vector<double> spans(kRows * blocks * kPieceSpans, -1.0);
  std::vector<RowState> states(kRows * blocks);
  RowBatch batch;
  batch.spans = spans.data();
  batch.row_spans = blocks * kPieceSpans;
  batch.blocks = states.data();
  batch.row_blocks = blocks;
  table.rows<T>().accumulate[0][0](pointers, kRows, vocab, nullptr, parameters, batch);
  for (size_t r = 0; r < kRows; r++) {
    RowState whole;
    for (size_t b = 0; b < blocks; b++) {
      if (blocks == 1) CHECK(states[r].empty());
      const RowState block = blocks > 1 ? states[r * blocks + b] : batch.state(r);
      whole.add(block, parameters);
      const double* const ends = spans.data() + (r * blocks + b) * kPieceSpans;
      const size_t size = std::min(kRowBlock, vocab - b * kRowBlock);
      const T* const x = pointers[r] + b * kRowBlock;
      if (to_float(*std::max_element(x, x + size, [](T y, T z) { return to_float(y) < to_float(z); })) == -kInfinity) {
        CHECK(block.empty());
        continue;
      }
      long double sum = 0.0L;
      for (size_t i = 0; i < size; i++) {
        const long double above = static_cast<long double>(to_float(x[i])) - block.place.origin;
        sum += std::exp(above / temperature - block.place.octave * std::log(2.0L));
        if ((i + 1) % kSpanLogits > 0) continue;
        // What a later block has far below its row's largest logit may be the floor's terms.
        const long double floor = b > 0 ? 0x1p-100L : 0.0L;
        CHECK(std::fabs(ends[i / kSpanLogits] - sum) <= 0x1p-18L * sum + floor);
      }
      for (size_t s = size / kSpanLogits; s < kPieceSpans; s++) CHECK(ends[s] == -1.0);
      if (size % kSpanLogits == 0) CHECK(ends[size / kSpanLogits - 1] == block.sums.sum);
    }
    const RowState row = batch.state(r);
    CHECK(whole.max == row.max && whole.unit_max == row.unit_max);
    whole.move(row.place, row.max, parameters);
    CHECK(whole.sums.sum == row.sums.sum && whole.sums.unit == row.sums.unit);
  }
}
COVN_TEST(a_reading_gives_the_sums_up_to_each_span) {
  Random random(56);
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {129, 511, 512, 1000, 2048, 5000, 8191, 8192, 8193, 16384, 20000}) {
      for (double mean : {-200.0, 0.0, 65.0, 1e5}) {
        for (Odd odd : {Odd::nothing, Odd::masked, Odd::low}) {
          for (double temperature : {1.0, 0.7}) {
            check_spans<float>(*table, vocab, mean, temperature, odd, random);
            if (mean > 1e3) continue;  // past half's largest
            check_spans<Float16>(*table, vocab, mean, temperature, odd, random);
            check_spans<BFloat16>(*table, vocab, mean, temperature, odd, random);
          }
        }
      }
    }
  }
}

int main() { return run_all(); }
