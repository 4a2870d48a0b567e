// Reads a checkpoint's config.json, preprocessor_config.json, generation_config.json and added_tokens.json,
// in this order and separated by zero bytes.
#include "model/config.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temporary_directory.h"

namespace uhd {

bool fuzz_model_config(std::string_view bytes) {
  static const TemporaryDirectory directory;
  constexpr const char* kFiles[] = {"config.json", "preprocessor_config.json", "generation_config.json",
                                    "added_tokens.json"};
  const auto parts = parts_of(bytes, std::size(kFiles));
  for (size_t i = 0; i < std::size(kFiles); ++i) {
    if (parts[i].empty()) {
      std::filesystem::remove(directory.path() / kFiles[i]);
    } else {
      directory.write(kFiles[i], parts[i]);
    }
  }
  const ModelConfig config = read_model_config(directory.path());
  const LanguageConfig& language = config.language;
  must_hold(language.layers > 0 && language.hidden > 0 && language.heads > 0 && language.kv_heads > 0 &&
                language.head_dim > 0 && language.vocabulary > 0 && language.context > 0,
            "a config has no size");
  must_hold(language.heads % language.kv_heads == 0, "heads do not share keys evenly");
  return true;
}

}  // namespace uhd
