#include "base/version.h"

namespace uhd {

std::string_view version() { return UHD_VERSION; }

}  // namespace uhd
