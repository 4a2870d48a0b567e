// Reads the file of API keys.
#include "net/api_keys.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temporary_directory.h"

namespace uhd {

bool fuzz_api_keys(std::string_view bytes) {
  static const TemporaryDirectory directory;
  const ApiKeys keys(directory.write("keys", std::string(bytes)));
  must_hold(keys.asked(), "a file of keys that asks for none lets everybody in");
  must_hold(!keys.tenant("Bearer "), "an empty key was taken");
  must_hold(!keys.tenant(""), "no key was taken");
  return true;
}

}  // namespace uhd
