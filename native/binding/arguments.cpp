#include "binding/arguments.hpp"

#include <cmath>

#include "core/huge_pages.hpp"

namespace covn::binding {

namespace {

[[noreturn]] void refuse(Code code, const std::string& what, const std::string& name, const std::string& received) {
  throw ArgumentError{expected(code, what, name, received)};
}

}  // namespace

Arguments::Arguments(const Napi::Value& value) {
  if (!value.IsObject()) refuse(Code::dtype, "an object", "the request", "another value");
  object_ = value.As<Napi::Object>();
}

double Arguments::number(const char* name) const {
  const Napi::Value value = object_.Get(name);
  if (!value.IsNumber()) refuse(Code::dtype, "a number", name, "another value");
  return value.As<Napi::Number>().DoubleValue();
}

size_t Arguments::size(const char* name, size_t max) const {
  const double value = number(name);
  if (!(value >= 0 && value <= static_cast<double>(max)) || value != std::floor(value)) {
    refuse(Code::range, "a whole number up to " + std::to_string(max), name, std::to_string(value));
  }
  return static_cast<size_t>(value);
}

bool Arguments::flag(const char* name) const { return object_.Get(name).ToBoolean(); }

Arguments::RawView Arguments::raw_view(const char* name, napi_typedarray_type type, size_t element_size) const {
  const Napi::Value value = object_.Get(name);
  if (!value.IsTypedArray()) refuse(Code::dtype, "a typed array", name, "another value");
  napi_typedarray_type actual;
  size_t length = 0;
  void* data = nullptr;
  napi_get_typedarray_info(value.Env(), value, &actual, &length, &data, nullptr, nullptr);
  if (actual != type) refuse(Code::dtype, "a typed array of the documented type", name, "another");
  if (reinterpret_cast<uintptr_t>(data) % element_size != 0)
    refuse(Code::dtype, "aligned memory", name, "a shifted view");
  views_.push_back(value);
  return {data, length};
}

Arguments::RawView Arguments::raw_output(const char* name, napi_typedarray_type type, size_t element_size,
                                         size_t length) const {
  if (object_.Get(name).IsUndefined()) return {nullptr, 0};
  const RawView raw = raw_view(name, type, element_size);
  if (raw.length != length) {
    refuse(Code::shape, std::to_string(length) + " elements", name, std::to_string(raw.length));
  }
  advise_huge_pages(raw.data, length * element_size);
  return raw;
}

std::vector<double> Arguments::doubles(const char* name) const {
  const View<double> raw = view<double>(name, napi_float64_array);
  return {raw.data, raw.data + raw.length};
}

std::vector<int64_t> Arguments::offsets(const char* name) const {
  std::vector<int64_t> offsets;
  for (double value : doubles(name)) {
    if (!(value >= 0 && value <= 9007199254740992.0) || value != std::floor(value)) {
      refuse(Code::range, "whole numbers >= 0", name, std::to_string(value));
    }
    offsets.push_back(static_cast<int64_t>(value));
  }
  return offsets;
}

uint64_t Arguments::seed(const char* name) const {
  const auto words = view<const uint32_t>(name, napi_uint32_array);
  if (words.length != 2) refuse(Code::shape, "two words", name, std::to_string(words.length));
  return uint64_t{words.data[1]} << 32 | words.data[0];
}

Target Arguments::target(const char* name) const {
  const Napi::Value value = object_.Get(name);
  const std::string wanted = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  for (Target target : kTargets) {
    if (wanted == target_name(target)) return target;
  }
  refuse(Code::device, "the name of an instruction set", name, wanted);
}

}  // namespace covn::binding
