// What tournaments and pairwise counts refuse, on every device.
#pragma once

#include "covn/tournament.hpp"

namespace covn {

// Log-probs are looked at in blocks of this many responses of all models; the first bad one of the first bad block is
// named, by model and then by response.
constexpr size_t kCheckedResponses = 2040;

Status check_log_probs(const LogProbMatrix& matrix);
Status check_thresholds(const std::vector<double>& thresholds);
// Both, and that the counts are not too many.
Status check_pairwise(const LogProbMatrix& matrix, const std::vector<double>& thresholds);
// Names the first NaN or +inf among the models from `first_model` on in a block of responses.
Status not_log_prob(const LogProbMatrix& matrix, size_t block, size_t first_model = 0);

}  // namespace covn
