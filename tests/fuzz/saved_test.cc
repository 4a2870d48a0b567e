// Runs every fuzz target on its seeds, and on the inputs in tests/fuzz/saved that once did harm.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "tests/fuzz/targets.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<fs::path> inputs_in(const fs::path& folder) {
  std::vector<fs::path> inputs;
  if (!fs::is_directory(folder)) return inputs;
  for (const auto& entry : fs::directory_iterator(folder)) inputs.push_back(entry.path());
  std::ranges::sort(inputs);
  return inputs;
}

// Returns true if the target took it.
bool takes(const FuzzTarget& target, const fs::path& input) {
  try {
    return target.run(content_of(input));
  } catch (const Error&) {
    return false;
  } catch (const std::exception& fault) {
    ADD_FAILURE() << input << ": " << fault.what();
    return false;
  }
}

class FuzzTargets : public testing::TestWithParam<FuzzTarget> {};

// A target whose seeds are all refused would test nothing but the first line of its parser.
TEST_P(FuzzTargets, TakeTheirSeeds) {
  const auto seeds = inputs_in(fs::path(UHD_FUZZ_SEEDS) / GetParam().name);
  const auto taken =
      std::ranges::count_if(seeds, [](const fs::path& seed) { return takes(GetParam(), seed); });
  EXPECT_FALSE(seeds.empty());
  EXPECT_GE(10 * taken, std::ssize(seeds)) << "nearly all seeds are refused";
}

TEST(FuzzInputs, DoNoHarmAnyMore) {
  for (const fs::path& folder : inputs_in("tests/fuzz/saved")) {
    const FuzzTarget* target = find_fuzz_target(folder.filename().string());
    ASSERT_NE(target, nullptr) << folder;
    for (const fs::path& input : inputs_in(folder)) takes(*target, input);
  }
}

std::string name_of_case(const testing::TestParamInfo<FuzzTarget>& target) {
  return std::string(target.param.name);
}
INSTANTIATE_TEST_SUITE_P(, FuzzTargets, testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         name_of_case);

}  // namespace
}  // namespace uhd
