// What the functions that score tokens share: their arguments, and how they run.
#pragma once

#include "binding/exports.hpp"
#include "covn/logprob.hpp"

namespace covn::binding {

constexpr size_t kMaxVocab = (size_t{1} << 31) - 1;

DType dtype_of(const Arguments& arguments);

// Numbers in a storage format.
struct NumberView {
  const void* data;
  size_t length;
};
NumberView numbers_of(const Arguments& arguments, const char* name, DType dtype);

// Targets, offsets and options, but for the instruction set.
void read_tokens(const Arguments& arguments, TokenRows& tokens);
// The same with the outputs of the functions that score one model.
TokenScoring scoring_of(const Arguments& arguments);
// A Float64Array [responses] that must be there wherever there are responses.
double* response_output(const Arguments& arguments, const char* name, const TokenRows& tokens);

// Makes the job of a request, or throws ArgumentError.
using MakeScoreJob = std::unique_ptr<ScoreJob> (*)(const Arguments& arguments);

// Asynchronously; the result is the rows that are not finite.
Napi::Value start_scoring(const Napi::CallbackInfo& info, MakeScoreJob make);
// On this thread: the rows that are not finite, or a status object.
Napi::Value score_now(const Napi::CallbackInfo& info, MakeScoreJob make);

}  // namespace covn::binding
