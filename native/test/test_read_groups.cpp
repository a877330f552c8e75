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

// What a reading tells of rows besides their sums: those up to the end of each span, against long double.
template <class T>
void check_spans(const KernelTable& table, size_t vocab, double mean, double temperature, Odd odd, Random& random) {
  constexpr size_t kRows = 6;  // some together, some alone
  const RowParameters parameters = table.parameters(temperature, vocab);
  std::vector<std::vector<T>> rows;
  const T* pointers[kRows];
  for (size_t r = 0; r < kRows; r++) {
    // One of another place.
    rows.push_back(normal_row<T>(vocab, 3.0, r == 3 ? mean + 70.0 : mean, random));
    const float other = odd == Odd::masked ? -kInfinity : static_cast<float>(mean - 500.0);
    for (size_t i = 0; odd != Odd::nothing && i < vocab; i += 5) rows[r][i] = narrow<T>(other);
    pointers[r] = rows[r].data();
  }
  std::vector<double> spans(kRows * kPieceSpans, -1.0);
  RowBatch batch;
  batch.spans = spans.data();
  batch.row_spans = kPieceSpans;
  table.rows<T>().accumulate[0][0](pointers, kRows, vocab, nullptr, parameters, batch);
  for (size_t r = 0; r < kRows; r++) {
    const RowState row = batch.state(r);
    const double* const ends = spans.data() + r * kPieceSpans;
    long double sum = 0.0L;
    for (size_t i = 0; i < vocab; i++) {
      const long double above = static_cast<long double>(to_float(rows[r][i])) - row.place.origin;
      sum += std::exp(above / temperature - row.place.octave * std::log(2.0L));
      if ((i + 1) % kSpanLogits == 0) CHECK(std::fabs(ends[i / kSpanLogits] / sum - 1.0L) < 0x1p-18L);
    }
    for (size_t s = vocab / kSpanLogits; s < kPieceSpans; s++) CHECK(ends[s] == -1.0);
    if (vocab % kSpanLogits == 0) CHECK(ends[vocab / kSpanLogits - 1] == row.sums.sum);
  }
}
COVN_TEST(a_reading_gives_the_sums_up_to_each_span) {
  Random random(56);
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {129, 511, 512, 1000, 2048, 5000, 8191, 8192}) {
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

bool same_state(const RowState& a, const RowState& b) {
  return a.max == b.max && a.place == b.place && a.unit_max == b.unit_max && a.sums.sum == b.sums.sum &&
         a.sums.unit == b.sums.unit;
}

// The same logits in rows of several blocks and as rows of one: what a reading tells of blocks is what it tells of
// rows, to the bit, and takes nothing from the rows that have them.
template <class T>
void check_blocks(const KernelTable& table, size_t vocab, double mean, double temperature, Odd odd, Random& random) {
  constexpr size_t kRows = 6;  // some together, some alone
  const RowParameters parameters = table.parameters(temperature, vocab);
  const auto accumulate = table.rows<T>().accumulate[0][0];
  const size_t blocks = (vocab + kRowBlock - 1) / kRowBlock;
  std::vector<std::vector<T>> rows;
  const T* pointers[kRows];
  for (size_t r = 0; r < kRows; r++) {
    rows.push_back(normal_row<T>(vocab, 0.3, r == 3 ? mean + 70.0 : mean, random));
    for (size_t i = 0; i < vocab; i++) {
      constexpr float kAbove[] = {1.0f, -1.0f, 1.1f, 0.0f, 2.0f};
      const float above = kAbove[(r + i / kRowBlock) % 5];
      const float other = odd == Odd::masked ? -kInfinity : static_cast<float>(mean - 500.0);
      const bool is_other = odd != Odd::nothing && (i % 5 == 0 || (r == 2 && i / kRowBlock == 1));
      rows[r][i] = narrow<T>(is_other ? other : to_float(rows[r][i]) + above);
    }
    pointers[r] = rows[r].data();
  }
  std::vector<double> spans(kRows * blocks * kPieceSpans, -1.0);
  std::vector<RowState> states(kRows * blocks);
  RowBatch noted, plain;
  noted.spans = spans.data();
  noted.row_spans = blocks * kPieceSpans;
  noted.blocks = states.data();
  noted.row_blocks = blocks;
  accumulate(pointers, kRows, vocab, nullptr, parameters, noted);
  accumulate(pointers, kRows, vocab, nullptr, parameters, plain);
  for (size_t r = 0; r < kRows; r++) {
    CHECK(same_state(noted.state(r), plain.state(r)));
    for (size_t b = 0; b < blocks; b++) {
      const T* const x = pointers[r] + b * kRowBlock;
      const size_t size = std::min(kRowBlock, vocab - b * kRowBlock), whole = size / kSpanLogits;
      double ends[kPieceSpans];
      RowBatch alone;
      alone.spans = ends;
      accumulate(&x, 1, size, nullptr, parameters, alone);
      RowState expected = alone.state(0), state = states[r * blocks + b];
      CHECK(state.empty() == expected.empty());
      if (state.empty()) continue;
      // At the same place, to which a power of two leads.
      const Place place = place_of(state.max, parameters);
      const int octaves = state.place.octave - expected.place.octave;
      CHECK(state.place.origin == expected.place.origin);
      for (size_t s = 0; s < whole; s++) {
        // Floors are their places'.
        const double end = std::ldexp(spans[(r * blocks + b) * kPieceSpans + s], octaves);
        CHECK(end == ends[s] || std::fabs(end - ends[s]) < 0x1p-80 * expected.sums.sum);
      }
      for (size_t s = whole; s < kPieceSpans; s++) CHECK(spans[(r * blocks + b) * kPieceSpans + s] == -1.0);
      state.move(place, state.max, parameters);
      expected.move(place, expected.max, parameters);
      CHECK(same_state(state, expected));
    }
  }
}
COVN_TEST(a_reading_of_several_blocks_tells_what_readings_of_each_do) {
  Random random(57);
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {8192 + 129, 16384, 20000, 41100}) {  // shorter rows are read otherwise
      for (double mean : {-200.0, -55.7, -55.0, 0.0, 69.0, 69.5, 1e5}) {
        for (Odd odd : {Odd::nothing, Odd::masked, Odd::low}) {
          for (double temperature : {1.0, 0.1, 1e-4}) {
            check_blocks<float>(*table, vocab, mean, temperature, odd, random);
            if (mean > 1e3 || vocab > 20000) continue;  // past half's largest
            check_blocks<Float16>(*table, vocab, mean, temperature, odd, random);
            check_blocks<BFloat16>(*table, vocab, mean, temperature, odd, random);
          }
        }
      }
    }
  }
}

int main() { return run_all(); }
