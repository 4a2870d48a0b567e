// Tests hostile and unusual config.json files, and the rules that choose a family's parts.
#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/vision/slice_plan.h"
#include "model/vision/slice_rows.h"
#include "model/weights/parameters.h"
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
      {R"("scale_emb": 12)", "scale_emb"},
      {R"("quantization_config": {"quant_method": "awq"})", "quantization_config"},
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

TEST(ModelConfig, ReadsQwen3) {
  const auto qwen3 = [](const std::string& more) {
    std::string text = with(more);
    return text.replace(text.find("Llama"), 5, "Qwen3");
  };
  const LanguageConfig silent = read(qwen3("")).language;
  EXPECT_TRUE(silent.head_norms);
  EXPECT_FALSE(silent.qkv_bias || silent.tied);
  EXPECT_EQ(silent.head_dim, 128);  // not hidden / heads
  EXPECT_EQ(read(qwen3(R"("head_dim": 32, "tie_word_embeddings": true)")).language.head_dim, 32);
  EXPECT_EQ(read(qwen3(R"("sliding_window": 32, "use_sliding_window": true)")).language.context, 32);
  EXPECT_THAT(error_of(qwen3(R"("attention_bias": true)")), testing::HasSubstr("attention_bias"));
}

TEST(ModelConfig, ReadsLongRope) {
  const std::string lists =
      R"("short_factor": [1, 1, 1, 1, 1, 1, 1, 2], "long_factor": [1, 2, 3, 4, 5, 6, 7, 8])";
  const std::string begin = R"("rope_scaling": {"rope_type": "longrope", )";
  const RopeScaling inside =
      read(with(begin + lists + R"(, "original_max_position_embeddings": 32})")).language.rope;
  EXPECT_EQ(inside.kind, RopeScaling::Kind::longrope);
  EXPECT_EQ(inside.original_context, 32);
  EXPECT_EQ(inside.factor, 4);
  EXPECT_EQ(inside.long_factors.back(), 8);
  const LanguageConfig outside =
      read(with(begin + lists + R"(}, "original_max_position_embeddings": 256)")).language;
  EXPECT_EQ(outside.rope.original_context, 256);
  EXPECT_EQ(outside.rope.factor, 1);
  EXPECT_EQ(outside.context, 128);
  for (const auto& [more, named] :
       {std::pair(R"("short_factor": [1]})", "short_factor"),
        std::pair(R"("short_mscale": 1})", "short_mscale"), std::pair(R"("factor": 2})", "short_factor")}) {
    EXPECT_THAT(error_of(with(begin + more)), testing::HasSubstr(named)) << more;
  }
}

TEST(ModelConfig, ReadsRecommendedSampling) {
  const TemporaryDirectory folder;
  folder.write("config.json", with(""));
  EXPECT_EQ(read_model_config(folder.path()).sampling.temperature, 1);
  folder.write(
      "generation_config.json",
      R"({"do_sample": true, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05})");
  const SamplingRule rule = read_model_config(folder.path()).sampling;
  EXPECT_FLOAT_EQ(rule.temperature, 0.7f);
  EXPECT_FLOAT_EQ(rule.top_p, 0.8f);
  EXPECT_EQ(rule.top_k, 20);
  EXPECT_FLOAT_EQ(rule.repetition_penalty, 1.05f);
  EXPECT_EQ(rule.logprobs, -1);
  folder.write("generation_config.json", R"({"temperature": -1, "top_p": "x", "top_k": -1, "min_p": 0.1})");
  const SamplingRule partly = read_model_config(folder.path()).sampling;
  EXPECT_FLOAT_EQ(partly.temperature, 1);
  EXPECT_FLOAT_EQ(partly.top_p, 1);
  EXPECT_EQ(partly.top_k, 0);
  EXPECT_FLOAT_EQ(partly.min_p, 0.1f);
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

// Marks around an image, and pixels that are left as they are, would change every answer.
TEST_F(LlavaConfig, WhatIsNotServedIsNamed) {
  const auto error_with = [&](const std::string& more) {
    try {
      read_with("../tower", more);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error_with(R"(, "mm_use_im_start_end": false)"), "");
  EXPECT_THAT(error_with(R"(, "mm_use_im_start_end": true)"), testing::HasSubstr("mm_use_im_start_end"));
  for (const auto& [key, usual, other] :
       {std::tuple("do_rescale", "true", "false"), std::tuple("do_normalize", "true", "false"),
        std::tuple("rescale_factor", "0.00392156862745098", "1.0")}) {
    const auto write = [&, key = key](const char* value) {
      root_.write("model/preprocessor_config.json", message("{\"", key, "\": ", value, "}"));
      root_.write("tower/preprocessor_config.json", message("{\"", key, "\": ", value, "}"));
    };
    write(usual);
    EXPECT_EQ(error_with(""), "");
    write(other);
    EXPECT_THAT(error_with(""), testing::HasSubstr(key));
  }
}

TEST_F(LlavaConfig, ATowerInsideIsUsedWhenTheIndexNamesIt) {
  root_.write("model/model.safetensors.index.json", R"({"weight_map": {
    "model.vision_tower.vision_tower.vision_model.embeddings.class_embedding": "a.safetensors"}})");
  const ModelConfig m = read_with("../tower");
  EXPECT_EQ(m.vision_directory, m.directory);
  EXPECT_EQ(m.prefix_vision, "model.vision_tower.vision_tower.vision_model.");
}

// Makes a MiniCPM-V directory as small as its layout allows.
class MiniCpmConfig : public testing::Test {
 protected:
  MiniCpmConfig() {
    root_.write("tokenizer.json", R"({"model": {"vocab": {"Ċ": 3}}, "added_tokens": [
      {"id": 4, "content": "<image>"}, {"id": 5, "content": "</image>"},
      {"id": 6, "content": "<slice>"}, {"id": 7, "content": "</slice>"}]})");
  }
  ModelConfig read_with(const std::string& architecture, const std::string& more) {
    std::string text = with(R"("model_type": "minicpmv")" + (more.empty() ? "" : ", " + more));
    text.replace(text.find("LlamaForCausalLM"), 16, architecture);
    root_.write("config.json", text);
    return read_model_config(root_.path());
  }
  std::string error_with(const std::string& architecture, const std::string& more) {
    try {
      read_with(architecture, more);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  TemporaryDirectory root_;
};

TEST_F(MiniCpmConfig, TheVersionDecidesTheLanguageModel) {
  const auto v26 = read_with("MiniCPMV", "");
  EXPECT_EQ(v26.family, Family::minicpmv_26);
  EXPECT_TRUE(v26.language.qkv_bias);
  for (const char* version : {"4.0", "\"4.0\"", "4", "\"4\""}) {
    const auto v40 = read_with("MiniCPMV", message(R"("version": )", version));
    EXPECT_EQ(v40.family, Family::minicpmv_40) << version;
    EXPECT_FALSE(v40.language.qkv_bias || v40.language.head_norms);
  }
  for (const char* version : {"4.5", "\"4.5\""}) {
    const auto v45 = read_with("MiniCPMV", message(R"("version": )", version));
    EXPECT_EQ(v45.family, Family::minicpmv_45) << version;
    EXPECT_TRUE(v45.language.head_norms);
    EXPECT_TRUE(v45.left_aside.empty());
  }
  const auto o26 = read_with("MiniCPMO", R"("version": "2.6")");
  EXPECT_EQ(o26.family, Family::minicpmo_26);
  EXPECT_TRUE(o26.language.qkv_bias);
  EXPECT_EQ(name_of(read_with("MiniCPMO", R"("version": "4.5")").family), "minicpm-o-4.5");
  EXPECT_THAT(o26.left_aside, testing::Contains("tts."));
}

TEST_F(MiniCpmConfig, WhatIsNotServedIsNamed) {
  EXPECT_THAT(error_with("MiniCPMV", R"("version": 2.5)"),
              testing::AllOf(testing::HasSubstr("version"), testing::HasSubstr("2.6, 4.0 and 4.5")));
  EXPECT_THAT(error_with("MiniCPMO", R"("version": "4.0")"), testing::HasSubstr("MiniCPM-o"));
  EXPECT_THAT(error_with("MiniCPMV", R"("version": [4])"), testing::HasSubstr("version"));
  EXPECT_THAT(error_with("MiniCPMV", R"("insert_layer_id": 6)"), testing::HasSubstr("insert_layer_id"));
  EXPECT_THAT(error_with("MiniCPMO", R"("init_vision": false)"), testing::HasSubstr("init_vision"));
  EXPECT_THAT(error_with("MiniCPMV4_6ForConditionalGeneration", ""),
              testing::AllOf(testing::HasSubstr("MiniCPMV4_6"), testing::HasSubstr("Qwen3ForCausalLM")));
}

// The keys and values of MiniCPM-V 4.5's own config.json. Its index says how many bytes all tensors have in
// bf16, and the tables of parameters must agree to the last one.
TEST_F(MiniCpmConfig, MiniCpmV45HasTheBytesThatItsIndexSays) {
  root_.write("config.json",
              R"({"_name_or_path": "openbmb/MiniCPM-V-4_5", "version": 4.5, "architectures": ["MiniCPMV"],
      "auto_map": {"AutoConfig": "configuration_minicpm.MiniCPMVConfig"}, "attention_bias": false,
      "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128,
      "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 12288,
      "max_position_embeddings": 40960, "max_window_layers": 36, "num_attention_heads": 32,
      "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null,
      "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": false, "torch_dtype":
      "bfloat16", "use_sliding_window": false, "vocab_size": 151748, "batch_vision_input": true,
      "batch_3d_resampler": true, "drop_vision_last_layer": false, "image_size": 448, "model_type":
      "minicpmv", "patch_size": 14, "query_num": 64, "slice_config": {"max_slice_nums": 9,
      "patch_size": 14, "model_type": "minicpmv"}, "slice_mode": true, "vision_config":
      {"hidden_size": 1152, "image_size": 980, "intermediate_size": 4304, "model_type": "siglip",
      "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14}})");
  root_.write("generation_config.json",
              R"({"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643], "pad_token_id":
      151643, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "chat_template_kwargs":
      {"enable_thinking": false}})");
  const ModelConfig m = read_model_config(root_.path());
  EXPECT_EQ(m.family, Family::minicpmv_45);
  EXPECT_EQ(m.slicing.scale, 448);
  EXPECT_EQ(m.resampler.heads, 32);
  EXPECT_EQ(m.sampling.top_k, 20);
  int64_t bytes = 0;
  for (const auto& table : {language_parameters(m), vision_parameters(m), resampler_parameters(m)}) {
    for (const Parameter& p : table) bytes += 2 * p.shape.elements();
  }
  EXPECT_EQ(bytes, 17391790560);
}

TEST_F(MiniCpmConfig, ASilentFileHasThePublishedTowerAndSlices) {
  const ModelConfig m = read_with("MiniCPMV", "");
  EXPECT_EQ(m.vision->kind, VisionConfig::Kind::siglip);
  EXPECT_EQ(m.vision->hidden, 1152);
  EXPECT_EQ(m.vision->layers, 26);
  EXPECT_EQ(m.vision->total_layers, 27);
  EXPECT_EQ(m.slicing.max_slices, 9);
  EXPECT_EQ(m.slicing.scale, 448);
  EXPECT_EQ(slice_rows_of(m).each, 64);
  EXPECT_TRUE(m.layout.image_ids);
}

// Makes a SmolVLM directory as small as its layout allows.
class SmolVlmConfig : public testing::Test {
 protected:
  SmolVlmConfig() {
    std::string tokens =
        R"({"id": 4, "content": "<fake_token_around_image>"}, {"id": 5, "content": "<global-img>"})";
    for (int i = 0; i < 16; ++i) {
      tokens +=
          message(R"(, {"id": )", 10 + i, R"(, "content": "<row_)", i / 4 + 1, "_col_", i % 4 + 1, R"(>"})");
    }
    root_.write("tokenizer.json",
                R"({"model": {"vocab": {"Ċ": 3, "ĊĊ": 6}}, "added_tokens": [)" + tokens + "]}");
  }
  ModelConfig read_with(const std::string& text, const std::string& vision, const std::string& outer) {
    root_.write("config.json", R"({"architectures": ["SmolVLMForConditionalGeneration"], "text_config": {
      "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
      "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 128)" +
                                   text +
                                   R"(}, "vision_config": {"model_type": "smolvlm_vision", "image_size": 512,
      "patch_size": 16)" + vision + "}" +
                                   outer + "}");
    return read_model_config(root_.path());
  }
  std::string error_with(const std::string& text, const std::string& vision, const std::string& outer) {
    try {
      read_with(text, vision, outer);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  TemporaryDirectory root_;
};

TEST_F(SmolVlmConfig, ReadsTilesConnectorAndMarks) {
  const ModelConfig m = read_with("", "", R"(, "scale_factor": 4)");
  EXPECT_EQ(m.family, Family::smolvlm);
  EXPECT_EQ(slice_rows_of(m).of({32, 32}), 64);
  EXPECT_EQ(m.slicing.kind, SlicingConfig::Kind::tiles);
  EXPECT_EQ(m.slicing.prescale_longest, 2048);
  EXPECT_EQ(m.slicing.max_slices, 16);
  EXPECT_EQ(m.layout.cell_mark(1, 2), std::vector<int32_t>{10 + 6});
  EXPECT_EQ(m.layout.last_row_separator, std::vector<int32_t>{6});
  EXPECT_EQ(m.vision->hidden, 1152);  // a silent file's
  EXPECT_EQ(m.vision->heads, 16);
}

TEST_F(SmolVlmConfig, WhatIsNotServedIsNamed) {
  EXPECT_THAT(error_with(R"(, "rope_interleaved": true)", "", ""), testing::HasSubstr("rope_interleaved"));
  EXPECT_THAT(error_with(R"(, "use_resampler": true)", "", ""), testing::HasSubstr("use_resampler"));
  EXPECT_THAT(error_with("", "", R"(, "scale_factor": 5)"), testing::HasSubstr("scale_factor"));
  root_.write("preprocessor_config.json", R"({"resample": 3})");
  EXPECT_THAT(error_with("", "", ""), testing::HasSubstr("resample"));
  root_.write("preprocessor_config.json", R"({"size": {"longest_edge": 2560}})");
  EXPECT_THAT(error_with("", "", ""), testing::HasSubstr("<row_1_col_5>"));
  root_.write("preprocessor_config.json", R"({"max_image_size": {"longest_edge": 364}})");
  EXPECT_THAT(error_with("", "", ""), testing::HasSubstr("max_image_size"));
}

// SmolVLM-2.2B: 27 patches of 14 a side, and 6 of 384 pixels beyond them.
TEST_F(SmolVlmConfig, TilesNeedNotBeOfWholePatches) {
  const ModelConfig m = read_with("", R"(, "image_size": 384, "patch_size": 14)", R"(, "scale_factor": 3)");
  const SlicePlan plan = plan_slices({1000, 700}, m.slicing);
  EXPECT_EQ(plan.cell, (Size{378, 378}));
  EXPECT_EQ(plan.refined, (Size{4 * 384, 3 * 384}));
  EXPECT_EQ(visual_tokens(plan, m), 13 * 81);
}

TEST_F(SmolVlmConfig, WithoutSplittingAPictureIsOneTile) {
  root_.write("preprocessor_config.json", R"({"do_image_splitting": false})");
  EXPECT_EQ(read_with("", "", "").slicing.max_slices, 1);
}

}  // namespace
}  // namespace uhd
