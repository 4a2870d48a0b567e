// Prints the times that no GPU can beat, as tables of the documentation: each kernel of a decode step, and
// whole steps. They are computed from plan/operation_cost.h and plan/step_cost.h; nothing is run.
#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "plan/geometries.h"
#include "plan/step_cost.h"

namespace uhd {
namespace {

std::string milliseconds(double seconds) {
  char cell[32];
  std::snprintf(cell, sizeof(cell), " %.2f |", seconds * 1e3);
  return cell;
}

void print_kernels(const LanguageConfig& language, int sequences, int keys) {
  const std::vector<AttentionSpan> spans(static_cast<size_t>(sequences), {1, keys});
  const StepCost step = language_step_cost(language, spans, sequences, 1);
  std::printf("\nOne decode step, %d sequences of %d tokens, one rank.\n\n", sequences, keys);
  std::printf("| kernel | in the step | MB each | GFLOP each |");
  for (const DeviceRoof& device : known_devices()) std::printf(" %s us |", device.name);
  std::printf("\n|---|---|---|---|---|---|---|---|\n");
  for (const KernelCost& k : step.kernels) {
    std::printf("| %s | %d | %.2f | %.3f |", k.name.c_str(), k.count, k.each.bytes / 1e6, k.each.flops / 1e9);
    for (const DeviceRoof& device : known_devices())
      std::printf(" %.2f |", roof_seconds(k.each, device) * 1e6);
    std::printf("\n");
  }
}

// `cells`: the columns of the devices.
void print_step(const std::string& what, const StepCost& step, const std::string& cells) {
  const Cost total = step.total();
  std::printf("| %s | %d | %.2f | %.2f | %.0f | %d |%s\n", what.c_str(), step.ranks, total.bytes / 1e9,
              total.flops / 1e12, total.launches, step.all_reduces, cells.c_str());
}

// A dash where it does not fit.
void print_language_step(const std::string& what, const LanguageConfig& language,
                         const std::vector<AttentionSpan>& spans, int ranks,
                         WeightFormat weights = WeightFormat::bf16) {
  const auto samples = static_cast<int>(spans.size());
  std::string cells;
  for (const DeviceRoof& device : known_devices()) {
    const StepRoof roof = step_roof(language, spans, samples, ranks, weights, device);
    cells += roof.fits ? milliseconds(roof.seconds) : " - |";
  }
  print_step(what, language_step_cost(language, spans, samples, ranks, weights), cells);
}

void print_steps(const std::string& model, const LanguageConfig& language) {
  for (const int ranks : {1, 2}) {
    for (const int keys : {1024, 4096}) {
      for (const int sequences : {1, 8, 32}) {
        const std::vector<AttentionSpan> spans(static_cast<size_t>(sequences), {1, keys});
        print_language_step(message(model, " decode, ", sequences, " x ", keys, " tokens"), language, spans,
                            ranks);
      }
    }
    print_language_step(model + " prefill, 1152 tokens", language, {{1152, 1152}}, ranks);
  }
}

int run() {
  std::printf(
      "| device | bf16 TFLOP/s | memory GB/s | GB | link GB/s one way | multiprocessors "
      "|\n|---|---|---|---|---|---|\n");
  for (const DeviceRoof& d : known_devices())
    std::printf("| %s | %.0f | %.0f | %.0f | %.0f | %d |\n", d.name, d.bf16_flops / 1e12,
                d.memory_speed / 1e9, d.memory / 1e9, d.link_speed / 1e9, d.processors);
  std::printf("\nWeights: 7B %.1f GB, 13B %.1f GB; K and V of a token: %.2f MB, %.2f MB.\n",
              weight_bytes(k7b, 1) / 1e9, weight_bytes(k13b, 1) / 1e9, kv_token_bytes(k7b, 1) / 1e6,
              kv_token_bytes(k13b, 1) / 1e6);
  print_kernels(k7b, 8, 1024);
  std::printf("\n| step | ranks | GB | TFLOP | launches | all-reduces |");
  for (const DeviceRoof& device : known_devices()) std::printf(" %s ms |", device.name);
  std::printf("\n|---|---|---|---|---|---|---|---|---|---|\n");
  print_steps("7B", k7b);
  print_steps("13B", k13b);
  for (const WeightFormat weights : {WeightFormat::int8, WeightFormat::int4}) {
    for (const int sequences : {1, 8}) {
      const std::vector<AttentionSpan> spans(static_cast<size_t>(sequences), {1, 1024});
      print_language_step(message("7B decode, ", sequences, " x 1024 tokens, ",
                                  weights == WeightFormat::int8 ? "fp8 or int8" : "int4"),
                          k7b, spans, 1, weights);
    }
  }
  for (const int slices : {1, 8, 32}) {
    const std::vector<PatchGrid> patches(static_cast<size_t>(slices), {24, 24});
    const StepCost step = vision_cost(kTower, kResampler, k13b.hidden, patches);
    std::string cells;
    for (const DeviceRoof& device : known_devices()) cells += milliseconds(roof_seconds(step, device));
    print_step(message("13B encode, ", slices, " slices of 576 patches"), step, cells);
  }
  return 0;
}

}  // namespace
}  // namespace uhd

int main() { return uhd::run(); }
