// Tests what a model's own files decide for requests that do not say: how tokens are drawn. Video and audio,
// which no model here takes, are refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/openai.h"

namespace uhd {
namespace {

ModelInfo model() {
  ModelInfo info{"fake", "minicpm-v-4.5", true, 2048, 1000};
  info.sampling.temperature = 0.6f;
  info.sampling.top_p = 0.95f;
  info.sampling.top_k = 20;
  info.sampling.repetition_penalty = 1.05f;
  return info;
}

std::variant<Call, ApiError> chat(const std::string& content, const std::string& fields,
                                  const ModelInfo& info) {
  return parse_call(Endpoint::chat,
                    R"({"messages":[{"role":"user","content":)" + content + "}]" + fields + "}", info,
                    NetOptions{});
}

SamplingParams sampling_of(const std::string& fields, const ModelInfo& info) {
  const auto call = chat(R"("hi")", fields, info);
  EXPECT_TRUE(std::holds_alternative<Call>(call));
  return std::holds_alternative<Call>(call) ? std::get<Call>(call).requests.at(0).sampling : SamplingParams{};
}

TEST(ModelDefaults, HoldWhereARequestSaysNothing) {
  const SamplingParams s = sampling_of("", model());
  EXPECT_FLOAT_EQ(s.temperature, 0.6f);
  EXPECT_FLOAT_EQ(s.top_p, 0.95f);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_FLOAT_EQ(s.repetition_penalty, 1.05f);
  EXPECT_EQ(s.seed, std::nullopt);
  EXPECT_EQ(s.logprobs, -1);
}

TEST(ModelDefaults, GiveWayToWhatARequestSays) {
  const SamplingParams s =
      sampling_of(R"(,"temperature":1,"top_p":1,"top_k":0,"repetition_penalty":1)", model());
  EXPECT_FLOAT_EQ(s.temperature, 1);
  EXPECT_FLOAT_EQ(s.top_p, 1);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_FLOAT_EQ(s.repetition_penalty, 1);
  EXPECT_FLOAT_EQ(sampling_of(R"(,"temperature":null)", model()).temperature, 0.6f);
}

TEST(ModelDefaults, AreTheApisWithoutAModels) {
  const SamplingParams s = sampling_of("", {"fake", "text", false, 2048, 1000});
  EXPECT_FLOAT_EQ(s.temperature, 1);
  EXPECT_EQ(s.top_k, 0);
}

TEST(ModelDefaults, VideoAndAudioAreRefusedByName) {
  for (const auto& [part, named] :
       {std::pair(R"([{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AA=="}}])",
                  "video is not supported"),
        std::pair(R"([{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}])",
                  "audio is not supported")}) {
    const auto refused = chat(part, "", model());
    ASSERT_TRUE(std::holds_alternative<ApiError>(refused)) << part;
    EXPECT_EQ(std::get<ApiError>(refused).status, 400);
    EXPECT_THAT(std::get<ApiError>(refused).message, testing::HasSubstr(named));
  }
}

}  // namespace
}  // namespace uhd
