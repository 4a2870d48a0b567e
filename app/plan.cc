// uhd plan answers which devices, and how many, could serve a model, and how fast at best, before any is
// rented.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <list>
#include <memory>

#include "app/commands.h"
#include "app/plan_report.h"
#include "app/strategy_report.h"
#include "base/error.h"
#include "plan/machine.h"

namespace uhd {
namespace {

struct PlanOptions {
  std::string model;
  std::string vision_tower;
  std::vector<std::string> devices;
  std::vector<std::string> machine_files;
  std::vector<int> ranks;
  std::string format = "bf16";
  std::string picture;
  int64_t context = 0;
  PlanQuestion question;
  bool json = false;
  bool claims = false;
  std::vector<int64_t> strategies;  // width and height
  std::string plot;
};

// "672x1008"; a size that cannot be cut is the planner's to refuse.
Size size_of_picture(const std::string& text) {
  Size size;
  const char* const end = text.data() + text.size();
  const auto width = std::from_chars(text.data(), end, size.width);
  const bool cross = width.ec == std::errc() && width.ptr != end && *width.ptr == 'x';
  const auto height = cross ? std::from_chars(width.ptr + 1, end, size.height) : width;
  if (!cross || height.ec != std::errc() || height.ptr != end) {
    throw CLI::ValidationError("--picture", "must be WIDTHxHEIGHT in pixels, not " + text);
  }
  return size;
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const DeviceRoof& device : known_devices()) names.emplace_back(device.name);
  return names;
}

// The result's names point into `machine`.
DeviceRoof roof_of(const Machine& machine) {
  return {.name = machine.name.c_str(),
          .bf16_flops = machine.bf16_tflops * 1e12,
          .memory_speed = machine.memory_gb_s * 1e9,
          .memory = machine.memory_gb * 1e9,
          .link_speed = machine.link_gb_s * 1e9,
          .processors = machine.multiprocessors,
          .measured = machine.measured,
          .host = machine.host};
}

// The named ones, then those of files; all known ones where none are given. Names live in `machines`.
std::vector<DeviceRoof> devices_of(const PlanOptions& options, std::list<Machine>& machines) {
  std::vector<DeviceRoof> devices;
  const bool all = options.devices.empty() && options.machine_files.empty();
  for (const DeviceRoof& device : known_devices()) {
    if (all || std::count(options.devices.begin(), options.devices.end(), device.name) > 0)
      devices.push_back(device);
  }
  for (const std::string& file : options.machine_files) {
    machines.push_back(load_machine(file));
    devices.push_back(roof_of(machines.back()));
  }
  return devices;
}

// Returns the usual numbers that divide the model; a number that the user asks for must divide it.
RankChoices ranks_of(const PlanOptions& options, const LanguageConfig& language) {
  if (options.ranks.empty()) return rank_choices(language, {1, 2, 4, 8});
  std::vector<int> ranks = options.ranks;
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  RankChoices choices = rank_choices(language, ranks);
  if (!choices.refused.empty()) throw Error(choices.refused.front());
  return choices;
}

void print_report(const std::string& text) { std::fputs(text.c_str(), stdout); }

void run_claims(const PlanOptions& options) {
  const std::vector<PaperClaim> claims = paper_claims();
  print_report(options.json ? claims_json(claims) + '\n' : claims_text(claims));
}

void run_strategies(const PlanOptions& options) {
  const Size picture{options.strategies.at(0), options.strategies.at(1)};
  const std::vector<PictureCost> rows = picture_costs(picture);
  if (!options.plot.empty()) {
    std::ofstream file(options.plot, std::ios::binary);
    file << strategies_picture(picture);
    file.close();
    require(file.good(), options.plot, ": cannot be written");
  }
  print_report(options.json ? strategies_json(picture, rows) + '\n' : strategies_text(picture, rows));
}

void run_plan(const PlanOptions& options) {
  if (options.claims) return run_claims(options);
  if (!options.strategies.empty()) return run_strategies(options);
  if (options.model.empty()) throw CLI::RequiredError("--model, --claims or --strategies");
  constexpr int64_t kUsualContext = 4096;
  std::list<Machine> machines;
  const std::vector<DeviceRoof> devices = devices_of(options, machines);
  PlanReport report{.model = read_model_config(options.model, options.vision_tower),
                    .question = options.question};
  PlanQuestion& question = report.question;
  question.format = format_named(options.format);
  const LanguageConfig& language = report.model.language;
  question.context =
      options.context > 0 ? options.context : std::min<int64_t>(kUsualContext, language.context);
  if (!options.picture.empty()) {
    require(report.model.vision.has_value(), options.model, " is a language model: it sees no images");
    question.picture = size_of_picture(options.picture);
  }
  report.request = request_shape(report.model, question);
  RankChoices choices = ranks_of(options, language);
  report.refused = std::move(choices.refused);
  for (const DeviceRoof& device : devices) {
    DevicePlan plan{.device = device};
    for (const int ranks : choices.ranks)
      plan.ranks.push_back(plan_ranks(report.model, question, report.request, device, ranks));
    report.devices.push_back(std::move(plan));
  }
  print_report(options.json ? report_json(report) + '\n' : report_text(report));
}

}  // namespace

void add_plan_command(CLI::App& app) {
  auto options = std::make_shared<PlanOptions>();
  PlanQuestion& question = options->question;
  CLI::App* command = app.add_subcommand(
      "plan", "Show on which devices a model fits, and how fast they are at best; nothing is run");
  CLI::Option* model =
      command->add_option("-m,--model", options->model, "Model directory; its JSON files are enough");
  CLI::Option* claims =
      command->add_flag("--claims", options->claims,
                        "Compute what the LLaVA-UHD paper claims, each figure with its derivation");
  CLI::Option* strategies =
      command
          ->add_option(
              "--strategies", options->strategies,
              "Tokens, operations and views of a picture of this size in LLaVA-UHD and in the systems "
              "that its paper compares with")
          ->expected(2)
          ->option_text("WIDTH HEIGHT");
  command->add_option("--plot", options->plot, "With --strategies: an SVG file, over sizes and shapes")
      ->needs(strategies);
  claims->excludes(model)->excludes(strategies);
  strategies->excludes(model);
  command->add_option("--vision-tower", options->vision_tower,
                      "Directory of the vision tower, when not beside it");
  command->add_option("--device", options->devices, "Known device, may be repeated; without it all of them")
      ->transform(CLI::IsMember(device_names(), CLI::ignore_case));
  command->add_option("--machine", options->machine_files,
                      "YAML file of a device of your own (configs/machines/example.yaml), may be repeated");
  command->add_option("--ranks", options->ranks, "LLM ranks that share the model; without it 1, 2, 4 and 8")
      ->check(CLI::Range(1, 1024))
      ->delimiter(',');
  command
      ->add_option("--format", options->format,
                   "Weights: bf16; or fp8, int8, int4 for the language model's matrices (bf16)")
      ->check(CLI::IsMember({"bf16", "fp8", "int8", "int4"}));
  command->add_option("--picture", options->picture, "Size of the picture of each request (672x1008)")
      ->option_text("WxH");
  command
      ->add_option("--context", options->context,
                   "Tokens of each sequence that decodes; without it 4096, or the model's if that is less")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  command->add_option("--answer", question.answer, "Tokens of an answer (256)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  command->add_option("--prompt", question.prompt, "Tokens of text around the picture (64)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  command->add_flag("--separate-encoders", question.separate_encoders,
                    "The vision tower has ranks of its own: the LLM ranks do not hold it");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "\nEvery figure is a roof from data sheets, which no device can beat, but for those of a --machine "
      "that uhd "
      "calibrate has measured. A rank's "
      "memory leaves out libraries and the tower's activations: a tenth of the rest stays free for "
      "them.\nExamples:\n"
      "  uhd plan --model models/nano-uhd\n"
      "  uhd plan --claims\n"
      "  uhd plan --strategies 672 1008 --plot strategies.svg\n"
      "  uhd plan --model /models/llava-uhd-13b --device L40S --ranks 2,4 --format int8\n"
      "  uhd plan --model /models/llava-uhd-13b --machine configs/machines/example.yaml --device H100 "
      "--json");
  command->callback([options] { run_plan(*options); });
}

}  // namespace uhd
