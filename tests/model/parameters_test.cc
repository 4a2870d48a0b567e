// Tests shards and the account of a checkpoint's tensors.
#include "model/weights/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "model/weights/shard.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

LanguageConfig language(int heads, int kv_heads, int intermediate, int vocabulary) {
  LanguageConfig c;
  c.layers = 1;
  c.hidden = 8;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.head_dim = 2;
  c.intermediate = intermediate;
  c.vocabulary = vocabulary;
  return c;
}

TEST(LanguageShard, CoversEverythingOnce) {
  for (int size : {1, 2, 4, 8}) {
    const LanguageConfig c = language(8, 8, 16, 1018);
    int heads = 0, units = 0, ids = 0;
    for (int rank = 0; rank < size; ++rank) {
      const LanguageShard s = shard_of(c, rank, size);
      EXPECT_EQ(s.first_head, heads);
      EXPECT_EQ(s.first_unit, units);
      EXPECT_EQ(s.ids, (1018 + size - 1) / size);
      heads += s.heads;
      units += s.units;
      ids += s.real_ids;
    }
    EXPECT_EQ(heads, 8);
    EXPECT_EQ(units, 16);
    EXPECT_EQ(ids, 1018);
  }
}

TEST(LanguageShard, RepeatsKeyValueHeadsWhereRanksOutnumberThem) {
  const LanguageConfig c = language(8, 2, 16, 10);
  for (int rank = 0; rank < 4; ++rank) {
    const LanguageShard s = shard_of(c, rank, 4);
    EXPECT_EQ(s.kv_heads, 1);
    EXPECT_EQ(s.first_kv_head, rank / 2);
    // Its query heads belong to that key/value head.
    EXPECT_EQ(s.first_head / 4, s.first_kv_head);
  }
}

TEST(LanguageShard, NamesWhatDoesNotDivide) {
  const auto error_of = [](const LanguageConfig& c, int size) -> std::string {
    try {
      shard_of(c, 0, size);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error_of(language(9, 3, 16, 10), 2), testing::HasSubstr("9 attention heads"));
  EXPECT_THAT(error_of(language(8, 8, 15, 10), 2), testing::HasSubstr("MLP width of 15"));
  EXPECT_THAT(error_of(language(12, 3, 16, 10), 2), testing::HasSubstr("3 key/value heads"));
}

TEST(LanguageShard, AVocabularySmallerThanTheRanksLeavesEmptyShards) {
  const LanguageShard last = shard_of(language(8, 8, 16, 3), 7, 8);
  EXPECT_EQ(last.ids, 1);
  EXPECT_EQ(last.real_ids, 0);
}

// A checkpoint of f32 zeros with the given tensors.
void write_checkpoint(const TemporaryDirectory& folder, const std::vector<Parameter>& parameters,
                      const std::string& type = "F32", size_t size = 4) {
  std::string header = "{", separator;
  size_t offset = 0;
  for (const Parameter& p : parameters) {
    std::string dims;
    for (int i = 0; i < p.shape.rank(); ++i) dims += (i > 0 ? "," : "") + std::to_string(p.shape[i]);
    const size_t bytes = static_cast<size_t>(p.shape.elements()) * size;
    header += separator + "\"" + p.name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + dims +
              "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + bytes) + "]}";
    separator = ",";
    offset += bytes;
  }
  header += "}";
  while (header.size() % 8 != 0) header += " ";
  uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  folder.write("model.safetensors", file + header + std::string(offset, '\0'));
}

ModelConfig small_model() {
  ModelConfig model;
  model.language = language(4, 2, 6, 5);
  model.prefix_language = "model.";
  model.head = "lm_head.weight";
  return model;
}

TEST(Parameters, ACompleteCheckpointHasNoProblems) {
  const TemporaryDirectory folder;
  const ModelConfig model = small_model();
  auto tensors = language_parameters(model);
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {1}, ShardRule::whole});
  write_checkpoint(folder, tensors);
  EXPECT_THAT(problems_of(model, Checkpoint(folder.path()), nullptr), testing::IsEmpty());
}

TEST(Parameters, EveryKindOfProblemNamesItsTensor) {
  const ModelConfig model = small_model();
  auto tensors = language_parameters(model);
  tensors.erase(tensors.begin());  // embed_tokens
  tensors.front().shape = {9};     // input_layernorm of layer 0
  tensors.push_back({"model.layers.1.mlp.up_proj.weight", {2, 2}, ShardRule::whole});
  const TemporaryDirectory folder;
  write_checkpoint(folder, tensors);
  EXPECT_THAT(problems_of(model, Checkpoint(folder.path()), nullptr),
              testing::UnorderedElementsAre(
                  testing::HasSubstr("tensor model.embed_tokens.weight is missing"),
                  testing::HasSubstr("tensor model.layers.0.input_layernorm.weight has shape [9], not [8]"),
                  testing::HasSubstr("tensor model.layers.1.mlp.up_proj.weight is not part of this model")));
  EXPECT_THROW(require_complete(model, Checkpoint(folder.path()), nullptr), Error);

  const TemporaryDirectory integers;
  write_checkpoint(integers, language_parameters(model), "I32");
  const auto problems = problems_of(model, Checkpoint(integers.path()), nullptr);
  EXPECT_EQ(problems.size(), language_parameters(model).size());
  EXPECT_THAT(problems.front(), testing::HasSubstr("type i32"));
}

// Tensors that trainers leave behind are no reason not to serve; tensors that would change the answers are.
TEST(Parameters, ExtraTensorsAreUnusedUnlessTheModelComputesThere) {
  const ModelConfig model = small_model();
  const auto with_extra = [&](const std::string& name) {
    auto tensors = language_parameters(model);
    tensors.push_back({name, {2, 2}, ShardRule::whole});
    const TemporaryDirectory folder;
    write_checkpoint(folder, tensors);
    const Checkpoint checkpoint(folder.path());
    return std::pair(problems_of(model, checkpoint, nullptr), unused_tensors(model, checkpoint, nullptr));
  };
  for (const char* name :
       {"model.layers.0.self_attn.rotary_emb.cos_cached", "model.layers.0.self_attn.rotary_emb.sin_cached",
        "model.layers.0.self_attn.masked_bias", "model.layers.0.attn.bias", "rope.freqs",
        "model.image_newline", "mm_projector.0.weight", "vision_copy.position_ids", "bn.num_batches_tracked",
        "x"}) {
    const auto [problems, unused] = with_extra(name);
    EXPECT_THAT(problems, testing::IsEmpty()) << name;
    EXPECT_THAT(unused, testing::ElementsAre(name));
  }
  EXPECT_THAT(with_extra("model.layers.0.self_attn.rotary_emb.inv_freq").second, testing::IsEmpty());
  for (const char* name : {"model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.q_norm.weight",
                           "model.layers.0.mlp.up_proj.lora_A.weight",
                           "model.layers.7.input_layernorm.weight", "model.norm.bias", "lm_head.bias"}) {
    EXPECT_THAT(with_extra(name).first, testing::ElementsAre(testing::HasSubstr("remove it from the file")))
        << name;
  }
}

TEST(Parameters, TiedModelsNeedNoHead) {
  ModelConfig model = small_model();
  auto tensors = language_parameters(model);
  tensors.pop_back();
  const TemporaryDirectory folder;
  write_checkpoint(folder, tensors);
  EXPECT_EQ(problems_of(model, Checkpoint(folder.path()), nullptr).size(), 1u);
  model.language.tied = true;
  EXPECT_THAT(problems_of(model, Checkpoint(folder.path()), nullptr), testing::IsEmpty());
}

TEST(Parameters, MemoryShrinksWithTheRanks) {
  const ModelConfig model = small_model();
  const auto table = language_parameters(model);
  const size_t one = weight_bytes(table, model.language, 1, WeightFormat::f32);
  size_t elements = 0;
  for (const Parameter& p : table) elements += static_cast<size_t>(p.shape.elements());
  EXPECT_EQ(one, elements * 4);
  EXPECT_LT(weight_bytes(table, model.language, 2, WeightFormat::f32), one);
  EXPECT_LT(weight_bytes(table, model.language, 1, WeightFormat::bf16), one);
}

TEST(Parameters, QuantizedMatricesAreSmallerAndTheRestIsNot) {
  ModelConfig model = small_model();
  model.language.hidden = 64;
  model.language.intermediate = 96;
  const auto table = language_parameters(model);
  const auto bytes = [&](WeightFormat format) { return weight_bytes(table, model.language, 1, format); };
  size_t matrices = 0, rows = 0;
  for (const Parameter& p : table) {
    if (!p.product) continue;
    matrices += static_cast<size_t>(p.shape.elements());
    rows += static_cast<size_t>(p.shape[0]);
  }
  EXPECT_EQ(bytes(WeightFormat::bf16) - bytes(WeightFormat::int8), matrices - rows * sizeof(float));
  EXPECT_EQ(bytes(WeightFormat::fp8), bytes(WeightFormat::int8));
  EXPECT_LT(bytes(WeightFormat::int4), bytes(WeightFormat::int8));
  EXPECT_EQ(head_format(WeightFormat::int4), WeightFormat::int8);
  const size_t untied = bytes(WeightFormat::int8);
  model.language.tied = true;
  EXPECT_EQ(weight_bytes(language_parameters(model), model.language, 1, WeightFormat::int8), untied)
      << "the head is packed from the table";
}

}  // namespace
}  // namespace uhd
