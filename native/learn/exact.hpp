// What the exact expectations share.
#pragma once

#include "covn/learn.hpp"

namespace covn {

Status check_exact(const ExactRequest& request);
// The refusal of a machine in which responses need not end.
Status has_loop(size_t prompt);

}  // namespace covn
