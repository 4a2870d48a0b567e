// uhd check --backend answers whether a device of this machine computes correctly.
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdio>

#include "app/commands.h"
#include "app/operation_check.h"
#include "base/error.h"
#include "cluster/device_transport.h"
#include "cluster/launch/device_group.h"
#include "kernels/plugin.h"

namespace uhd {
namespace {

namespace json = boost::json;
using Rows = std::vector<std::pair<std::string, std::string>>;

struct BackendReport {
  std::string description;
  Rows devices;  // and libraries
  std::vector<std::pair<WeightFormat, std::vector<OperationCheck>>> operations;
  bool holds() const {
    for (const auto& [format, checks] : operations) {
      for (const OperationCheck& check : checks) {
        if (!check.holds()) return false;
      }
    }
    return true;
  }
};

BackendReport examine_backend(const std::string& kind) {
  BackendReport report;
  {
    const std::unique_ptr<Backend> backend = make_backend({.kind = kind});
    report.description = backend->description();
    if (!backend->host_memory()) {
      const auto* device = static_cast<const CudaReport*>(find_in_cuda_plugin("uhd_cuda_report"));
      check(device != nullptr, "the CUDA backend of this build does not report its devices");
      for (const auto& [name, value] : device->rows()) report.devices.emplace_back(name, value);
      const auto transport = open_device_transport(*backend);
      report.devices.emplace_back("between devices", transport == nullptr
                                                         ? "nothing: ranks go by way of the host"
                                                         : transport->version());
    }
  }
  for (const WeightFormat compute : {WeightFormat::f32, WeightFormat::bf16}) {
    const std::unique_ptr<Backend> backend = make_backend({.kind = kind, .compute = compute});
    const std::unique_ptr<Backend> reference =
        make_backend({.kind = "cpu", .threads = 1, .isa = "scalar", .compute = compute});
    report.operations.emplace_back(compute, check_operations(*backend, *reference, compute));
  }
  return report;
}

void print_row(const std::string& name, const std::string& value) {
  constexpr int kNameWidth = 40;
  std::printf("  %-*s%s\n", kNameWidth, name.c_str(), value.c_str());
}

std::string verdict(const OperationCheck& check) {
  if (!check.failure.empty()) return "FAILS: " + check.failure;
  char text[64];
  std::snprintf(text, sizeof(text), "%s  %.1e", check.holds() ? "ok   " : "WRONG", check.error);
  return text;
}

void print_backend(const BackendReport& report) {
  std::printf("%s\n", report.description.c_str());
  for (const auto& [name, value] : report.devices) print_row(name, value);
  for (const auto& [format, checks] : report.operations) {
    std::printf("operations with weights in %s, largest error against plain loops:\n",
                std::string(name_of(format)).c_str());
    for (const OperationCheck& check : checks) print_row(check.operation, verdict(check));
  }
  std::printf("%s\n", report.holds() ? "every operation holds" : "some operations do not hold");
}

std::string backend_json(const BackendReport& report) {
  json::object devices;
  for (const auto& [name, value] : report.devices) devices[name] = value;
  json::array operations;
  for (const auto& [format, checks] : report.operations) {
    for (const OperationCheck& check : checks) {
      json::object one{
          {"operation", check.operation}, {"weights", name_of(format)}, {"holds", check.holds()}};
      // JSON has no numbers for what is none.
      one["error"] = std::isfinite(check.error) ? json::value(check.error) : json::value(nullptr);
      one["allowed"] = check.allowed;
      if (!check.failure.empty()) one["failure"] = check.failure;
      operations.push_back(std::move(one));
    }
  }
  return json::serialize(json::object{{"backend", report.description},
                                      {"devices", std::move(devices)},
                                      {"operations", std::move(operations)},
                                      {"holds", report.holds()}});
}

}  // namespace

bool check_backend(const std::string& kind, bool as_json) {
  const BackendReport report = examine_backend(kind);
  if (as_json) {
    std::printf("%s\n", backend_json(report).c_str());
  } else {
    print_backend(report);
  }
  return report.holds();
}

}  // namespace uhd
