// What the CUDA runtime says, as a Status.
#pragma once

#include <string>

#include "cuda/runtime.hpp"
#include "covn/status.hpp"

namespace covn::cuda {

// Errors after which every call of this process fails: the device's state is gone with whatever caused them.
inline bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorExternalDevice:
    case cudaErrorLaunchFailure: return true;
    // cudaErrorContained, which not every CUDA 12 has a name for.
    default: return static_cast<int>(error) == 226;
  }
}

// `doing`: what was tried, as in "copying to the device".
inline Status to_status(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return {};
  // The runtime also keeps the error for whoever asks next; it is said here.
  static_cast<void>(cudaGetLastError());
  if (error == cudaErrorMemoryAllocation)
    return {Code::out_of_memory, std::string("Out of CUDA memory while ") + doing};
  if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver) {
    return expected(Code::device, "an available device", "device",
                    std::string("cuda (") + cudaGetErrorString(error) + ")");
  }
  std::string text = std::string("The CUDA device failed while ") + doing + ": " + cudaGetErrorString(error) + " (" +
                     cudaGetErrorName(error) + ")";
  if (is_sticky(error)) text += "; this process cannot use it any more";
  return {Code::device, text};
}

}  // namespace covn::cuda

// Returns from the calling function what is not ok: of a Status, and of the runtime's calls.
#define COVN_TRY(call)                         \
  do {                                         \
    ::covn::Status covn_status = call;         \
    if (!covn_status.ok()) return covn_status; \
  } while (false)
#define COVN_CUDA_TRY(call, doing) COVN_TRY(::covn::cuda::to_status(call, doing))
