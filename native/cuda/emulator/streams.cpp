#include "cuda/emulator/device_state.hpp"

using namespace covn::cuda::emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  COVN_CALL(call);
  device().queues.push_back(*stream = new Queue);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Call call;
  drain(*stream);
  std::erase(device().queues, stream);
  delete stream;
  return call.failed() ? call.error() : call.end();
}
// Also where it fails the work is done.
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Call call;
  drain(*stream);
  return call.failed() ? call.error() : call.end();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  COVN_CALL(call);
  if (stream->work.empty()) return cudaSuccess;
  run_one(*stream);
  return call.end(cudaErrorNotReady);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  COVN_CALL(call);
  const uint64_t count = event->recorded;
  if (event->queue != stream) enqueue(stream, [event, count] { drain_to(*event, count); });
  return call.end();
}

// An event lives until the work that names it is done; the few that tests leave behind do not matter.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  COVN_CALL(call);
  *event = new Mark;
  device().events++;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Call call;
  drain_all();
  device().events--;
  delete event;
  return call.failed() ? call.error() : call.end();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  COVN_CALL(call);
  if (stream == nullptr) return call.end(cudaErrorInvalidResourceHandle);
  drain_to(*event, event->recorded);
  event->queue = stream;
  event->recorded++;
  enqueue(stream, [event] {
    event->reached++;
    event->time = std::chrono::steady_clock::now();
  });
  return call.end();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  COVN_CALL(call);
  drain_to(*event, event->recorded);
  return call.end();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  COVN_CALL(call);
  if (event->reached == event->recorded) return cudaSuccess;
  run_one(*event->queue);
  return call.end(cudaErrorNotReady);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  COVN_CALL(call);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}
