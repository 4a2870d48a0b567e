// Lists the cases for the CPU: every available instruction set, and several thread counts. The twins of
// AMX are slow, and one thread count suffices for them.
#include "kernels/cpu/isa.h"
#include "tests/kernels/support.h"

namespace uhd {

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  const auto add = [&](std::string_view table, int threads) {
    cases.push_back({.name = message(table, '_', threads),
                     .options = {.kind = "cpu", .threads = threads, .isa = std::string(table)},
                     .order = ""});
  };
  for (const cpu::Table* table : cpu::available_tables())
    for (int threads = 1; threads <= 3; ++threads) add(table->name, threads);
  for (const cpu::Table* twin : cpu::twin_tables()) add(twin->name, 2);
  return cases;
}

std::vector<BackendCase> equal_bits_cases() { return backend_cases(); }

std::unique_ptr<Backend> make_backend(const BackendCase& which, WeightFormat compute) {
  BackendOptions options = which.options;
  options.compute = compute;
  return make_backend(options);
}

}  // namespace uhd
