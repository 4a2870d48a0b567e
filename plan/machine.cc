#include "plan/machine.h"

#include <algorithm>

#include "base/error.h"
#include "base/mapped_file.h"
#include "configs/yaml_settings.h"

namespace uhd {
namespace {

constexpr size_t kLongestName = 64;
constexpr double kLeastFigure = 1e-3, kMostFigure = 1e6;  // from a microcontroller to a whole rack

bool is_printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

Machine parse_machine(const std::string& yaml, const std::string& name) {
  Machine machine;
  const std::vector<Setting> settings{
      {"name", &machine.name, "of the device"},
      {"bf16_tflops", &machine.bf16_tflops, "dense, a second", kLeastFigure, kMostFigure},
      {"memory_gb_s", &machine.memory_gb_s, "speed of the memory", kLeastFigure, kMostFigure},
      {"memory_gb", &machine.memory_gb, "size of the memory", kLeastFigure, kMostFigure},
      {"link_gb_s", &machine.link_gb_s, "one way, to the other devices of its node", kLeastFigure,
       kMostFigure},
      {"multiprocessors", &machine.multiprocessors, "of the device", 1, kMostFigure},
      {"measured", &machine.measured, "whether the figures are of uhd calibrate, and not of a data sheet"},
      {"host", &machine.host, "whether it is the CPU with its memory"},
  };
  read_yaml(yaml, name, settings);
  for (const Setting& setting : settings) {
    require(setting.text() != (setting.is_text() ? "" : "0"), name, ": ", setting.name,
            " is missing; it must be ", setting.wanted());
  }
  require(machine.name.size() <= kLongestName && is_printable(machine.name), name, ": name must be at most ",
          kLongestName, " printable ASCII characters");
  return machine;
}

Machine load_machine(const std::filesystem::path& file) {
  constexpr size_t kMostBytes = 1 << 16;
  require(std::filesystem::is_regular_file(file), "there is no machine file ", file.string());
  const bool empty = std::filesystem::file_size(file) == 0;
  return parse_machine(empty ? "" : read_text_file(file, kMostBytes), file.string());
}

}  // namespace uhd
