// Reading of the plain objects that the TypeScript face passes. Whatever is wrong with one is an error with a code,
// never a crash. One thing is not checked but required: a typed array passed to an asynchronous call stays attached
// until the call settles (the TypeScript face passes arrays that nobody else has, or shared memory, which cannot be
// detached).
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/cpu.hpp"
#include "covn/status.hpp"

namespace covn::binding {

// Thrown inside the binding; becomes a status object for JavaScript.
struct ArgumentError {
  Status status;
};

// A typed array's memory; null and 0 for a detached one.
template <class T>
struct View {
  T* data = nullptr;
  size_t length = 0;
};

class Arguments {
 public:
  explicit Arguments(const Napi::Value& value);

  double number(const char* name) const;
  size_t size(const char* name, size_t max) const;
  bool flag(const char* name) const;
  Napi::Value value(const char* name) const { return object_.Get(name); }
  // Whole numbers from a Float64Array: 64-bit offsets without BigInt.
  std::vector<int64_t> offsets(const char* name) const;
  std::vector<double> doubles(const char* name) const;
  // 64 bits from a Uint32Array: the low word, the high word.
  uint64_t seed(const char* name) const;
  // The instruction set by its name.
  Target target(const char* name) const;

  // Every typed array read so far, to be held while a job uses their memory.
  const std::vector<Napi::Value>& views() const { return views_; }

  // A typed array of this element type; `length` elements where that is given. Null when undefined and not required.
  template <class T>
  View<T> view(const char* name, napi_typedarray_type type) const {
    const RawView raw = raw_view(name, type, sizeof(T));
    return {static_cast<T*>(raw.data), raw.length};
  }
  template <class T>
  T* output(const char* name, napi_typedarray_type type, size_t length) const {
    const RawView raw = raw_output(name, type, sizeof(T), length);
    return static_cast<T*>(raw.data);
  }

 private:
  struct RawView {
    void* data;
    size_t length;
  };
  RawView raw_view(const char* name, napi_typedarray_type type, size_t element_size) const;
  RawView raw_output(const char* name, napi_typedarray_type type, size_t element_size, size_t length) const;

  Napi::Object object_;
  mutable std::vector<Napi::Value> views_;
};

}  // namespace covn::binding
