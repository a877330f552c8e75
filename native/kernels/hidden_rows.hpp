// The rows of hidden states that are scored together, packed for the kernels, and the sums of their parts.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>
#include <vector>

#include "core/number_formats.hpp"
#include "kernels/hidden_tile.hpp"
#include "kernels/row_parameters.hpp"

namespace covn {

// Zeros from the start of a cache line on: a vector that crosses lines is read in two steps.
class FloatBuffer {
 public:
  FloatBuffer() = default;
  explicit FloatBuffer(size_t count)
      : data_(static_cast<float*>(::operator new(std::max<size_t>(count, 1) * sizeof(float), kLine))) {
    std::fill_n(data_.get(), count, 0.0f);
  }
  float* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Delete {
    void operator()(float* data) const { ::operator delete(data, kLine); }
  };
  std::unique_ptr<float, Delete> data_;
};

struct ScoredToken {
  size_t row, target;
};

// Rows that meet the weights together, while their chunks are under way.
struct HiddenRows {
  const ScoredToken* tokens = nullptr;  // [count]
  size_t count = 0;
  std::once_flag packed;
  FloatBuffer panels;
  std::vector<float> target_logits;  // [count]
  std::vector<RowState> states;      // [segments, count]
  std::atomic<size_t> open_segments{0};

  void release() {
    panels = FloatBuffer();
    target_logits = {};
    states = {};
  }
};

template <class T>
float slot(const T* row, size_t width, size_t slot_elements, size_t index) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    if (slot_elements == 2) {
      return pair_slot(row[2 * index], 2 * index + 1 < width ? row[2 * index + 1] : BFloat16{0});
    }
  }
  return to_float(row[index]);
}

// panels [ceil(count / panel_rows), slots, panel_rows] of hidden [rows, width]; zeros in place of rows past the last.
template <class T>
FloatBuffer pack_panels(const T* hidden, size_t width, const ScoredToken* tokens, size_t count,
                        const HiddenKernels& kernels) {
  const size_t slots = slots_of(width, kernels.slot_elements), lanes = kernels.panel_rows;
  FloatBuffer panels((count + lanes - 1) / lanes * lanes * slots);
  for (size_t first = 0; first < count; first += lanes) {
    for (size_t start = 0; start < slots; start += kSlice) {  // a slice of a panel stays in the first-level cache
      for (size_t i = first; i < std::min(first + lanes, count); i++) {
        const T* row = hidden + tokens[i].row * width;
        float* lane = panels.data() + first * slots + (i - first);
        for (size_t k = start; k < std::min(start + kSlice, slots); k++) {
          lane[k * lanes] = slot(row, width, kernels.slot_elements, k);
        }
      }
    }
  }
  return panels;
}

// Working memory that chunks borrow from their job, so that each thread makes it once.
class Workspaces {
 public:
  struct Workspace {
    FloatBuffer staged, logits;
  };

  Workspaces(size_t panel_count, size_t panel_rows) : logits_(panel_count * kTileVocab * panel_rows) {}

  std::unique_ptr<Workspace> take() {
    {
      std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<Workspace> workspace = std::move(free_.back());
        free_.pop_back();
        return workspace;
      }
    }
    return std::make_unique<Workspace>(Workspace{FloatBuffer(kTileVocab * kStagedStride), FloatBuffer(logits_)});
  }
  void give_back(std::unique_ptr<Workspace> workspace) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
  }

 private:
  const size_t logits_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> free_;
};

using Workspace = Workspaces::Workspace;

}  // namespace covn
