// The sampling kernels of every target: sums of groups against long double, the share of the uniforms that each token
// has, found by bisection, and what an index proves.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/draw_index.hpp"
#include "reference/sample.hpp"
#include "test/rows.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A row made ready for drawing, as the job does it.
template <class T>
class Row {
 public:
  Row(const KernelTable& table, const std::vector<T>& x, double temperature, float least)
      : table_(table),
        parameters_(table.parameters(temperature, x.size())),
        pieces_((x.size() + kPieceLogits - 1) / kPieceLogits),
        prefix_(1 + pieces_.size() + kMaxLanes, std::numeric_limits<double>::infinity()) {
    const RowState state = read(table, x, parameters_);
    const bool unit = state.unit_max && least == std::numeric_limits<float>::lowest();
    row_ = {x.data(), x.size(), {place_of(state.max, parameters_), unit, least, &parameters_}};
    prefix_[0] = 0.0;
    for (size_t p = 0; p < pieces_.size(); p++) {
      const size_t size = std::min(kPieceLogits, x.size() - p * kPieceLogits);
      table.samples(T{}).sum_groups(x.data() + p * kPieceLogits, size, row_.rule, pieces_[p].groups);
      pieces_[p].set_prefixes((size + kGroupLogits - 1) / kGroupLogits);
      pieces_[p].share = 1.0;
      prefix_[p + 1] = total_ += pieces_[p].total;
    }
    prefix_[pieces_.size()] = std::numeric_limits<double>::infinity();
  }

  size_t token_at(double uniform) const {
    PieceDraw draw;
    int32_t token = -7;
    table_.find_pieces({prefix_.data(), pieces_.size(), total_}, &uniform, 1, &draw);
    table_.samples(T{}).draw_tokens(row_, pieces_.data(), &draw, 1, &token);
    return static_cast<size_t>(token);
  }

  // As memory that changes between two readings may leave it: group g of a piece, and all that it is part of, is `sum`.
  void spoil(size_t piece, size_t g, float sum) {
    pieces_[piece].groups[g] = sum;
    pieces_[piece].set_prefixes(kPieceGroups);
    pieces_[piece].share = pieces_[piece].total;
    total_ += pieces_[piece].total;
    for (size_t p = piece; p < pieces_.size(); p++) prefix_[p + 1] = std::numeric_limits<double>::infinity();
  }

  // How many of the uniforms an index for so many samples proves, for how many of them it proves another token than
  // token_at finds, and how many are said to be past the row.
  struct Proofs {
    size_t proved, wrong, outside;
  };
  Proofs prove(const std::vector<double>& uniforms, size_t samples) {
    DrawIndexMemory memory(row_.vocab, samples);
    const DrawIndex index = memory.start_row(total_);
    double begin = 0.0;
    for (size_t p = 0; p < pieces_.size(); p++) {
      const size_t size = std::min(kPieceLogits, row_.vocab - p * kPieceLogits);
      const size_t groups = (size + kGroupLogits - 1) / kGroupLogits;
      const double end = std::min(prefix_[p + 1], total_) / total_;
      double* const bounds = index.bounds + p * kPieceGroups;
      if (end > begin) {
        table_.place_groups(pieces_[p].groups, groups, begin, end - begin, bounds);
      } else {
        std::fill(bounds, bounds + groups, begin);
      }
      begin = end;
    }
    const auto& kernels = table_.samples(T{});
    kernels.lay_cells(row_, index);
    std::vector<int32_t> tokens(uniforms.size());
    std::vector<uint32_t> open(uniforms.size());
    open.resize(kernels.propose_tokens(row_, index, uniforms.data(), uniforms.size(), tokens.data(), open.data()));
    for (uint32_t k : open) tokens[k] = -1;
    Proofs proofs{uniforms.size() - open.size(), 0, 0};
    for (size_t k = 0; k < uniforms.size(); k++) {
      proofs.outside += token_at(uniforms[k]) >= row_.vocab || tokens[k] >= static_cast<int64_t>(row_.vocab);
      proofs.wrong += tokens[k] >= 0 && static_cast<size_t>(tokens[k]) != token_at(uniforms[k]);
    }
    return proofs;
  }

  // How many of the 2^52 uniforms lead to tokens before this one.
  uint64_t uniforms_before(size_t token) const {
    uint64_t from = 0, to = uint64_t{1} << 52;
    while (from < to) {
      const uint64_t middle = from + (to - from) / 2;
      if (token_at((static_cast<double>(middle) + 0.5) * 0x1p-52) < token) {
        from = middle + 1;
      } else {
        to = middle;
      }
    }
    return from;
  }
  double share(size_t token) const {
    return static_cast<double>(uniforms_before(token + 1) - uniforms_before(token)) * 0x1p-52;
  }

  // The sum of group g, in units of the largest logit's term.
  double group(size_t g, float max) const {
    const Place place = row_.rule.place;
    const double above =
        (static_cast<double>(max) - static_cast<double>(place.origin)) / parameters_.temperature - place.octave * kLn2;
    const double scale = row_.rule.unit ? kSquareScale : 1.0;
    return static_cast<double>(pieces_[g / kPieceGroups].groups[g % kPieceGroups]) / scale * std::exp(-above);
  }

 private:
  const KernelTable& table_;
  const RowParameters parameters_;
  DrawnRow<T> row_{};
  std::vector<PieceSums> pieces_;
  std::vector<double> prefix_;
  double total_ = 0.0;
};

template <class T>
void check_groups(const std::vector<T>& x, double temperature, float least) {
  float max = -kInfinity;
  for (T logit : x) max = std::max(max, to_float(logit));
  std::vector<long double> want((x.size() + kGroupLogits - 1) / kGroupLogits);
  for (size_t i = 0; i < x.size(); i++) {
    const float logit = to_float(x[i]);
    if (logit < least) continue;
    want[i / kGroupLogits] += std::exp((static_cast<long double>(logit) - max) / temperature);
  }
  for (const auto& [name, table] : runnable_tables()) {
    const Row<T> row(*table, x, temperature, least);
    double worst = 0.0;
    for (size_t g = 0; g < want.size(); g++) {
      const auto sum = static_cast<double>(want[g]);
      if (sum < 1e-20) continue;
      worst = std::max(worst, std::fabs(row.group(g, max) / sum - 1));
    }
    if (!(worst <= 5e-7)) std::printf("    %s: V = %zu, T = %g\n", name.c_str(), x.size(), temperature);
    CHECK_AT_MOST(worst, 5e-7);
  }
}

// Shares of some tokens, by probability: the largest, the smallest that 52 bits can tell, some between.
template <class T>
void check_shares(const std::vector<T>& x, double temperature, float least) {
  std::vector<float> wide;
  for (T logit : x) wide.push_back(std::max(to_float(logit), -3e38f));
  std::vector<float> kept = wide;
  for (float& logit : kept) logit = logit < least ? -kInfinity : logit;
  const auto want = reference::sampled_distribution(kept.data(), kept.size(), temperature, 0, 1.0, 0.0);
  std::vector<size_t> order;
  for (size_t i = 0; i < x.size(); i++) {
    if (want.log_prob[i] > -20.8L) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return want.log_prob[a] < want.log_prob[b]; });
  for (const auto& [name, table] : runnable_tables()) {
    const Row<T> row(*table, x, temperature, least);
    double worst = 0.0;
    for (size_t k = 0; k < 8; k++) {
      const size_t token = order[k * (order.size() - 1) / 7];
      const auto p = static_cast<double>(std::exp(want.log_prob[token]));
      worst = std::max(worst, std::fabs(row.share(token) / p - 1) - 0x1p-51 / p);
    }
    if (!(worst <= 5e-7)) std::printf("    %s: V = %zu, T = %g\n", name.c_str(), x.size(), temperature);
    CHECK_AT_MOST(worst, 5e-7);
  }
}

template <class T>
void check_type() {
  Random random(51);
  for (size_t vocab : {1, 2, 7, 15, 16, 17, 100, 513, 8191, 8192, 8193, 20000}) {
    for (double deviation : {1.0, 4.0}) {
      for (double temperature : {1.0, 0.7, 3.0}) {
        const std::vector<T> x = normal_row<T>(vocab, deviation, 2.0, random);
        for (float least : {std::numeric_limits<float>::lowest(), 1.0f}) {
          const bool any = std::any_of(x.begin(), x.end(), [&](T logit) { return to_float(logit) >= least; });
          if (!any) continue;
          check_groups(x, temperature, least);
          check_shares(x, temperature, least);
        }
      }
    }
  }
}

}  // namespace

COVN_TEST(groups_and_shares_are_exact_to_5e_7) {
  check_type<float>();
  check_type<Float16>();
  check_type<BFloat16>();
}

COVN_TEST(rows_anywhere_have_the_same_shares) {
  Random random(52);
  for (double mean : {-3e4, -300.0, -60.0, 75.0, 3e4}) {
    for (double temperature : {1.0, 0.5}) {
      check_groups(normal_row<float>(3000, 3.0, mean, random), temperature, std::numeric_limits<float>::lowest());
      check_shares(normal_row<float>(3000, 3.0, mean, random), temperature, std::numeric_limits<float>::lowest());
    }
  }
}

// A token of probability 1e-9 has its share wherever it stands: in the group of the one that has nearly all, in its
// span, in its piece, or in another.
COVN_TEST(small_tokens_keep_their_share_beside_a_large_one) {
  for (size_t head : {5, 8300}) {
    for (size_t tail : {0, 4, 6, 15, 16, 100, 700, 8191, 8192, 8299, 8301, 8400, 16500}) {
      std::vector<float> x(16501, -200.0f);
      x[head] = 3.0f;
      x[tail] = -17.5f;
      if (tail == head) continue;
      check_shares(x, 1.0, std::numeric_limits<float>::lowest());
    }
  }
}

COVN_TEST(no_uniform_leads_to_a_token_without_probability) {
  constexpr double kEnds[] = {0x1p-53, 0x1p-52, 0x1p-30, 0.25, 0.5, 0.75, 1.0 - 0x1p-30, 1.0 - 0x1p-52, 1.0 - 0x1p-53};
  Random random(53);
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {1, 2, 17, 600, 8193, 9000}) {
      for (size_t only : {size_t{0}, vocab / 2, vocab - 1}) {
        std::vector<float> x(vocab, -kInfinity);
        x[only] = 1.5f;
        const Row<float> row(*table, x, 1.0, std::numeric_limits<float>::lowest());
        for (double uniform : kEnds) CHECK(row.token_at(uniform) == only);
        // Dropped by a filter, not by nature.
        for (float& logit : x) logit = logit > 0.0f ? logit : 1.4f;
        const Row<float> filtered(*table, x, 1.0, 1.5f);
        for (double uniform : kEnds) CHECK(filtered.token_at(uniform) == only);
        for (int i = 0; i < 100; i++) CHECK(filtered.token_at(random.uniform()) == only);
      }
    }
  }
}

namespace {

// Uniforms anywhere, and as close to the ends of tokens as rounding is.
std::vector<double> uniforms_near_ends(const reference::Distribution& d, size_t count, Random& random) {
  std::vector<double> uniforms;
  while (uniforms.size() < count) {
    const bool anywhere = random.bits() % 4 == 0;
    const double off = std::pow(10.0, -4.0 - 12.0 * random.uniform()) * (random.bits() % 2 == 0 ? 1 : -1);
    const auto end = static_cast<double>(d.cumulative[random.bits() % d.cumulative.size()]);
    uniforms.push_back(anywhere ? random.uniform() : end * (1 + off));
    uniforms.back() = std::clamp(uniforms.back(), 0x1p-53, 1.0 - 0x1p-53);
  }
  return uniforms;
}

template <class T>
void check_proofs(const std::vector<T>& x, double temperature, Random& random) {
  std::vector<float> wide;
  for (T logit : x) wide.push_back(to_float(logit));
  const auto d = reference::sampled_distribution(wide.data(), wide.size(), temperature, 0, 1.0, 0.0);
  const std::vector<double> near = uniforms_near_ends(d, 512, random);
  std::vector<double> anywhere(512);
  for (double& uniform : anywhere) uniform = random.uniform();
  for (const auto& [name, table] : runnable_tables()) {
    Row<T> row(*table, x, temperature, std::numeric_limits<float>::lowest());
    for (size_t samples : {64, 1000, 1'000'000}) {
      CHECK(row.prove(near, samples).wrong == 0);
      const auto proofs = row.prove(anywhere, samples);
      CHECK(proofs.wrong == 0);
      if (proofs.proved < 400)
        std::printf("    %s: %zu of 512 proved, V = %zu\n", name.c_str(), proofs.proved, x.size());
    }
  }
}

}  // namespace

// Logits that lie far above a place have terms that mean nothing, negative ones among them.
COVN_TEST(logits_that_change_do_not_lead_out_of_the_index) {
  Random random(58);
  std::vector<double> uniforms(500);
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {8192, 8190, 1000}) {
      for (float changed : {187.0f, 300.0f, 1e30f, -1e30f, kInfinity, -kInfinity, NAN}) {
        for (int place = 0; place < 40; place++) {
          std::vector<float> x(vocab, -30.0f);
          x[8] = 0.0f;
          x[vocab - 3] = -2.0f;
          Row<float> row(*table, x, place % 2 == 0 ? 1.0 : 0.9, std::numeric_limits<float>::lowest());
          for (size_t i = 0; i < 3; i++) x[place < 20 ? random.bits() % 16 : vocab - 1 - random.bits() % 16] = changed;
          for (double& uniform : uniforms) uniform = random.uniform();
          CHECK(row.prove(uniforms, 4096).outside == 0);
        }
      }
    }
  }
}

COVN_TEST(spoilt_sums_do_not_lead_out_of_the_row) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {kPieceLogits, 3 * kPieceLogits}) {
      const std::vector<float> x(vocab, 1.0f);
      for (float sum : {kInfinity, std::numeric_limits<float>::quiet_NaN(), 3e38f}) {
        for (size_t g : {size_t{0}, size_t{40}, kPieceGroups - 1}) {
          Row<float> row(*table, x, 1.0, std::numeric_limits<float>::lowest());
          row.spoil(vocab / kPieceLogits - 1, g, sum);
          for (double uniform : {0x1p-53, 0.5, 1.0 - 0x1p-53}) CHECK(row.token_at(uniform) < vocab);
        }
      }
    }
  }
}

COVN_TEST(an_index_proves_nothing_but_what_is_found) {
  Random random(54);
  for (size_t vocab : {1, 2, 15, 16, 17, 100, 1000, 8191, 8193, 20000, 50000}) {
    for (double deviation : {0.0, 1.0, 4.0, 12.0}) {
      for (double temperature : {1.0, 0.7}) {
        check_proofs(normal_row<float>(vocab, deviation, 2.0, random), temperature, random);
        check_proofs(normal_row<BFloat16>(vocab, deviation, 2.0, random), temperature, random);
        check_proofs(normal_row<Float16>(vocab, deviation, 2.0, random), temperature, random);
      }
    }
  }
}

int main() { return run_all(); }
