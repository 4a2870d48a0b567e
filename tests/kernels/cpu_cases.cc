// Lists the cases for the CPU: every available instruction set, and several thread counts.
#include "kernels/cpu/isa.h"
#include "tests/kernels/support.h"

namespace uhd {

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  for (const cpu::Table* table : cpu::available_tables())
    for (int threads = 1; threads <= 3; ++threads)
      cases.push_back({.name = std::string(table->name) + "_" + std::to_string(threads),
                       .options = {.kind = "cpu", .threads = threads, .isa = table->name},
                       .order = ""});
  return cases;
}

std::vector<BackendCase> equal_bits_cases() { return backend_cases(); }

std::unique_ptr<Backend> make_backend(const BackendCase& which, WeightFormat compute) {
  BackendOptions options = which.options;
  options.compute = compute;
  return make_backend(options);
}

}  // namespace uhd
