#include "covn/cuda.hpp"
#include "cuda/free_memory.hpp"
#include "cuda/runtime.hpp"
#include "cuda/status.hpp"

namespace covn::cuda {

namespace {

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

// The driver's version is 0 where there is none.
Status no_device(cudaError_t error, const DeviceInfo& info) {
  static_cast<void>(cudaGetLastError());
  if (error == cudaErrorInsufficientDriver || info.driver < info.runtime / 1000 * 1000) {
    if (info.driver == 0) return {Code::device, "no NVIDIA driver is installed"};
    return {Code::device, "the NVIDIA driver is too old: it runs CUDA up to " + version(info.driver) +
                              ", and the addon was built with CUDA " + version(info.runtime)};
  }
  if (error == cudaErrorNoDevice || error == cudaSuccess) return {Code::device, "no CUDA device was found"};
  return {Code::device, std::string("the CUDA device cannot be used: ") + cudaGetErrorString(error) + " (" +
                            cudaGetErrorName(error) + ")"};
}

class OpenJob final : public Job {
 public:
  size_t chunk_count() const override { return 1; }

 protected:
  void run_chunk(size_t chunk) override {
    size_t free = 0;
    if (Status status = ask_free_memory(free); !status.ok()) fail(chunk, 0, std::move(status));
    noted_free_memory.store(free, std::memory_order_relaxed);
  }
};

}  // namespace

Status make_open_job(std::unique_ptr<Job>& job) {
  job = std::make_unique<OpenJob>();
  return {};
}

Status device_info(DeviceInfo& info) {
  static_cast<void>(cudaDriverGetVersion(&info.driver));
  static_cast<void>(cudaRuntimeGetVersion(&info.runtime));
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) return no_device(error, info);
  cudaDeviceProp properties;
  COVN_CUDA_TRY(cudaGetDeviceProperties(&properties, 0), "asking for its properties");
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.memory = properties.totalGlobalMem;
  int pools = 0;
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, 0), "asking for its properties");
#ifdef COVN_CUDA_EMULATED
  info.name = "emulated";
  info.emulated = true;
#endif
  if (info.major < kLeastMajor) {
    return {Code::device, info.name + " has compute capability " + std::to_string(info.major) + "." +
                              std::to_string(info.minor) + ", and 8.0 is the least that is supported"};
  }
  if (pools == 0) return {Code::device, info.name + " has no memory pools here, which covn needs"};
  return {};
}

}  // namespace covn::cuda
