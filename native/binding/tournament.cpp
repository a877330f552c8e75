#include "covn/tournament.hpp"

#include <algorithm>

#include "binding/requests.hpp"

namespace covn::binding {

namespace {

Napi::Value pairwise_counts(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    const LogProbMatrix log_probs = log_prob_matrix(arguments);
    return start_pairwise(
        info, arguments,
        made<PairwiseJob>(make_pairwise_job, log_probs, arguments.doubles("thresholds"), arguments.target("target")));
  });
}

// Ladder k is thresholds offsets[k] .. offsets[k + 1].
std::vector<std::vector<double>> ladders_of(const Arguments& arguments) {
  const std::vector<double> thresholds = arguments.doubles("thresholds");
  const std::vector<int64_t> offsets = arguments.offsets("ladderOffsets");
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != static_cast<int64_t>(thresholds.size()) ||
      !std::is_sorted(offsets.begin(), offsets.end())) {
    throw ArgumentError{expected(Code::shape, "offsets from 0 to the number of thresholds", "ladderOffsets", "others")};
  }
  std::vector<std::vector<double>> ladders;
  for (size_t k = 0; k + 1 < offsets.size(); k++) {
    ladders.emplace_back(thresholds.begin() + offsets[k], thresholds.begin() + offsets[k + 1]);
  }
  return ladders;
}

Napi::Value tournament(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    TournamentRequest request;
    request.log_probs = log_prob_matrix(arguments);
    request.ladders = ladders_of(arguments);
    const auto units = arguments.view<const int32_t>("units", napi_int32_array);
    if (units.length != request.log_probs.responses) {
      throw ArgumentError{expected(Code::shape, "one unit a response", "units", std::to_string(units.length))};
    }
    request.units = units.data;
    request.unit_count = arguments.size("unitCount", 0x7fffffff);
    request.replicates = arguments.size("replicates", kMaxReplicateScores);
    request.tail_rank = arguments.size("tailRank", kMaxReplicateScores);
    request.seed = arguments.seed("seed");
    const size_t m = request.log_probs.models, tournaments = request.ladders.size();
    size_t rungs = 0;
    for (const std::vector<double>& ladder : request.ladders) rungs += ladder.size();
    request.choices = arguments.output<int32_t>("choices", napi_int32_array, tournaments * 2);
    request.ladder_scores = arguments.output<double>("ladderScores", napi_float64_array, rungs * m);
    request.worst_opponent = arguments.output<int32_t>("worstOpponent", napi_int32_array, tournaments * m);
    request.choice_counts = arguments.output<double>("choiceCounts", napi_float64_array, tournaments * 2 * m);
    request.limits = arguments.output<double>("limits", napi_float64_array, tournaments * 2 * (m + 1));
    if (!request.choices || !request.ladder_scores || !request.worst_opponent || !request.choice_counts ||
        !request.limits) {
      throw ArgumentError{expected(Code::dtype, "typed arrays", "the outputs", "undefined")};
    }
    return start_filling(info, arguments, made<Job>(make_tournament_job, request, arguments.target("target")));
  });
}

}  // namespace

void export_tournament(Napi::Env env, Napi::Object exports) {
  exports["pairwiseCounts"] = Napi::Function::New(env, pairwise_counts, "pairwiseCounts");
  exports["tournament"] = Napi::Function::New(env, tournament, "tournament");
}

}  // namespace covn::binding
