#include "tests/engine/engine_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <thread>

#include "model/config.h"
#include "model/vision/image.h"
#include "model/vision/png_writer.h"
#include "model/weights/checkpoint.h"
#include "tests/support/golden_models.h"
#include "tests/support/goldens.h"
#include "tests/support/temporary_directory.h"

namespace uhd {

TokenSink AnswerListener::sink() {
  return [this](TokenEvent&& event) {
    const std::lock_guard lock(mutex_);
    if (finish != FinishReason::none) ++events_after_the_last;
    if (event.span) return spans.push_back(*event.span);
    ids.insert(ids.end(), event.ids.begin(), event.ids.end());
    text += event.text;
    std::move(event.logprobs.begin(), event.logprobs.end(), std::back_inserter(logprobs));
    std::move(event.prompt.begin(), event.prompt.end(), std::back_inserter(prompt));
    finish = event.finish;
    stop_reason = event.stop_reason;
    if (event.usage) usage = *event.usage;
    if (event.failure) failure = *event.failure;
    changed_.notify_all();
  };
}

const AnswerListener& AnswerListener::wait() {
  wait_until([&] { return finish != FinishReason::none; });
  return *this;
}

void AnswerListener::wait_for_tokens(size_t tokens) {
  wait_until([&] { return ids.size() >= tokens || finish != FinishReason::none; });
}

void AnswerListener::wait_until(const std::function<bool()>& holds) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, std::chrono::minutes(2), holds)) ADD_FAILURE() << "no answer in two minutes";
}

Submitted submit(Engine& engine, Request request) {
  Submitted submitted;
  // The listener lives as long as the engine may call it.
  auto result =
      engine.submit(std::move(request), [answer = submitted.answer, sink = submitted.answer->sink()](
                                            TokenEvent&& event) { sink(std::move(event)); });
  if (auto* failure = std::get_if<Failure>(&result)) {
    submitted.refused = *failure;
  } else {
    submitted.accepted = std::get<Accepted>(result);
    submitted.id = submitted.accepted.id;
  }
  return submitted;
}

std::vector<std::vector<int32_t>> answers_of(Engine& engine, const Request& request) {
  auto ids = std::make_shared<std::vector<std::vector<int32_t>>>(static_cast<size_t>(request.n));
  std::promise<void> all;
  const auto ended = std::make_shared<int>(0);
  const auto answer = engine.submit(Request(request), [&, ids, ended, n = request.n](TokenEvent&& event) {
    auto& own = ids->at(static_cast<size_t>(event.answer));
    own.insert(own.end(), event.ids.begin(), event.ids.end());
    if (event.finish == FinishReason::none) return;
    EXPECT_EQ(event.usage->completion_tokens, static_cast<int>(own.size()));
    if (++*ended == n) all.set_value();
  });
  EXPECT_TRUE(std::holds_alternative<Accepted>(answer));
  all.get_future().wait();
  return *ids;
}

double metric(const Engine& engine, const std::string& name) {
  const std::string text = engine.metrics_text();
  const size_t at = text.find("\n" + name + "{");
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? -1 : std::stod(text.substr(text.find(' ', at)));
}

bool becomes_idle(const Engine& engine) {
  const TimePoint limit = Clock::now() + std::chrono::seconds(10);
  while (!engine.idle() && Clock::now() < limit) std::this_thread::yield();
  return engine.idle();
}

EngineOptions tiny_options(const std::filesystem::path& model) {
  EngineOptions options;
  options.model_path = model;
  options.dtype = "f32";
  options.backend.threads = 1;
  options.max_running = 8;
  options.kv_memory_bytes = 32 << 20;
  options.visual_cache_bytes = 8 << 20;
  options.image.reference_compat = true;
  return options;
}

ClusterOptions ranks(int tensor_parallel, int encoders) {
  ClusterOptions cluster;
  cluster.tensor_parallel = tensor_parallel;
  cluster.encoder_count = encoders;
  cluster.job_deadline_s = 240;  // a busy machine and a sanitizer make encoders slow, not stuck
  return cluster;
}

std::string flipped_png(const GoldenCase& c) {
  Image image = decode_image(*c.request.messages[0].parts[0].image, c.image.limits, true);
  std::reverse(image.pixels.begin(), image.pixels.end());
  return encode_png(image);
}

std::string png_with_inverted(const GoldenCase& c, int left, int top, int width, int height) {
  Image image = decode_image(*c.request.messages[0].parts[0].image, c.image.limits, true);
  for (int y = top; y < top + height; ++y) {
    const auto row = image.pixels.begin() + 3 * (std::ptrdiff_t{y} * image.width + left);
    std::transform(row, row + 3 * width, row,
                   [](uint8_t value) { return static_cast<uint8_t>(255 - value); });
  }
  return encode_png(image);
}

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(message("cannot read ", path.string()));
  return {std::istreambuf_iterator<char>(file), {}};
}

namespace {

std::vector<int32_t> ids_of(const boost::json::value& list) {
  std::vector<int32_t> ids;
  for (const auto& id : list.as_array()) ids.push_back(id.to_number<int32_t>());
  return ids;
}

Message question_of(const boost::json::object& golden, const std::filesystem::path& folder) {
  std::vector<std::string> names;
  if (const auto* one = golden.if_contains("image")) names.emplace_back(one->as_string());
  if (const auto* many = golden.if_contains("images")) {
    for (const auto& name : many->as_array()) names.emplace_back(name.as_string());
  }
  Message message{"user", {}};
  for (const std::string& name : names) {
    message.parts.push_back({"", std::make_shared<const std::string>(read_bytes(folder / name))});
  }
  message.parts.push_back({std::string(golden.at("question").as_string()), nullptr});
  return message;
}

GoldenCase read_case(const std::filesystem::path& model, const std::filesystem::path& path, bool images) {
  const boost::json::object golden = boost::json::parse(read_bytes(path)).as_object();
  GoldenCase c;
  c.model = model;
  c.goldens = path.parent_path();
  c.name = c.model.filename().string() + "/" + path.stem().string();
  c.ids = ids_of(golden.at("greedy_ids"));
  c.request.sampling.temperature = 0;
  c.request.stop.max_tokens = static_cast<int>(c.ids.size());
  c.request.stop.ignore_eos = true;
  if (!images) {
    c.request.prompt_ids = ids_of(golden.at("input_ids"));
    c.prompt_tokens = static_cast<int>(c.request.prompt_ids.size());
    // The reference takes LongRoPE's short factors for what is short, a server for all of a short context.
    const RopeScaling rope = read_model_config(c.model).language.rope;
    const int length = c.prompt_tokens + c.request.stop.max_tokens;
    if (rope.kind == RopeScaling::Kind::longrope && length <= rope.original_context) {
      c.context = rope.original_context;
    }
    return c;
  }
  c.request.messages.push_back(question_of(golden, c.goldens));
  c.prompt_tokens = golden.at("embeds_len").to_number<int>();
  const auto number = [&](const char* key, int otherwise) {
    const auto* value = golden.if_contains(key);
    return value != nullptr && value->is_number() ? value->to_number<int>() : otherwise;
  };
  c.image.max_slices = number("max_slices", 0);
  c.image.prescale_longest = number("prescale_longest_to", -1);
  return c;
}

const char* safetensors_name(DType dtype) {
  return dtype == DType::f32 ? "F32" : dtype == DType::bf16 ? "BF16" : dtype == DType::f16 ? "F16" : "I64";
}

// Copies the vision tower of a checkpoint to a checkpoint of its own, once, which stays until the program
// ends.
std::filesystem::path copy_tower(const ModelConfig& whole) {
  static std::map<std::filesystem::path, TemporaryDirectory> copies;
  const auto [copy, fresh] = copies.try_emplace(whole.directory);
  const std::filesystem::path folder = copy->second.path();
  if (!fresh) return folder;
  const auto config = boost::json::parse(read_bytes(whole.directory / "config.json")).as_object();
  std::ofstream(folder / "config.json") << boost::json::serialize(config.at("vision_config"));
  std::filesystem::copy_file(whole.directory / "preprocessor_config.json",
                             folder / "preprocessor_config.json");
  const Checkpoint checkpoint(whole.directory);
  boost::json::object header;
  std::string data;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    if (!name.starts_with(whole.prefix_vision)) continue;
    boost::json::array shape;
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(tensor.dim(i));
    header["vision_model." + name.substr(whole.prefix_vision.size())] = {
        {"dtype", safetensors_name(tensor.dtype())},
        {"shape", shape},
        {"data_offsets", boost::json::array{data.size(), data.size() + tensor.bytes()}}};
    data.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
  }
  std::string text = boost::json::serialize(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::ofstream file(folder / "model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << text << data;
  return folder;
}

}  // namespace

std::vector<GoldenCase> golden_cases(bool images) {
  std::vector<GoldenCase> cases;
  const char* prefix = images ? "golden_image_" : "golden_text";
  for (const auto& model : golden_model_folders()) {
    const auto folder = folder_of_goldens(model, prefix);
    if (folder.empty()) continue;
    const auto whole = images ? layout_with_its_tower(read_model_config(model)) : std::nullopt;
    for (const auto& path : find_goldens(folder, prefix, ".json")) {
      cases.push_back(read_case(model, path, images));
      if (whole) cases.back().vision_tower = copy_tower(*whole);
    }
  }
  return cases;
}

GoldenCase golden_case(const std::string& ending) {
  for (const bool images : {false, true}) {
    for (GoldenCase& c : golden_cases(images)) {
      if (c.name.ends_with(ending)) return std::move(c);
    }
  }
  throw Error(message("no golden case ends in ", ending));
}

}  // namespace uhd
