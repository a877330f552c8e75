// Handles of the addon's models, and what their requests have in common.
#pragma once

#include <memory>
#include <vector>

#include "binding/arguments.hpp"
#include "covn/learn.hpp"
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

ResponseView response_view(const Arguments& arguments);
// What to draw, but for the model.
TabularSampling sampling_of(const Arguments& arguments);
// Responses that a job drew: tokens, offsets, logProbs, ended.
Napi::Value drawn_responses(Napi::Env env, TabularSampleJob& job);

// An output that has to be there. Empty arrays have no memory.
double* required(const Arguments& arguments, const char* name, size_t length);

}  // namespace covn::binding
