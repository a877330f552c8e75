#!/usr/bin/env bash
# Checks an NVIDIA GPU: builds the CUDA backend for it alone and compares every operation with the CPU's, then runs
# compute-sanitizer where it is installed. Needs the GPU, its driver, cmake 3.20, a C++20 compiler and nvcc; no Node.
# Arguments: a folder to build in (build-gpu). The last line is "N passed, N failed".
#
# COVN_GPU_CHECK_JOBS: how many compilers at a time (all processors). COVN_GPU_CHECK_SECONDS: what has not begun by then is
# skipped (500), and a sanitizer gets an eighth of it for the operations.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

passed=0
failed=0
build=${1:-build-gpu}
jobs=${COVN_GPU_CHECK_JOBS:-$(getconf _NPROCESSORS_ONLN)}
deadline=${COVN_GPU_CHECK_SECONDS:-500}
limit=$((deadline / 8))
export CUDA_DEVICE_ORDER=PCI_BUS_ID # nvidia-smi's
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}
refuse() {
  echo "gpu-check: $1" >&2
  exit 1
}
outcome() { # name, figure, whether it is right (0)
  if [ "$3" -eq 0 ]; then
    passed=$((passed + 1))
    printf '%-66s %-37s ok\n' "$1" "$2"
  else
    failed=$((failed + 1))
    printf '%-66s %-37s FAILED\n' "$1" "$2"
  fi
}

# What there is.
command -v nvidia-smi >/dev/null || refuse 'Expected an NVIDIA GPU but found no nvidia-smi: no driver is installed'
chosen=${CUDA_VISIBLE_DEVICES:-0}
query() { nvidia-smi --id="${chosen%%,*}" --query-gpu="$1" --format=csv,noheader 2>/dev/null; }
capability=$(query compute_cap) && [[ $capability =~ ^[0-9]+\.[0-9]+$ ]] ||
  refuse "Expected an NVIDIA GPU but nvidia-smi shows none: ${capability:-$(nvidia-smi -L 2>&1 | head -n 1)}"
command -v cmake >/dev/null || refuse 'Expected cmake (3.20 or newer) in PATH but found nothing'
nvcc=
for candidate in "${CUDACXX:-}" "${CUDA_PATH:-/nowhere}/bin/nvcc" "${CUDA_HOME:-/nowhere}/bin/nvcc" nvcc \
  /usr/local/cuda/bin/nvcc; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null; then
    nvcc=$(command -v "$candidate")
    break
  fi
done
[ -n "$nvcc" ] || refuse 'Expected nvcc of CUDA 12 or 13 in PATH, CUDA_PATH or /usr/local/cuda but found nothing'

architecture=${capability/./}
[ "$architecture" = 90 ] && architecture=90a # with the instructions that only these have
echo "GPU: $(query name), compute capability $capability, $(query memory.total), driver $(query driver_version)"
echo "clocks: $(query clocks.sm) and memory $(query clocks.mem) now;" \
  "$(query clocks.max.sm) and $(query clocks.max.mem) at most; power $(query power.draw) of $(query power.limit)"
echo "$("$nvcc" --version | sed -n 's/^Cuda compilation tools, //p'); $(cmake --version | head -n 1); $jobs jobs"

# The build.
begin=$SECONDS
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCOVN_CUDA=ON -DCMAKE_CUDA_COMPILER="$nvcc" \
  -DCOVN_CUDA_ARCHITECTURES="$architecture" -DCOVN_EMULATE=OFF >"$logs/build" 2>&1 &&
  cmake --build "$build" --target covn_gpu_check --parallel "$jobs" >>"$logs/build" 2>&1
status=$?
[ "$status" -eq 0 ] || tail -n 40 "$logs/build"
outcome "builds for sm_$architecture" "$((SECONDS - begin)) s" "$status"
[ "$status" -eq 0 ] || finish
program=$build/covn_gpu_check

# Its own checks.
begin=$SECONDS
timeout --kill-after=10 300 "$program" 2>&1 | tee "$logs/checks"
status=${PIPESTATUS[0]}
counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$logs/checks" | tail -n 1)
echo "checks took $((SECONDS - begin)) s"
if [ -n "$counts" ]; then
  passed=$((passed + ${counts% *}))
  failed=$((failed + ${counts#* }))
fi
# One that broke off has failed too.
if [ "$status" -ne 0 ] && { [ -z "$counts" ] || [ "${counts#* }" -eq 0 ]; }; then
  outcome 'the checks come to their end' "exit status $status" 1
fi

# A control that is not found is a failure: what does not find it cannot be trusted about the rest.
timeout 60 "$program" --planted wrong-result >"$logs/control" 2>&1
status=$?
[ "$status" -eq 1 ] && grep -q ' 1 failed$' "$logs/control"
outcome 'control: a changed result' "exit status $status, to be 1" $?

sanitizer=$(command -v compute-sanitizer || true)
for folder in "$(dirname "$nvcc")" /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer; do
  [ -z "$sanitizer" ] && [ -x "$folder/compute-sanitizer" ] && sanitizer=$folder/compute-sanitizer
done
if [ -z "$sanitizer" ]; then
  echo 'compute-sanitizer is not installed: memcheck, racecheck, initcheck and synccheck are skipped'
  finish
fi
found=99 # the exit status where a tool has found something
sanitize() { # log, tool, arguments of the program...
  timeout --kill-after=10 "$limit" "$sanitizer" --tool "$2" --error-exitcode "$found" "$program" "${@:3}" >"$1" 2>&1
  echo $? >"$1.status"
}
# The tool's last line, "ERROR SUMMARY: 0 errors" or "RACECHECK SUMMARY: 0 hazards displayed ..".
summary_of() { sed -n 's/^========= \(.*SUMMARY: .*\)/\1/p' "$1" | tail -n 1; }
declare -A planted=([memcheck]=write_out_of_bounds [racecheck]=race_in_shared_memory
  [initcheck]=read_uninitialised [synccheck]=divergent_barrier) # kernels, which the tool is to name
for tool in memcheck racecheck initcheck synccheck; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    printf '%-66s skipped: %s s are over\n' "$tool" "$deadline"
    continue
  fi
  operations='scoreLogits scoreHidden scorePair sampleLogits counts Best-of-N'
  # Kernels on logits and hidden states read whole 16 bytes where the last of them begin inside the input: initcheck would
  # name bytes that nobody uses.
  [ "$tool" = initcheck ] && operations=counts
  # Side by side: they keep the processors busy more than the device.
  begin=$SECONDS
  runs=()
  sanitize "$logs/$tool" "$tool" --planted "$tool" &
  runs+=($!)
  for operation in $operations; do
    sanitize "$logs/$tool-$operation" "$tool" --small --only "$operation" &
    runs+=($!)
  done
  wait "${runs[@]}"

  status=$(cat "$logs/$tool.status")
  summary=$(summary_of "$logs/$tool")
  # Warnings have no exit status.
  { [ "$status" -eq "$found" ] || [[ $summary =~ SUMMARY:\ [1-9] ]]; } && grep -q "${planted[$tool]}" "$logs/$tool"
  right=$?
  [ "$right" -eq 0 ] || tail -n 20 "$logs/$tool"
  outcome "control: $tool finds the planted bug" "${summary:-exit status $status, to be $found}" "$right"
  for operation in $operations; do
    log=$logs/$tool-$operation
    status=$(cat "$log.status")
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
      printf '%-66s skipped: took longer than %s s\n' "$tool: $operation" "$limit"
      continue
    fi
    summary=$(summary_of "$log")
    [ "$status" -eq 0 ] && [[ $summary =~ SUMMARY:\ 0\  ]] && grep -q ' passed, 0 failed$' "$log"
    right=$?
    [ "$right" -eq 0 ] || { head -n 30 "$log"; tail -n 5 "$log"; }
    outcome "$tool: $operation" "${summary:-exit status $status}" "$right"
  done
  echo "$tool took $((SECONDS - begin)) s"
done
finish
