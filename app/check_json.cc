#include "app/check_json.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <map>

#include "model/vision/slice_rows.h"

namespace uhd {
namespace {

namespace json = boost::json;

json::object tensors_json(const Checkpoint& checkpoint, bool list) {
  std::map<std::string, std::pair<int64_t, int64_t>> types;  // tensors, bytes
  json::array all;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    const std::string type(name_of(tensor.dtype()));
    ++types[type].first;
    types[type].second += static_cast<int64_t>(tensor.bytes());
    json::array shape;
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(tensor.dim(i));
    if (list) all.push_back(json::object{{"name", name}, {"type", type}, {"shape", std::move(shape)}});
  }
  json::object sums;
  for (const auto& [type, sum] : types) {
    sums[type] = json::object{{"tensors", sum.first}, {"bytes", sum.second}};
  }
  json::object object{{"types", std::move(sums)}};
  if (list) object["list"] = std::move(all);
  return object;
}

json::object language_json(const LanguageConfig& l) {
  return {{"layers", l.layers},         {"hidden", l.hidden},     {"heads", l.heads},
          {"kv_heads", l.kv_heads},     {"head_dim", l.head_dim}, {"intermediate", l.intermediate},
          {"vocabulary", l.vocabulary}, {"context", l.context},   {"tied", l.tied}};
}

json::value vision_json(const ModelConfig& model) {
  if (!model.vision) return nullptr;
  const VisionConfig& v = *model.vision;
  const int side = model.slicing.scale / model.slicing.patch;
  return {{"directory", model.vision_directory.string()},
          {"layers", v.layers},
          {"hidden", v.hidden},
          {"heads", v.heads},
          {"patch", v.patch},
          {"native_size", v.image},
          {"max_slices", model.slicing.max_slices},
          {"tokens_of_a_slice", slice_rows_of(model).of({side, side})}};
}

json::object ranks_json(const CheckReport::Memory& memory) {
  json::object object{{"llm_rank", json::object{{"weights", memory.llm.weights},
                                                {"steps", memory.llm.steps},
                                                {"kv_of_1024_tokens", memory.kv_bytes}}}};
  if (memory.tower) {
    object["encoder_rank"] = json::object{
        {"weights", memory.tower->weights}, {"pass", memory.tower->pass}, {"f32", memory.tower_in_f32}};
  }
  return object;
}

json::object memory_json(const CheckReport& report) {
  json::object memory{{"format", report.format}, {"llm_ranks", report.ranks}};
  memory["cpu"] = ranks_json(report.host);
  memory["cpu"].as_object()["total"] = host_total(report);
  memory["gpu"] = ranks_json(report.device);
  return memory;
}

}  // namespace

int64_t host_total(const CheckReport& report) {
  const CheckReport::Memory& memory = report.host;
  const TowerMemory tower = memory.tower.value_or(TowerMemory{});
  const int64_t work = workspace_bytes(memory.llm, tower, RankPlace::host);
  return kProgramBytes + memory.llm.weights + work + memory.kv_bytes + memory.rows_bytes + tower.weights;
}

std::string check_json(const CheckReport& report, bool list) {
  json::object object{
      {"directory", report.model.directory.string()}, {"family", name_of(report.model.family)},
      {"complete", report.problems.empty()},          {"problems", json::value_from(report.problems)},
      {"unused", json::value_from(report.unused)},    {"language", language_json(report.model.language)},
      {"vision", vision_json(report.model)},          {"tensors", tensors_json(*report.checkpoint, list)}};
  if (report.tower) object["tower"] = tensors_json(*report.tower, list);
  object["memory"] = memory_json(report);
  object["tokenizer"] = json::object{{"tokens", report.tokens}};
  return json::serialize(object);
}

}  // namespace uhd
