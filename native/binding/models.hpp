// Handles of the addon's models, and what their requests have in common.
#pragma once

#include <memory>
#include <vector>

#include "binding/arguments.hpp"
#include "covn/tabular.hpp"

namespace covn::binding {

using ModelHandle = std::shared_ptr<const TabularModel>;

Napi::Value wrap_model(Napi::Env env, ModelHandle model);
ModelHandle model_of(const Arguments& arguments, const char* name);
ModelHandle linear_of(const Arguments& arguments, const char* name);

// A machine of contexts, without log-probs.
TabularRows machine_of_input(const Arguments& arguments);

template <class T>
std::vector<T> copy_of(const Arguments& arguments, const char* name, napi_typedarray_type type) {
  const auto view = arguments.view<const T>(name, type);
  return {view.data, view.data + view.length};
}

// An output that has to be there. Empty arrays have no memory.
double* required(const Arguments& arguments, const char* name, size_t length);

}  // namespace covn::binding
