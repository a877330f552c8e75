// What a scoreHidden keeps on the device, and in pinned memory, while it runs.
#pragma once

#include <memory>

#include "core/number_formats.hpp"
#include "cuda/hidden_plan.hpp"
#include "cuda/memory.hpp"
#include "cuda/row_upload.hpp"
#include "cuda/stream.hpp"

namespace covn::cuda {

// A panel of rows: what goes in, and what comes out.
template <class T>
struct HiddenPanel {
  DeviceBuffer<T> hidden;  // [rows, pitch]
  DeviceBuffer<int32_t> targets;
  DeviceBuffer<float> target_bias, target_logits;
  DeviceBuffer<HiddenTotal> totals;
  PinnedBuffer<int32_t> host_targets;
  PinnedBuffer<float> host_target_bias, host_target_logits;
  PinnedBuffer<HiddenTotal> host_totals;
  Event uploaded, finished;

  Status allocate(size_t rows, size_t pitch, cudaStream_t stream) {
    COVN_TRY(hidden.allocate(rows * pitch, stream));
    COVN_TRY(targets.allocate(rows, stream));
    COVN_TRY(target_bias.allocate(rows, stream));
    COVN_TRY(target_logits.allocate(rows, stream));
    COVN_TRY(totals.allocate(rows, stream));
    COVN_TRY(host_targets.allocate(rows));
    COVN_TRY(host_target_bias.allocate(rows));
    COVN_TRY(host_target_logits.allocate(rows));
    COVN_TRY(host_totals.allocate(rows));
    COVN_TRY(uploaded.create());
    return finished.create();
  }
};

// A stripe of the vocabulary.
template <class T>
struct HiddenStripe {
  static constexpr size_t kNone = static_cast<size_t>(-1);

  size_t index = kNone;    // which it holds
  DeviceBuffer<T> weight;  // [entries, pitch]
  DeviceBuffer<float> bias;
  PinnedBuffer<float> host_bias;
  Event uploaded, read;

  Status allocate(size_t entries, size_t pitch, bool biased, cudaStream_t stream) {
    COVN_TRY(weight.allocate(entries * pitch, stream));
    if (biased) {
      COVN_TRY(bias.allocate(entries, stream));
      COVN_TRY(host_bias.allocate(entries));
    }
    COVN_TRY(uploaded.create());
    return read.create();
  }
};

template <class T>
struct HiddenBuffers {
  // Launches of some milliseconds each that wait on the device, while the host fills what comes next.
  static constexpr size_t kBatchesAhead = 4;

  // First, so that they are destroyed last: buffers are freed in the order of `compute`.
  Stream compute, upload;
  RowUpload rows;
  HiddenPanel<T> panels[2];
  std::unique_ptr<HiddenStripe<T>[]> stripes;
  DeviceBuffer<T> target_weight;   // [target_rows, pitch]
  DeviceBuffer<HiddenPart> parts;  // [tiles of a stripe, batch_rows]
  Event allocated, chunk_done[2], batch_done[kBatchesAhead];

  ~HiddenBuffers() {
    // The other stream's work on the buffers that are freed in this one's order, and copies from and to pinned memory.
    if (upload != nullptr) static_cast<void>(upload.synchronize());
    if (compute != nullptr) static_cast<void>(compute.synchronize());
  }

  Status allocate(const HiddenPlan& plan, const HiddenSize& size, size_t staged_bytes, bool biased) {
    COVN_TRY(compute.create());
    COVN_TRY(upload.create());
    COVN_TRY(rows.create(staged_bytes, plan.pitch * sizeof(T)));
    const size_t panel_rows = std::min(plan.panel_rows, size.tokens);
    for (size_t i = 0; i < std::min<size_t>(plan.panels, 2); i++) {
      COVN_TRY(panels[i].allocate(panel_rows, plan.pitch, compute));
    }
    stripes = std::make_unique<HiddenStripe<T>[]>(plan.weight_slots());
    const size_t entries = std::min(plan.stripe_entries, size.vocab);
    for (size_t i = 0; i < plan.weight_slots(); i++) {
      const size_t here = plan.resident ? std::min(entries, size.vocab - i * plan.stripe_entries) : entries;
      COVN_TRY(stripes[i].allocate(here, plan.pitch, biased, compute));
    }
    COVN_TRY(target_weight.allocate(std::min(plan.target_rows, size.tokens) * plan.pitch, compute));
    const size_t tiles = (entries + size.tile_entries - 1) / size.tile_entries;
    COVN_TRY(parts.allocate(tiles * std::min(plan.batch_rows, size.tokens), compute));
    for (Event& event : chunk_done) COVN_TRY(event.create());
    for (Event& event : batch_done) COVN_TRY(event.create());
    COVN_TRY(allocated.create());
    COVN_TRY(allocated.record(compute));
    return allocated.hold(upload);
  }
};

}  // namespace covn::cuda
