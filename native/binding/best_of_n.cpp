#include "binding/best_of_n.hpp"

namespace covn::binding {

namespace {

Reward reward_of(const Arguments& arguments) {
  Reward reward;
  const Napi::Value value = arguments.value("reward");
  const std::string kind = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (kind == "ownLogProb") return reward;
  if (kind == "logProb" || kind == "logRatio") {
    reward.kind = kind == "logProb" ? Reward::Kind::log_prob : Reward::Kind::log_ratio;
    reward.model = model_of(arguments, "other");
    return reward;
  }
  if (kind != "automaton") throw ArgumentError{expected(Code::dtype, "a kind of reward", "reward", kind)};
  reward.kind = Reward::Kind::automaton;
  Automaton& automaton = reward.automaton;
  automaton.columns = arguments.size("columns", 0x7fffffff);
  if (!arguments.value("classes").IsUndefined()) {
    automaton.classes = copy_of<uint32_t>(arguments, "classes", napi_uint32_array);
  }
  automaton.next = copy_of<int32_t>(arguments, "automatonNext", napi_int32_array);
  automaton.starts = copy_of<int32_t>(arguments, "automatonStart", napi_int32_array);
  automaton.values = arguments.doubles("values");
  automaton.rejected = arguments.number("rejected");
  return reward;
}

}  // namespace

BestOfNRequest best_of_n_request(const Arguments& arguments) {
  BestOfNRequest request;
  request.model = model_of(arguments, "model");
  request.prompts = copy_of<uint32_t>(arguments, "prompts", napi_uint32_array);
  request.samples = arguments.size("samples", size_t{1} << 31);
  request.seed = arguments.seed("seed");
  request.max_length = arguments.size("maxLength", kMaxResponseLength);
  request.reward = reward_of(arguments);
  request.success = arguments.number("success");
  for (int64_t size : arguments.offsets("sizes")) request.sizes.push_back(static_cast<uint64_t>(size));
  request.keep = arguments.size("keep", 65536);
  const size_t prompts = request.prompts.size(), at_sizes = prompts * request.sizes.size();
  request.successes = required(arguments, "successes", at_sizes);
  request.best_rewards = required(arguments, "bestRewards", at_sizes);
  request.kept_rewards = required(arguments, "keptRewards", prompts * request.keep);
  request.kept_samples = required(arguments, "keptSamples", prompts * request.keep);
  request.kept_log_probs = required(arguments, "keptLogProbs", prompts * request.keep);
  request.sums = required(arguments, "sums", prompts * 5);
  request.rewards = arguments.output<double>("rewards", napi_float64_array, prompts * request.samples);
  request.log_probs = arguments.output<double>("logProbs", napi_float64_array, prompts * request.samples);
  return request;
}

}  // namespace covn::binding
