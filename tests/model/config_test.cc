// Tests hostile and unusual config.json files, and the rules that choose a family's parts.
#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/vision/slice_rows.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

constexpr const char* kText = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
  "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100,
  "max_position_embeddings": 128, "eos_token_id": 2, "bos_token_id": 1%s})";

std::string with(const std::string& more) {
  std::string text = kText;
  return text.replace(text.find("%s"), 2, more.empty() ? "" : ", " + more);
}

ModelConfig read(const std::string& json) {
  const TemporaryDirectory folder;
  folder.write("config.json", json);
  return read_model_config(folder.path());
}

std::string error_of(const std::string& json) {
  try {
    read(json);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(ModelConfig, ReadsATextModel) {
  const ModelConfig m = read(with(""));
  EXPECT_EQ(m.family, Family::text);
  EXPECT_EQ(m.language.kv_heads, 4);
  EXPECT_EQ(m.language.head_dim, 16);
  EXPECT_EQ(m.language.eos_ids, std::vector<int32_t>{2});
  EXPECT_FALSE(m.vision);
  EXPECT_EQ(m.prefix_language, "model.");
}

TEST(ModelConfig, IsNamedAfterItsDirectory) {
  const TemporaryDirectory folder;
  folder.write("config.json", with(""));
  const std::string name = folder.path().filename().string();
  EXPECT_EQ(read_model_config(folder.path()).name, name);
  EXPECT_EQ(read_model_config(folder.path().string() + "/").name, name);
}

TEST(ModelConfig, IsNamedAfterTheLinkToItsDirectory) {
  const TemporaryDirectory folder;
  std::filesystem::create_directory(folder.path() / "abc");
  std::filesystem::create_directory(folder.path() / "models");
  std::filesystem::create_symlink(folder.path() / "abc", folder.path() / "models" / "current");
  folder.write("abc/config.json", with(""));
  EXPECT_EQ(read_model_config(folder.path() / "models" / "current").name, "current");
  EXPECT_EQ(read_model_config(folder.path().string() + "/models/./current/").name, "current");
  EXPECT_EQ(read_model_config(folder.path().string() + "/models/../abc").name, "abc");
}

// A token that any of the files calls an end is one; a wrong entry does not spoil the others.
TEST(ModelConfig, EveryFileNamesEnds) {
  const TemporaryDirectory folder;
  folder.write("config.json", with(R"("eos_token_id": [2, 9])"));
  folder.write("generation_config.json", R"({"eos_token_id": [7, 9]})");
  EXPECT_THAT(read_model_config(folder.path()).language.eos_ids, testing::ElementsAre(7, 9, 2));
  folder.write("generation_config.json",
               R"({"eos_token_id": [100, -1, "x", 2.5, null, 7], "bos_token_id": 1000})");
  EXPECT_THAT(read_model_config(folder.path()).language.eos_ids, testing::ElementsAre(7, 2, 9));
  folder.write("generation_config.json", R"({"eos_token_id": {"a": 1}})");
  EXPECT_THAT(read_model_config(folder.path()).language.eos_ids, testing::ElementsAre(2, 9));
}

TEST(ModelConfig, EveryAbsurdSizeIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("hidden_size": -64)", "hidden_size"},
      {R"("hidden_size": 1e30)", "hidden_size"},
      {R"("hidden_size": 99999999999999999999)", "hidden_size"},
      {R"("hidden_size": "64")", "hidden_size"},
      {R"("hidden_size": 63)", "hidden_size"},
      {R"("num_hidden_layers": 0)", "num_hidden_layers"},
      {R"("num_hidden_layers": 2.5)", "num_hidden_layers"},
      {R"("num_attention_heads": 0)", "num_attention_heads"},
      {R"("num_key_value_heads": 3)", "num_key_value_heads"},
      {R"("num_key_value_heads": 8)", "num_key_value_heads"},
      {R"("vocab_size": 1000000000)", "vocab_size"},
      {R"("max_position_embeddings": 0)", "max_position_embeddings"},
      {R"("rope_theta": 0)", "rope_theta"},
      {R"("rms_norm_eps": -1)", "rms_norm_eps"},
      {R"("head_dim": 15)", "head"},
      {R"("hidden_act": "relu")", "hidden_act"},
      {R"("attention_bias": true)", "attention_bias"},
      {R"("rope_scaling": {"type": "spiral", "factor": 2})", "spiral"},
      {R"("rope_scaling": {"type": "linear", "factor": 0})", "factor"},
      {R"("rope_scaling": 3)", "rope_scaling"},
  };
  for (const auto& [value, named] : cases) {
    EXPECT_THAT(error_of(with(value)),
                testing::AllOf(testing::HasSubstr("config.json"), testing::HasSubstr(named)))
        << value;
  }
}

TEST(ModelConfig, BrokenFilesAreErrors) {
  for (const char* json : {"", "[]", "{", "null", R"({"architectures": ["GPT2LMHeadModel"]})",
                           R"({"architectures": [3]})", R"({"mm_projector_type": "linear"})"}) {
    EXPECT_THROW(read(json), Error) << json;
  }
  EXPECT_THROW(read_model_config("/nowhere/at/all"), Error);
}

TEST(ModelConfig, ReadsRopeScalingsInOldAndNewForm) {
  EXPECT_EQ(read(with(R"("rope_scaling": {"type": "linear", "factor": 4})")).language.context, 512);
  const auto yarn = read(with(R"("rope_scaling": {"rope_type": "yarn", "factor": 4,
      "original_max_position_embeddings": 64})"))
                        .language;
  EXPECT_EQ(yarn.rope.kind, RopeScaling::Kind::yarn);
  EXPECT_EQ(yarn.context, 256);
  const auto newer =
      read(with(R"("rope_parameters": {"rope_type": "default", "rope_theta": 5000})")).language;
  EXPECT_EQ(newer.rope_theta, 5000);
  EXPECT_EQ(newer.rope.kind, RopeScaling::Kind::none);
}

TEST(ModelConfig, AttentionWindowsLimitTheContext) {
  std::string mistral = with(R"("sliding_window": 32, "num_key_value_heads": 2)");
  mistral.replace(mistral.find("Llama"), 5, "Mistral");
  EXPECT_EQ(read(mistral).language.context, 32);
}

// Makes a LLaVA-UHD directory with its tower beside it.
class LlavaConfig : public testing::Test {
 protected:
  LlavaConfig() {
    std::filesystem::create_directory(root_.path() / "model");
    std::filesystem::create_directory(root_.path() / "tower");
    root_.write("tower/config.json", R"({"vision_config": {"hidden_size": 32, "num_hidden_layers": 3,
      "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 14, "image_size": 336}})");
  }
  ModelConfig read_with(const std::string& tower, const std::string& more = "",
                        const std::filesystem::path& configured = {}) {
    root_.write("model/config.json",
                with(R"("mm_projector_type": "perceiver_resampler", "mm_vision_tower": ")" + tower + "\"" +
                     more + R"(, "slice_separator_ids": {"comma": 5, "newline": 6})"));
    return read_model_config(root_.path() / "model", configured);
  }
  TemporaryDirectory root_;
};

TEST_F(LlavaConfig, FindsTheTowerByPathAndByTheLastPartOfAName) {
  for (const char* name : {"../tower", "openai/tower", "/home/someone/else/tower", "tower"}) {
    const ModelConfig m = read_with(name);
    EXPECT_EQ(m.vision->layers, 2) << name;
    EXPECT_TRUE(std::filesystem::equivalent(m.vision_directory, root_.path() / "tower")) << name;
  }
}

TEST_F(LlavaConfig, SaysWhereTheTowerShouldBe) {
  try {
    read_with("openai/clip-vit-large-patch14-336");
    FAIL() << "no tower, no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::AllOf(testing::HasSubstr("clip-vit-large-patch14-336"),
                                         testing::HasSubstr("model.vision_tower")));
  }
  EXPECT_EQ(read_with("openai/clip-vit-large-patch14-336", "", root_.path() / "tower").vision->hidden, 32);
}

TEST_F(LlavaConfig, ReadsTheResamplersOwnFields) {
  const ModelConfig m = read_with("../tower", R"(, "mm_num_queries": 16, "mm_resampler_width": 48,
    "mm_resampler_heads": 3, "mm_max_slices": 6, "mm_vision_select_layer": -1)");
  EXPECT_EQ(m.resampler.queries, 16);
  EXPECT_EQ(m.resampler.width, 48);
  EXPECT_EQ(m.resampler.heads, 3);
  EXPECT_EQ(m.slicing.max_slices, 6);
  EXPECT_EQ(slice_rows_of(m).each, 16);
  EXPECT_EQ(m.vision->layers, 3);
  EXPECT_EQ(m.layout.column_separator, std::vector<int32_t>{5});
  EXPECT_THROW(read_with("../tower", R"(, "mm_num_queries": 15)"), Error);
  EXPECT_THROW(read_with("../tower", R"(, "mm_resampler_width": 50)"), Error);
  EXPECT_THROW(read_with("../tower", R"(, "mm_max_slices": 100000)"), Error);
  EXPECT_THROW(read_with("../tower", R"(, "mm_vision_select_layer": -9)"), Error);
  EXPECT_THROW(read_with("../tower", R"(, "mm_hidden_size": 33)"), Error);
}

TEST_F(LlavaConfig, ReadsWhatTheTowerIsToRunIn) {
  EXPECT_FALSE(read_with("../tower").vision->wants_f32);
  EXPECT_FALSE(read_with("../tower", R"(, "mm_vision_dtype": "bfloat16")").vision->wants_f32);
  EXPECT_TRUE(read_with("../tower", R"(, "mm_vision_dtype": "float32")").vision->wants_f32);
  EXPECT_THROW(read_with("../tower", R"(, "mm_vision_dtype": "float16")"), Error);
}

TEST_F(LlavaConfig, ATowerInsideIsUsedWhenTheIndexNamesIt) {
  root_.write("model/model.safetensors.index.json", R"({"weight_map": {
    "model.vision_tower.vision_tower.vision_model.embeddings.class_embedding": "a.safetensors"}})");
  const ModelConfig m = read_with("../tower");
  EXPECT_EQ(m.vision_directory, m.directory);
  EXPECT_EQ(m.prefix_vision, "model.vision_tower.vision_tower.vision_model.");
}

}  // namespace
}  // namespace uhd
