// Reads the YAML file of settings.
#include "configs/config.h"
#include "tests/fuzz/targets.h"

namespace uhd {

bool fuzz_settings(std::string_view bytes) {
  const std::string printed = print_config(parse_config(std::string(bytes), "fuzz", {}));
  must_hold(print_config(parse_config(printed, "printed", {})) == printed,
            "settings do not read back as they were printed");
  return true;
}

}  // namespace uhd
