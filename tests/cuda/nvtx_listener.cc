#include "tests/cuda/nvtx_listener.h"

#include <nvtx3/nvToolsExt.h>

#include <mutex>
#include <utility>

namespace {

std::mutex mutex;
std::vector<std::string> ranges;

void hear(const char* what) {
  const std::lock_guard lock(mutex);
  ranges.emplace_back(what);
}

int push(const char* name) {
  hear(name);
  return 0;
}

int pop() {
  hear("/");
  return 0;
}

std::vector<std::string> take_ranges() {
  const std::lock_guard lock(mutex);
  return std::exchange(ranges, {});
}

template <class Function>
NvtxFunctionPointer as_callback(Function* function) {
  return reinterpret_cast<NvtxFunctionPointer>(function);
}

}  // namespace

extern "C" const uhd::HeardRanges uhd_heard_ranges = take_ranges;

// NVTX calls this when it has loaded the library. A result other than 0 means that it listens.
extern "C" int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions = nullptr;
  unsigned size = 0;
  if (callbacks == nullptr ||
      callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &size) == 0 ||
      size <= NVTX_CBID_CORE_RangePop) {
    return 0;
  }
  *functions[NVTX_CBID_CORE_RangePushA] = as_callback(push);
  *functions[NVTX_CBID_CORE_RangePop] = as_callback(pop);
  return 1;
}
