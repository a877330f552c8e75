#pragma once

#include "covn/tournament.hpp"

namespace covn {

Status check_log_probs(const LogProbMatrix& matrix);
Status check_thresholds(const std::vector<double>& thresholds);

}  // namespace covn
