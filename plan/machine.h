// A Machine is a device that a user describes in a YAML file, for the planner, with figures of the maker's
// data sheet, or with those that `uhd calibrate` measured.
#pragma once

#include <filesystem>
#include <string>

namespace uhd {

// GB are 10^9 bytes and TFLOP 10^12 operations, as in data sheets.
struct Machine {
  std::string name;
  double bf16_tflops = 0;  // dense, a second
  double memory_gb_s = 0;
  double memory_gb = 0;
  double link_gb_s = 0;  // one way, to the other devices of its node
  int multiprocessors = 0;
  bool measured = false;  // true if times are what to expect, and no roofs
  bool host = false;      // the CPU with its memory, and no device beside it
};

// Loads a machine. Every field but `measured` and `host` must be there. A missing, unknown or wrong one is an
// Error that names file and field.
Machine load_machine(const std::filesystem::path& file);

// Does the same from text; `name` stands for the file in errors.
Machine parse_machine(const std::string& yaml, const std::string& name);

}  // namespace uhd
