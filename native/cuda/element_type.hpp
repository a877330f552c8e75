// From a number format that is known at run time to code for its type.
#pragma once

#include "core/number_formats.hpp"

namespace covn::cuda {

// What `call` gives of an element of the type that `dtype` names.
template <class Call>
auto with_type(DType dtype, const Call& call) {
  switch (dtype) {
    case DType::f32: return call(float{});
    case DType::f16: return call(Float16{});
    default: return call(BFloat16{});
  }
}

}  // namespace covn::cuda
