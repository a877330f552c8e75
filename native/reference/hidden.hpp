// The logits of scoreHidden in long double and in the plainest way. Shares no code with the kernels.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace covn::reference {

// [vocab] for one hidden state [width] and weight [vocab, width]; bias [vocab] or null; softcap 0: none.
template <class Number>
std::vector<long double> head_logits(const Number* hidden, const Number* weight, std::size_t width, std::size_t vocab,
                                     const float* bias, long double softcap) {
  std::vector<long double> logits(vocab);
  for (std::size_t j = 0; j < vocab; j++) {
    long double x = bias != nullptr ? bias[j] : 0.0L;
    for (std::size_t k = 0; k < width; k++) {
      x += static_cast<long double>(hidden[k]) * static_cast<long double>(weight[j * width + k]);
    }
    logits[j] = softcap > 0 ? softcap * std::tanh(x / softcap) : x;
  }
  return logits;
}

}  // namespace covn::reference
