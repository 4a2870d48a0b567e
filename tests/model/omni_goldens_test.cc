// MiniCPM-o 2.6 and 4.5 hold tensors of audio and speech that nobody reads; the goldens of MiniCPM-V hold for
// the rest, in every other test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "model/weights/parameters.h"
#include "tests/model/golden_model.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

TEST(OmniGoldens, AudioAndSpeechAreNoUnknownTensors) {
  std::set<Family> families;
  for (const auto& folder : golden_model_folders()) {
    const GoldenModel model(folder);
    if (model.config.family != Family::minicpmo_26 && model.config.family != Family::minicpmo_45) continue;
    SCOPED_TRACE(folder.string());
    size_t skipped = 0;
    for (const auto& [name, tensor] : model.checkpoint.tensors()) {
      skipped += name.starts_with("apm.") || name.starts_with("audio") || name.starts_with("tts.") ? 1 : 0;
    }
    EXPECT_GT(skipped, 0u);
    EXPECT_THAT(unused_tensors(model.config, model.checkpoint, nullptr), testing::IsEmpty());
    EXPECT_FALSE(goldens_of(folder, "golden_image_").empty());
    families.insert(model.config.family);
  }
  EXPECT_TRUE(families.size() == 2 || !bundled_goldens());
}

}  // namespace
}  // namespace uhd
