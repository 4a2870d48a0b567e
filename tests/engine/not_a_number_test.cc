// Runs a model with one poisoned weight: requests that touch it end with an error, and nothing of them stays
// behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cstring>

#include "model/config.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

constexpr uint16_t kNotANumber = 0x7fc0;  // bf16

// The embedding of `token` becomes NaN.
void poison(const std::filesystem::path& file, int32_t token) {
  std::string bytes = read_bytes(file);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto tensors = boost::json::parse(bytes.substr(sizeof(header), header));
  const auto& embedding = tensors.at("model.embed_tokens.weight");
  ASSERT_EQ(embedding.at("dtype").as_string(), "BF16");
  const auto width = embedding.at("shape").at(1).to_number<size_t>();
  const size_t row = sizeof(header) + header + embedding.at("data_offsets").at(0).to_number<size_t>() +
                     static_cast<size_t>(token) * width * sizeof(kNotANumber);
  for (size_t i = 0; i < width; ++i) {
    std::memcpy(&bytes.at(row + i * sizeof(kNotANumber)), &kNotANumber, sizeof(kNotANumber));
  }
  std::ofstream(file, std::ios::binary) << bytes;
}

int32_t token_outside_of(const GoldenCase& c) {
  int32_t token = 100;
  const auto used = [&](const std::vector<int32_t>& ids) {
    return std::ranges::find(ids, token) != ids.end();
  };
  while (used(c.request.prompt_ids) || used(c.ids)) ++token;
  return token;
}

class NotANumber : public ::testing::TestWithParam<int> {};

TEST_P(NotANumber, EndsItsOwnRequestOnly) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const TemporaryDirectory directory;
  const auto model = directory.path() / "uhd-v1-tiny";
  std::filesystem::copy(c.model, model);
  const int32_t poisoned = token_outside_of(c);
  poison(model / "model.safetensors", poisoned);
  EngineOptions options = tiny_options(model);
  options.vision_tower = read_model_config(c.model).vision_directory;
  options.page_size = 8;
  options.context_length = 160;
  // There are pages for three sequences: later ones get those of the ended one, with its old contents.
  options.kv_memory_bytes = int64_t{60} * 8 * 4 * 2 * 256 * 4;
  const auto engine = make_engine(options, ranks(GetParam(), 0));

  Request bad = c.request;
  bad.prompt_ids[bad.prompt_ids.size() / 2] = poisoned;
  Request drawn = bad;
  drawn.sampling.temperature = 1;
  const Submitted before = submit(*engine, c.request);
  const Submitted greedy_fails = submit(*engine, bad);
  const Submitted drawn_fails = submit(*engine, drawn);
  std::vector<Submitted> after;
  for (int i = 0; i < 4; ++i) after.push_back(submit(*engine, c.request));

  for (const Submitted* failed : {&greedy_fails, &drawn_fails}) {
    EXPECT_EQ(failed->answer->wait().finish, FinishReason::error);
    EXPECT_EQ(failed->answer->failure.code, "not_a_number");
    EXPECT_TRUE(failed->answer->ids.empty());
  }
  EXPECT_EQ(before.answer->wait().ids, c.ids);
  for (const Submitted& s : after) EXPECT_EQ(s.answer->wait().ids, c.ids);
  EXPECT_TRUE(becomes_idle(*engine));
}

INSTANTIATE_TEST_SUITE_P(Ranks, NotANumber, ::testing::Values(1, 2));

}  // namespace
}  // namespace uhd
