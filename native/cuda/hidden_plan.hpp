// How a scoreHidden is cut into work for a device. None of it changes a bit of the results: those follow from the width
// and the vocabulary.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/device/hidden_terms.hpp"
#include "cuda/hidden_options.hpp"

namespace covn::cuda {

// Rows come in panels, each of some batches; the vocabulary in stripes. Where all weights fit the device they stay, and
// panels are single batches; else each panel streams them.
struct HiddenPlan {
  size_t pitch;  // elements between rows on the device
  size_t batch_rows, panel_rows, panels;
  size_t stripe_entries, stripes;
  size_t target_rows;  // whose targets' weights are on the device at a time
  bool resident;
  size_t weight_slots() const { return resident ? stripes : std::min<size_t>(stripes, 2); }
};

struct HiddenSize {
  size_t tokens, width, vocab, element_bytes, tile_entries;
};

inline HiddenPlan make_hidden_plan(const HiddenSize& size, HiddenOptions options, size_t budget) {
  const auto round_up = [](size_t n, size_t unit) { return (n + unit - 1) / unit * unit; };
  const auto divide_up = [](size_t n, size_t unit) { return (n + unit - 1) / unit; };
  HiddenPlan plan{};
  plan.pitch = round_up(size.width, 16 / size.element_bytes);
  plan.batch_rows = std::min(options.batch_rows, round_up(size.tokens, kTileRows));
  // A launch is to take some milliseconds: 4.4 TFLOP of products of 16-bit numbers, a sixteenth of that of floats.
  const double most = size.element_bytes == 2 ? 0x1p41 : 0x1p37;
  const size_t group = 32 * size.tile_entries;
  const double work =
      static_cast<double>(plan.batch_rows) * static_cast<double>(group) * static_cast<double>(size.width);
  const size_t groups =
      std::clamp<size_t>(static_cast<size_t>(std::min(most / work, 1e6)), 1, options.stripe_tiles / 32);
  plan.stripe_entries = std::min(groups * group, round_up(size.vocab, size.tile_entries));
  plan.stripes = divide_up(size.vocab, plan.stripe_entries);
  plan.target_rows = std::min<size_t>(plan.batch_rows, 4096);

  const size_t row_bytes = plan.pitch * size.element_bytes;
  const size_t set_bytes = 2 * (row_bytes + sizeof(HiddenTotal) + 16);  // a row's, in two sets
  const size_t parts = plan.batch_rows * (plan.stripe_entries / size.tile_entries + 1) * sizeof(HiddenPart);
  const size_t fixed = parts + plan.target_rows * row_bytes;
  const size_t stripe_bytes = plan.stripe_entries * (row_bytes + sizeof(float));
  plan.resident = budget / plan.stripes >= stripe_bytes &&
                  budget - plan.stripes * stripe_bytes >= fixed + plan.batch_rows * set_bytes;
  plan.panel_rows = plan.batch_rows;
  if (!plan.resident) {
    const size_t taken = fixed + 2 * stripe_bytes;
    if (taken + plan.batch_rows * set_bytes > budget && plan.batch_rows > kTileRows) {
      options.batch_rows = round_up(plan.batch_rows / 2, kTileRows);
      return make_hidden_plan(size, options, budget);
    }
    const size_t fitting = budget > taken ? (budget - taken) / set_bytes / plan.batch_rows : 0;
    plan.panel_rows *= std::clamp<size_t>(fitting, 1, options.panel_batches);
  }
  plan.panels = divide_up(size.tokens, plan.panel_rows);
  return plan;
}

}  // namespace covn::cuda
