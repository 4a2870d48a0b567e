// Lists the cases for CUDA: both types of activations, every order of threads that the device offers, and the
// forms of attention.
#include "kernels/plugin.h"
#include "tests/cuda/device_control.h"
#include "tests/kernels/device_mirror.h"
#include "tests/kernels/support.h"

namespace uhd {

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  for (const std::string& order : device_orders())
    for (const WeightFormat compute : {WeightFormat::f32, WeightFormat::bf16})
      cases.push_back({.name = order + (compute == WeightFormat::f32 ? "_f32" : "_bf16"),
                       .options = {.kind = "cuda", .compute = compute},
                       .order = order,
                       .recovers = device_recovers(),
                       .bits_of_a_row = device_recovers()});
  const BackendCase bf16 = cases.back();
  const auto add_form = [&](const std::string& attention) {
    BackendCase other = bf16;
    other.name += "_" + attention;
    other.options.attention = attention;
    cases.push_back(other);
  };
  add_form("plain");
  if (UHD_HAS_FLASHINFER) add_form("flashinfer");
  return cases;
}

// Products and attention choose their tiles by the number of rows.
std::vector<BackendCase> equal_bits_cases() { return {}; }

// A case of bf16 activations has no others, whatever type is asked for.
std::unique_ptr<Backend> make_backend(const BackendCase& which, WeightFormat compute) {
  BackendOptions options = which.options;
  if (options.compute == WeightFormat::f32) options.compute = compute;
  choose_device_order(which.order);
  return std::make_unique<DeviceMirror>(make_cuda_backend(options), recover_device);
}

}  // namespace uhd
