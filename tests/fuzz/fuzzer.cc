// libFuzzer's entry: "uhd_fuzz --target=NAME [libFuzzer's options] [folders of inputs]". libFuzzer passes
// over options that begin with two dashes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "tests/fuzz/targets.h"

namespace {

const uhd::FuzzTarget* target = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  constexpr std::string_view kOption = "--target=";
  for (int i = 1; i < *count; ++i) {
    const std::string_view argument = (*arguments)[i];
    if (argument.starts_with(kOption)) target = uhd::find_fuzz_target(argument.substr(kOption.size()));
  }
  if (target == nullptr) {
    std::fputs("uhd_fuzz: give one of these:\n", stderr);
    for (const auto& known : uhd::fuzz_targets())
      std::fprintf(stderr, "  --target=%s\n", std::string(known.name).c_str());
    std::exit(2);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    target->run({reinterpret_cast<const char*>(data), size});
  } catch (const uhd::Error&) {
    return 0;  // refused
  }
  return 0;
}
