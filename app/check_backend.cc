// uhd check --backend answers whether a device of this machine computes correctly.
#include <cstdio>

#include "app/commands.h"
#include "app/operation_check.h"
#include "base/error.h"
#include "cluster/device_transport.h"
#include "cluster/launch/device_group.h"
#include "kernels/plugin.h"

namespace uhd {
namespace {

constexpr int kNameWidth = 40;

void print_row(const std::string& name, const std::string& value) {
  std::printf("  %-*s%s\n", kNameWidth, name.c_str(), value.c_str());
}

std::string verdict(const OperationCheck& check) {
  if (!check.failure.empty()) return "FAILS: " + check.failure;
  char text[64];
  std::snprintf(text, sizeof(text), "%s  %.1e", check.holds() ? "ok   " : "WRONG", check.error);
  return text;
}

// Every operation in the arithmetic of one weight format; how many do not hold.
int print_operations(const std::string& kind, WeightFormat compute) {
  const std::unique_ptr<Backend> backend = make_backend({.kind = kind, .compute = compute});
  const std::unique_ptr<Backend> reference =
      make_backend({.kind = "cpu", .threads = 1, .isa = "scalar", .compute = compute});
  std::printf("operations with weights in %s, largest error against plain loops:\n",
              compute == WeightFormat::f32 ? "f32" : "bf16");
  int broken = 0;
  for (const OperationCheck& check : check_operations(*backend, *reference, compute)) {
    print_row(check.operation, verdict(check));
    broken += check.holds() ? 0 : 1;
  }
  return broken;
}

}  // namespace

bool check_backend(const std::string& kind) {
  {
    const std::unique_ptr<Backend> backend = make_backend({.kind = kind});
    std::printf("%s\n", backend->description().c_str());
    if (!backend->host_memory()) {
      const auto* report = static_cast<const CudaReport*>(find_in_cuda_plugin("uhd_cuda_report"));
      check(report != nullptr, "the CUDA backend of this build does not report its devices");
      for (const auto& [name, value] : report->rows()) print_row(name, value);
      const auto transport = open_device_transport(*backend);
      print_row("between devices",
                transport == nullptr ? "nothing: ranks go by way of the host" : transport->version());
    }
  }
  const int broken = print_operations(kind, WeightFormat::f32) + print_operations(kind, WeightFormat::bf16);
  std::printf("%s\n", broken == 0 ? "every operation holds" : "some operations do not hold");
  return broken == 0;
}

}  // namespace uhd
