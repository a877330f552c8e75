// Best-of-N requests out of the objects that the TypeScript face passes, for the addons of all devices.
#pragma once

#include "binding/models.hpp"
#include "covn/best_of_n.hpp"

namespace covn::binding {

// All but the instruction set.
BestOfNRequest best_of_n_request(const Arguments& arguments);

}  // namespace covn::binding
