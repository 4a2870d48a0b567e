// uhd check answers whether a model directory holds everything that its config promises and how much it costs
// to run, and whether a backend computes correctly.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>

#include "app/check_json.h"
#include "app/commands.h"
#include "app/usage_error.h"
#include "base/bytes_text.h"
#include "base/error.h"
#include "model/config.h"
#include "model/text/chat_template.h"
#include "model/text/tokenizer.h"
#include "model/vision/slice_rows.h"
#include "model/weights/parameters.h"

namespace uhd {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::bf16, WeightFormat::f32, WeightFormat::fp8,
                                     WeightFormat::int8, WeightFormat::int4};

struct CheckOptions {
  std::string model;
  std::string backend;
  std::string vision_tower;
  std::string format = "bf16";
  int ranks = 1;
  bool list = false;
  bool json = false;
};

void print_model(const ModelConfig& m) {
  const LanguageConfig& l = m.language;
  std::cout << m.directory.string() << ": " << name_of(m.family) << "\n"
            << "  language    " << l.layers << " layers, hidden " << l.hidden << ", heads " << l.heads << "/"
            << l.kv_heads << " of " << l.head_dim << ", MLP " << l.intermediate << ", vocabulary "
            << l.vocabulary << ", context " << l.context << (l.tied ? ", tied embeddings" : "") << "\n";
  if (!m.vision) return;
  const VisionConfig& v = *m.vision;
  std::cout << "  vision      " << v.layers << " of " << v.total_layers << " layers, hidden " << v.hidden
            << ", heads " << v.heads << ", patch " << v.patch << ", native size " << v.image;
  if (m.vision_directory != m.directory) std::cout << ", from " << m.vision_directory.string();
  std::cout << "\n  resampler   ";
  if (m.resampler.kind == ResamplerKind::mlp) {
    std::cout << "linear, GELU, linear\n";
  } else if (m.resampler.kind == ResamplerKind::pixel_shuffle) {
    std::cout << "pixel shuffle of " << m.resampler.shuffle << "x" << m.resampler.shuffle
              << " patches, linear\n";
  } else {
    std::cout << (m.resampler.kind == ResamplerKind::spatial ? "spatial resampler, "
                                                             : "perceiver resampler, ")
              << m.resampler.queries << " queries a slice, width " << m.resampler.width << ", heads "
              << m.resampler.heads << "\n";
  }
  const int side = m.slicing.scale / m.slicing.patch;
  std::cout << "  slicing     native size " << m.slicing.scale << ", at most " << m.slicing.max_slices
            << " slices, " << slice_rows_of(m).of({side, side}) << " tokens each\n";
}

// Counts tensors and bytes of each type.
void print_types(const std::string& name, const Checkpoint& checkpoint) {
  struct Sum {
    size_t tensors = 0, bytes = 0;
  };
  std::map<std::string, Sum> types;
  for (const auto& [tensor_name, tensor] : checkpoint.tensors()) {
    Sum& sum = types[std::string(name_of(tensor.dtype()))];
    ++sum.tensors;
    sum.bytes += tensor.bytes();
  }
  for (const auto& [type, sum] : types) {
    std::cout << "  " << name << sum.tensors << " tensors of " << type << ", "
              << bytes_text(static_cast<int64_t>(sum.bytes)) << "\n";
  }
}

void print_tensors(const Checkpoint& checkpoint) {
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    std::cout << "    " << name << "  " << name_of(tensor.dtype()) << " [";
    for (int i = 0; i < tensor.rank(); ++i) std::cout << (i > 0 ? ", " : "") << tensor.dim(i);
    std::cout << "]\n";
  }
}

void print_ranks(const CheckReport::Memory& memory, const char* place) {
  const EngineOptions usual;
  std::cout << "    " << place << ", each LLM rank      " << bytes_text(memory.llm.weights) << " of weights, "
            << bytes_text(memory.llm.steps) << " for steps of " << usual.token_budget << " tokens, "
            << bytes_text(memory.kv_bytes) << " of KV for " << kKvTokens << " tokens\n";
  if (!memory.tower) return;
  std::cout << "    " << place << ", each encoder rank  " << bytes_text(memory.tower->weights)
            << " of weights" << (memory.tower_in_f32 ? " in f32, as the checkpoint asks" : "") << ", "
            << bytes_text(memory.tower->pass) << " for a pass\n";
}

void print_memory(const CheckReport& report) {
  std::cout << "  memory, " << report.format << ", " << report.ranks << " LLM rank"
            << (report.ranks > 1 ? "s" : "")
            << (report.host.tower ? ", which encode where there are no encoder ranks:\n" : ":\n");
  print_ranks(report.host, "on the CPU");
  std::cout << "    on the CPU, a leader" << (report.host.tower ? " that encodes" : "") << " has "
            << bytes_text(host_total(report)) << " in all then, with " << bytes_text(kProgramBytes)
            << " of program and libraries\n";
  print_ranks(report.device, "on GPUs");
}

void print_check(const CheckReport& report, bool list) {
  print_model(report.model);
  print_types("tensors     ", *report.checkpoint);
  if (list) print_tensors(*report.checkpoint);
  if (report.tower) {
    print_types("tower       ", *report.tower);
    if (list) print_tensors(*report.tower);
  }
  for (const std::string& problem : report.problems) std::cerr << "problem: " << problem << "\n";
  for (const std::string& name : report.unused) std::cout << "  not used    " << name << "\n";
  print_memory(report);
  std::cout << "  tokenizer   " << report.tokens << " tokens\n";
  if (report.tokens > report.model.language.vocabulary) {
    std::cout << "              more than the model's " << report.model.language.vocabulary
              << ": texts with the others are refused\n";
  }
  if (report.problems.empty()) std::cout << "complete\n";
}

CheckReport::Memory memory_of(const ModelConfig& model, WeightFormat format, int ranks, RankPlace place) {
  const EngineOptions usual;
  CheckReport::Memory memory;
  memory.llm = llm_rank_memory(model, usual, format, ranks, place);
  memory.kv_bytes = memory.llm.page * kKvTokens / usual.page_size;
  memory.rows_bytes = memory.llm.visual_rows;
  if (!model.vision) return memory;
  if (place == RankPlace::host)
    memory.rows_bytes = std::min(memory.rows_bytes, int64_t{kKvTokens} * model.language.hidden * 4);
  const WeightFormat tower = planned_tower_format(model, format, place);
  memory.tower = tower_memory(model, usual, tower, place);
  memory.tower_in_f32 = tower == WeightFormat::f32 && format != WeightFormat::f32;
  return memory;
}

CheckReport examine(const CheckOptions& options) {
  CheckReport report{.model = read_model_config(options.model, options.vision_tower),
                     .format = options.format,
                     .ranks = options.ranks};
  const ModelConfig& model = report.model;
  report.checkpoint = std::make_unique<Checkpoint>(model.directory);
  if (model.vision && model.vision_directory != model.directory) {
    report.tower = std::make_unique<Checkpoint>(model.vision_directory);
  }
  report.problems = problems_of(model, *report.checkpoint, report.tower.get());
  report.unused = unused_tensors(model, *report.checkpoint, report.tower.get());
  const WeightFormat format = format_named(options.format);
  report.host = memory_of(model, format, options.ranks, RankPlace::host);
  report.device = memory_of(model, format, options.ranks, RankPlace::device);
  try {
    load_chat_template(model.directory);
  } catch (const Error& error) {
    report.problems.emplace_back(error.what());
  }
  report.tokens = load_tokenizer(model.directory)->vocabulary();
  return report;
}

void check_model(const CheckOptions& options) {
  const CheckReport report = examine(options);
  if (options.json) {
    std::cout << check_json(report, options.list) << "\n";
  } else {
    print_check(report, options.list);
  }
  if (!report.problems.empty()) throw CLI::RuntimeError(kFailed);
}

}  // namespace

WeightFormat format_named(const std::string& name) {
  const auto* at = std::find_if(std::begin(kFormats), std::end(kFormats),
                                [&](WeightFormat format) { return name_of(format) == name; });
  check(at != std::end(kFormats), "a weight format ", name);
  return *at;
}

void add_check_command(CLI::App& app) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand(
      "check", "Check a model directory (tensors, types, memory of each rank) or a backend");
  auto* model = command->add_option("--model", options->model, "directory of the model");
  command->add_option("--backend", options->backend, "devices, libraries and every operation of cuda or cpu")
      ->check(CLI::IsMember({"cuda", "cpu"}))
      ->excludes(model);
  command->add_option("--vision-tower", options->vision_tower,
                      "directory of the vision tower, when not beside it");
  command->add_option("--tp", options->ranks, "LLM ranks that share the model")->check(CLI::Range(1, 1024));
  command
      ->add_option(
          "--format", options->format,
          "weights in memory: bf16 or f32; fp8, int8, int4: the language model's matrices, the rest bf16")
      ->check(CLI::IsMember({"bf16", "f32", "fp8", "int8", "int4"}));
  command->add_flag("--list", options->list, "list every tensor");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer(
      "Exits with status 1 when a tensor is missing, misshaped, of a wrong type or unknown where the model "
      "computes, or an operation wrong; lists tensors that the model does not use.\n"
      "Examples:\n"
      "  uhd check --model models/nano-uhd\n"
      "  uhd check --model /models/llava-uhd-13b --tp 2 --list\n"
      "  uhd check --backend cuda");
  command->callback([options] {
    if (!options->backend.empty()) {
      if (!check_backend(options->backend, options->json)) throw CLI::RuntimeError(kFailed);
      return;
    }
    if (options->model.empty()) throw UsageError("say what to check: --model DIRECTORY or --backend cuda");
    check_model(*options);
  });
}

}  // namespace uhd
